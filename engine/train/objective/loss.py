"""The training objective: what is drawn for a batch, and the loss of the model's prediction for it.

Ho et al. 2020 (arXiv:2006.11239), eq. 14 and algorithm 1, with the size, crop and pooled-text conditioning of SDXL (Podell et al.
2023, arXiv:2307.01952), and the variants of ``[loss]``: each in a module of its own, put together here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.data.batches import Batch
from engine.profile.schema import Loss
from engine.profile.schema.loss import LossKind
from engine.train.objective.distance import distances
from engine.train.objective.noise import coarse_noise_added, perturbed
from engine.train.objective.process import Process
from engine.train.objective.timesteps import draw_timesteps
from engine.train.objective.weighting import deltas, timestep_weights
from engine.train.transfer import to_device


@dataclass(frozen=True)
class Draw:
    """What chance decides of a micro-batch of B images; on the device of its latents."""

    noise: Tensor
    """(B, 4, h, w) float32: what the target is made of."""
    added: Tensor
    """(B, 4, h, w) float32: what the latents are noised with; ``noise``, or that and an input perturbation."""
    timesteps: Tensor
    """(B,)."""

    def on(self, device: torch.device) -> Draw:
        """All of it on ``device``."""
        noise = to_device(self.noise, device)
        added = noise if self.added is self.noise else to_device(self.added, device)
        return Draw(noise, added, to_device(self.timesteps, device))


class Objective:
    """The loss that a profile asks for, over the forward process of a base."""

    def __init__(self, process: Process, settings: Loss, device: torch.device) -> None:
        """Works out the tables over timesteps, so that a step only looks them up.

        Raises ``ObjectiveError`` if the range of timesteps is not one of ``process``.
        """
        process.require_range(settings)
        self.process = process
        self.settings = settings
        weights = timestep_weights(process.snr, process.prediction.type, settings)
        self._weights = None if weights is None else weights.to(device, torch.float32)
        has_delta = settings.kind in {LossKind.HUBER, LossKind.SMOOTH_L1}
        self._deltas = deltas(process.snr, settings).to(device, torch.float32) if has_delta else None

    def draw(self, latents: Tensor, generator: torch.Generator) -> Draw:
        """Noise and timesteps for ``latents`` (B, 4, h, w), drawn on the generator's device."""
        normal = torch.randn(latents.shape, generator=generator, device=generator.device)
        timesteps = draw_timesteps(len(latents), self.settings, self.process.timesteps, generator)
        noise = coarse_noise_added(normal, latents, self.settings, generator)
        return Draw(noise, perturbed(noise, self.settings, generator), to_device(timesteps, latents.device))

    def loss(self, unet: torch.nn.Module, batch: Batch, draw: Draw, *, dtype: torch.dtype = torch.float32) -> Tensor:
        """The loss of ``batch``, a float32 scalar: the mean over its images of weight · factor of the timestep · error.

        The error of an image is the mean of mask · distance over all values of its latents, the masked ones included (a
        small mask counts for little, as in sd-scripts); the mean over images is not divided by their weights (so that a
        prior weight of 0.5 makes a regularisation image count half, whatever else is in its batch).

        dtype: the number format the UNet is given its inputs in.
        """
        noisy = self.process.noised(batch.latents, draw.added, draw.timesteps)
        predicted = predict(unet, batch, noisy, draw.timesteps, dtype=dtype)
        target = self.process.target(batch.latents, draw.noise, draw.timesteps)
        delta = None if self._deltas is None else self._deltas[draw.timesteps]
        errors = distances(predicted, target, self.settings.kind, delta)
        if batch.masks is not None:
            errors = errors * batch.masks
        per_image = errors.mean(dim=(1, 2, 3)) * batch.loss_weights
        if self._weights is not None:
            per_image = per_image * self._weights[draw.timesteps]
        return per_image.mean()


def predict(unet: Any, batch: Batch, noisy: Tensor, timesteps: Tensor, *, dtype: torch.dtype) -> Tensor:
    """What ``unet`` says to ``noisy`` (B, 4, h, w) under the conditioning of ``batch``; (B, 4, h, w) float32.

    Time ids stay float32, since bf16 cannot hold sizes above 256 exactly.
    """
    predicted: Tensor = unet(
        noisy.to(dtype),
        timesteps,
        encoder_hidden_states=batch.prompt_embeds.to(dtype),
        added_cond_kwargs={"text_embeds": batch.pooled.to(dtype), "time_ids": batch.time_ids},
        return_dict=False,
    )[0]
    return predicted.float()
