"""The forward process as tables over its timesteps: how a latent is noised, and what the model has to find in it.

Ho et al. 2020 (arXiv:2006.11239), eq. 4, for the noised latent; Salimans & Ho 2022 (arXiv:2202.00512), section 4, for the
velocity; the betas, with zero terminal SNR or without, come from the base (``engine.model.prediction``).
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.model.prediction import Prediction
from engine.model.trained_prediction import ObjectiveError
from engine.profile.schema import Loss


class Process:
    """T timesteps of a forward process, from hardly any noise (0) to hardly any signal (T - 1)."""

    def __init__(self, alpha_bar: Tensor, prediction: Prediction, device: torch.device) -> None:
        """alpha_bar: (T,), the share of the signal's variance that is left at each timestep."""
        exact = alpha_bar.to("cpu", torch.float64)
        self.prediction = prediction
        self.snr = exact / (1 - exact)
        """(T,) float64 on the CPU; 0 where there is no signal."""
        # In the precision that they come in: from a base's float32 the very bits of diffusers' add_noise.
        self._signal = alpha_bar.sqrt().to(device, torch.float32)
        self._noise = (1 - alpha_bar).sqrt().to(device, torch.float32)

    @property
    def timesteps(self) -> int:
        """T."""
        return len(self._signal)

    def require_range(self, settings: Loss) -> None:
        """Raise ``ObjectiveError`` if the profile's range of timesteps is not one of this process."""
        for field, value, limit in (
            ("min_timestep", settings.min_timestep, self.timesteps - 1),
            ("max_timestep", settings.max_timestep, self.timesteps),
        ):
            if value is not None and value > limit:
                raise ObjectiveError(
                    f"{value} is beyond the base's {self.timesteps} timesteps",
                    where=f"loss.{field}",
                    hint=f"Use at most {limit}.",
                )

    def noised(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """``latents`` (B, C, h, w) with ``noise`` of their shape, as they are at ``timesteps`` (B,)."""
        return self._signal[timesteps, None, None, None] * latents + self._noise[timesteps, None, None, None] * noise

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the model should predict there: ``noise``, or the velocity √ᾱ · noise - √(1 - ᾱ) · latents."""
        if self.prediction.type == "epsilon":
            return noise
        return self._signal[timesteps, None, None, None] * noise - self._noise[timesteps, None, None, None] * latents
