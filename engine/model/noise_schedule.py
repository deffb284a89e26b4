"""The schedulers of a base: its forward process for training, and those over the same process that draw samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from engine.model.prediction import Prediction

if TYPE_CHECKING:
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

_SAMPLERS: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "euler": ("EulerDiscreteScheduler", {"use_karras_sigmas": False}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "ddim": ("DDIMScheduler", {"clip_sample": False}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "use_karras_sigmas": False}),
    "dpmpp_2m_karras": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "use_karras_sigmas": True}),
    "unipc": ("UniPCMultistepScheduler", {"use_karras_sigmas": False}),
}
"""By ``samples.sampler``: diffusers' class, and how it is set."""


def noise_scheduler(config: Mapping[str, Any], prediction: Prediction) -> DDPMScheduler:
    """The forward process of a base (Ho et al. 2020): the betas of its scheduler's ``config``, rescaled if it says so."""
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler  # noqa: PLC0415

    return DDPMScheduler.from_config(dict(config), clip_sample=False, **_overrides(prediction))


def sampling_scheduler(config: Mapping[str, Any], prediction: Prediction, sampler: str = "euler") -> Any:
    """A diffusers scheduler over the same process, for drawing samples; sampler: a profile's ``samples.sampler``.

    ``euler``: Karras et al. 2022, algorithm 2 without churn; ``euler_a``: with ancestral noise; ``ddim``: Song et al. 2020
    (arXiv:2010.02502); ``dpmpp_2m``: Lu et al. 2022 (arXiv:2211.01095), ``_karras`` on Karras' steps; ``unipc``: Zhao et al. 2023
    (arXiv:2302.04867).

    With zero terminal SNR the steps must begin at the last timestep, which only ``trailing`` spacing does (Lin et al. 2023,
    section 3.3): a sampler that begins elsewhere would be given noise the model has never seen there.
    """
    import diffusers  # noqa: PLC0415

    name, settings = _SAMPLERS[sampler]
    how = {**_overrides(prediction), **settings}
    if prediction.zero_terminal_snr:
        how["timestep_spacing"] = "trailing"
    return getattr(diffusers, name).from_config(dict(config), **how)


def _overrides(prediction: Prediction) -> dict[str, Any]:
    return {"prediction_type": prediction.type, "rescale_betas_zero_snr": prediction.zero_terminal_snr}
