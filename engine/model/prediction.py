"""What a base predicts and over which noise schedule: said once by its configuration, used by the loss and the sampler.

A base predicts the noise (epsilon; Ho et al. 2020, arXiv:2006.11239) or the velocity (v; Salimans & Ho 2022,
arXiv:2202.00512, section 2.4). Some v-prediction bases were trained on betas rescaled so that the last step has no
signal left (zero terminal SNR; Lin et al. 2023, arXiv:2305.08891, algorithm 1). What a file says of it is read by those who
open the file; the loss is the training's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

PredictionType = Literal["epsilon", "v_prediction"]

_NAMES: Final[Mapping[str, PredictionType]] = {
    "epsilon": "epsilon",
    "eps": "epsilon",
    "v": "v_prediction",
    "v_prediction": "v_prediction",
    "v-prediction": "v_prediction",
}


@dataclass(frozen=True)
class Prediction:
    """What the UNet was trained to predict."""

    type: PredictionType
    zero_terminal_snr: bool
    """The last of the training timesteps is pure noise."""
    source: str
    """Where that is said, for the log: a file's name and the entry in it."""

    @property
    def text(self) -> str:
        """For a person: ``v (the file's tensor v_pred), zero terminal SNR``."""
        what = "the noise" if self.type == "epsilon" else "v"
        return f"{what} ({self.source}){', zero terminal SNR' if self.zero_terminal_snr else ''}"


def prediction_type(name: str) -> PredictionType | None:
    """The type that ``name`` stands for, in diffusers' or modelspec's spelling; None if it is another one."""
    return _NAMES.get(name.strip().lower())
