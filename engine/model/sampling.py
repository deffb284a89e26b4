"""Draws pictures with the model as it stands, to be looked at while it trains.

Drawing is a visit: random numbers come from generators of its own, no gradient is made or lost, and every module is back in
its mode afterwards. Prompts arrive encoded; loading the VAE and saving the pictures are the caller's business.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from engine.profile.schema import Samples

log = logging.getLogger(__name__)


def never_stop() -> bool:
    """A ``should_stop`` that never asks for it."""
    return False


@torch.no_grad()
def draw_samples(
    unet: Any,
    vae: Any,
    prompts: tuple[Tensor, Tensor],
    negative: tuple[Tensor, Tensor],
    *,
    scheduler: Any,
    settings: Samples,
    should_stop: Callable[[], bool] = never_stop,
) -> list[Image.Image]:
    """One picture per prompt, as diffusers' SDXL pipeline draws it from the same noise.

    prompts: embeddings (N, 77·k, D) and pooled embeddings (N, P), as ``BaseEncoders.encode_captions`` gives them; negative: the
    same for one text. scheduler: a ``BaseFolder.sampling_scheduler()``, whose state is overwritten. settings: size, steps,
    guidance (scale of classifier-free guidance, Ho & Salimans, 2022; up to 1 the negative prompt plays no part and a step
    costs half) and the first picture's seed, which counts up; noise is drawn on the CPU, the same for any device.
    should_stop is asked before each step; once it says yes the pictures finished by then are returned.
    """
    pictures: list[Image.Image] = []
    with evaluation_mode(unet), evaluation_mode(vae):
        for index, prompt in enumerate(zip(*prompts, strict=True)):
            noise = _noise(settings, settings.seed + index)
            conditioning = _conditioning(unet, prompt, negative, settings)
            scheduler.set_timesteps(settings.steps, device=unet.device)
            latents = noise.to(unet.device) * scheduler.init_noise_sigma
            for timestep in scheduler.timesteps:
                if should_stop():
                    return pictures
                predicted = _predict(
                    unet, scheduler.scale_model_input(latents, timestep), timestep, conditioning, settings
                )
                latents = scheduler.step(predicted, timestep, latents).prev_sample
            pictures.append(_decode(vae, latents))
    return pictures


def _noise(settings: Samples, seed: int) -> Tensor:
    """Unit noise (1, 4, height/8, width/8) on the CPU; a seed past 64 bits starts over."""
    generator = torch.Generator().manual_seed(seed % 2**63)
    return torch.randn(1, 4, settings.height // 8, settings.width // 8, generator=generator)


def _conditioning(
    unet: Any, prompt: tuple[Tensor, ...], negative: tuple[Tensor, Tensor], settings: Samples
) -> dict[str, Any]:
    """What the UNet is told: with guidance a batch of two, the negative prompt first. Size as SDXL's time ids, no crop."""
    embeddings, pooled = (part.unsqueeze(0) for part in prompt)
    if settings.guidance > 1:
        embeddings = torch.cat([negative[0].reshape(embeddings.shape), embeddings])
        pooled = torch.cat([negative[1].reshape(pooled.shape), pooled])
    size = [settings.height, settings.width]
    time_ids = torch.tensor([*size, 0, 0, *size], dtype=torch.float32).repeat(len(embeddings), 1)
    how = {"device": unet.device, "dtype": unet.dtype}
    return {
        "encoder_hidden_states": embeddings.to(**how),
        # The time ids stay in float32: bfloat16 has no room for 1,365 px.
        "added_cond_kwargs": {"text_embeds": pooled.to(**how), "time_ids": time_ids.to(unet.device)},
    }


def _predict(unet: Any, latents: Tensor, timestep: Tensor, conditioning: dict[str, Any], settings: Samples) -> Tensor:
    """The predicted noise (1, 4, h, w) in float32, guided if the settings say so."""
    guided = settings.guidance > 1
    batch = torch.cat([latents, latents]) if guided else latents
    predicted: Tensor = unet(batch.to(unet.dtype), timestep, **conditioning).sample.float()
    if not guided:
        return predicted
    without, with_prompt = predicted.chunk(2)
    return without + settings.guidance * (with_prompt - without)


def _decode(vae: Any, latents: Tensor) -> Image.Image:
    """Latents (1, 4, h, w) to a picture; a value that is not finite becomes grey.

    A VAE in half precision that overflows goes on in float32 for good, with a warning.
    """
    pixels = _pixels(vae, latents)
    if vae.dtype != torch.float32 and not bool(torch.isfinite(pixels).all()):
        log.warning("the VAE overflowed in %s; from here on it draws in float32", str(vae.dtype).removeprefix("torch."))
        pixels = _pixels(vae.float(), latents)
    array = ((pixels.nan_to_num(0.0).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(np.ascontiguousarray(array))


def _pixels(vae: Any, latents: Tensor) -> Tensor:
    scaled = latents.to(vae.device, vae.dtype) / vae.config.scaling_factor
    pixels: Tensor = vae.decode(scaled).sample[0].float()
    return pixels


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Every module in evaluation mode for the while, then each back in the mode it was in."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
