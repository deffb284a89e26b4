"""The training objective: the mean squared error of the predicted noise, and the random numbers that it needs.

Ho et al. 2020 (arXiv:2006.11239), eq. 14 and algorithm 1, with the size, crop and pooled-text conditioning of SDXL
(Podell et al. 2023, arXiv:2307.01952).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from engine.data.batches import Batch
from engine.model.errors import ModelError
from engine.model.prediction import Prediction


def require_noise_prediction(prediction: Prediction) -> None:
    """Raise ``ModelError`` if the base predicts something else than the noise, which is what this loss is for."""
    if prediction.type != "epsilon":
        raise ModelError(
            f"the base predicts {prediction.type} ({prediction.source}); only the noise ('epsilon') can be trained",
            hint="Choose a base that predicts the noise.",
        )


def draw_noise(latents: Tensor, train_timesteps: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Normal noise of the latents' shape (B, 4, h, w) in float32 and B timesteps, uniform over ``train_timesteps``.

    Both are drawn on the generator's device and put on the latents': with a generator on the CPU the sequence is the
    same on every machine.
    """
    noise = torch.randn(latents.shape, generator=generator, device=generator.device)
    timesteps = torch.randint(0, train_timesteps, latents.shape[:1], generator=generator, device=generator.device)
    return to_device(noise, latents.device), to_device(timesteps, latents.device)


def noise_prediction_loss(
    unet: torch.nn.Module,
    noise_scheduler: Any,
    batch: Batch,
    noise: Tensor,
    timesteps: Tensor,
    *,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Squared error between ``noise`` and what the UNet finds in the noised latents, averaged; a float32 scalar.

    Per image the mean of mask · error over all values of its latents, the masked ones included (a small mask counts for
    little, as in sd-scripts); of these, times the images' weights, the mean over the batch (not divided by the weights).

    noise: (B, 4, h, w) float32. timesteps: (B,). dtype: the number format the UNet is given its inputs in; time ids stay
    float32, since bf16 cannot hold sizes above 256 exactly.
    """
    noisy = noise_scheduler.add_noise(batch.latents, noise, timesteps)
    (prediction,) = unet(
        noisy.to(dtype),
        timesteps,
        encoder_hidden_states=batch.prompt_embeds.to(dtype),
        added_cond_kwargs={"text_embeds": batch.pooled.to(dtype), "time_ids": batch.time_ids},
        return_dict=False,
    )
    errors = mse_loss(prediction.float(), noise, reduction="none")
    if batch.masks is not None:
        errors = errors * batch.masks
    return (errors.mean(dim=(1, 2, 3)) * batch.loss_weights).mean()


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """``tensor`` on ``device``. On the way to a GPU through pinned memory, so that the host does not wait for it."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def batch_to_device(batch: Batch, device: torch.device) -> Batch:
    """All of ``batch`` on ``device``."""
    return replace(
        batch,
        latents=to_device(batch.latents, device),
        prompt_embeds=to_device(batch.prompt_embeds, device),
        pooled=to_device(batch.pooled, device),
        time_ids=to_device(batch.time_ids, device),
        captions=batch.captions,
        loss_weights=to_device(batch.loss_weights, device),
        masks=None if batch.masks is None else to_device(batch.masks, device),
    )
