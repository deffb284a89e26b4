"""Draws pictures with the model as it stands, to be looked at while it trains.

Drawing is a visit: random numbers come from generators of its own, no gradient is made or lost, and every module is back in
its mode afterwards. Prompts arrive encoded; loading the VAE and saving the pictures are the caller's business.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from engine.profile.sample_prompts import SamplePrompt

log = logging.getLogger(__name__)


def never_stop() -> bool:
    """A ``should_stop`` that never asks for it."""
    return False


@dataclass(frozen=True)
class Picture:
    """One picture to draw, with its texts encoded: (1, 77·k, D) and (1, P) each."""

    how: SamplePrompt
    prompt: tuple[Tensor, Tensor]
    negative: tuple[Tensor, Tensor]


@torch.no_grad()
def draw_samples(
    unet: Any,
    vae: Any,
    pictures: Sequence[Picture],
    *,
    scheduler: Callable[[str], Any],
    should_stop: Callable[[], bool] = never_stop,
) -> list[Image.Image]:
    """The pictures as diffusers' SDXL pipeline draws them from the same seeds.

    scheduler: gives a new scheduler for a sampler's name (``Base.sampling_scheduler``). Of each picture's settings: guidance is
    the scale of classifier-free guidance (Ho & Salimans, 2022; up to 1 the negative prompt plays no part and a step
    costs half); all noise is drawn on the CPU, the same for any device. should_stop is asked before each step; once it
    says yes the pictures finished by then are returned.
    """
    drawn: list[Image.Image] = []
    with evaluation_mode(unet), evaluation_mode(vae):
        for picture in pictures:
            latents = _denoised(unet, picture, scheduler(picture.how.sampler), should_stop)
            if latents is None:
                break
            drawn.append(_decode(vae, latents))
    return drawn


def _denoised(unet: Any, picture: Picture, scheduler: Any, should_stop: Callable[[], bool]) -> Tensor | None:
    """Latents (1, 4, h, w); None once ``should_stop`` says yes."""
    how = picture.how
    generator = torch.Generator().manual_seed(how.seed % 2**63)  # a seed past 64 bits starts over
    noise = torch.randn(1, 4, how.height // 8, how.width // 8, generator=generator)
    conditioning = _conditioning(unet, picture)
    takes_generator = "generator" in inspect.signature(scheduler.step).parameters
    chance = {"generator": generator} if takes_generator else {}
    scheduler.set_timesteps(how.steps, device=unet.device)
    latents: Tensor = noise.to(unet.device) * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        if should_stop():
            return None
        predicted = _predict(unet, scheduler.scale_model_input(latents, timestep), timestep, conditioning, how)
        latents = scheduler.step(predicted, timestep, latents, **chance).prev_sample
    return latents


def _conditioning(unet: Any, picture: Picture) -> dict[str, Any]:
    """What the UNet is told: with guidance a batch of two, the negative prompt first. Size as SDXL's time ids, no crop."""
    embeddings, pooled = picture.prompt
    if picture.how.guidance > 1:
        embeddings = torch.cat([picture.negative[0], embeddings])
        pooled = torch.cat([picture.negative[1], pooled])
    size = [picture.how.height, picture.how.width]
    time_ids = torch.tensor([*size, 0, 0, *size], dtype=torch.float32).repeat(len(embeddings), 1)
    to = {"device": unet.device, "dtype": unet.dtype}
    return {
        "encoder_hidden_states": embeddings.to(**to),
        # The time ids stay in float32: bfloat16 has no room for 1,365 px.
        "added_cond_kwargs": {"text_embeds": pooled.to(**to), "time_ids": time_ids.to(unet.device)},
    }


def _predict(unet: Any, latents: Tensor, timestep: Tensor, conditioning: dict[str, Any], how: SamplePrompt) -> Tensor:
    """What the model predicts (1, 4, h, w), in float32, guided if the settings say so."""
    guided = how.guidance > 1
    batch = torch.cat([latents, latents]) if guided else latents
    predicted: Tensor = unet(batch.to(unet.dtype), timestep, **conditioning).sample.float()
    if not guided:
        return predicted
    without, with_prompt = predicted.chunk(2)
    found = without + how.guidance * (with_prompt - without)
    if how.guidance_rescale:
        # Lin et al. 2023 (arXiv:2305.08891), eq. 15 and 16: as large a deviation as without guidance.
        found = found * (how.guidance_rescale * with_prompt.std() / found.std() + 1 - how.guidance_rescale)
    return found


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
