"""The schedulers of a base: its forward process for training, and Euler's method over the same process for samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from engine.model.prediction import Prediction

if TYPE_CHECKING:
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
    from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler


def noise_scheduler(config: Mapping[str, Any], prediction: Prediction) -> DDPMScheduler:
    """The forward process of a base (Ho et al. 2020): the betas of its scheduler's ``config``, rescaled if it says so."""
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler  # noqa: PLC0415

    return DDPMScheduler.from_config(dict(config), clip_sample=False, **_overrides(prediction))


def sampling_scheduler(config: Mapping[str, Any], prediction: Prediction) -> EulerDiscreteScheduler:
    """Euler's method over the same process (Karras et al. 2022, algorithm 2 without churn).

    With zero terminal SNR the steps must begin at the last timestep, which only ``trailing`` spacing does (Lin et al. 2023,
    section 3.3): a sampler that begins elsewhere would be given noise the model has never seen there.
    """
    from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler  # noqa: PLC0415

    how = _overrides(prediction)
    if prediction.zero_terminal_snr:
        how["timestep_spacing"] = "trailing"
    return EulerDiscreteScheduler.from_config(dict(config), **how)


def _overrides(prediction: Prediction) -> dict[str, Any]:
    return {"prediction_type": prediction.type, "rescale_betas_zero_snr": prediction.zero_terminal_snr}
