"""The noise of a training step: normal, and what may be added to it so that the model also learns the coarse parts of a picture.

- Noise offset (N. Guttenberg, "Diffusion with Offset Noise", 2023): each channel shifted as a whole.
- Multi-resolution noise (J. Whitaker, "Multi-Resolution Noise for Diffusion Model Training", 2023): ever coarser noise on top.
- Input perturbation (Ning et al. 2023, arXiv:2301.11706, section 3): extra noise that the target does not have.

Everything is drawn on the generator's device and put on the latents': with a generator on the CPU the sequence is the same on
every machine.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from engine.profile.schema import Loss
from engine.train.transfer import to_device


def coarse_noise_added(noise: Tensor, latents: Tensor, settings: Loss, generator: torch.Generator) -> Tensor:
    """``noise`` (B, C, h, w) with the coarse noise that ``settings`` ask for; ``noise`` is on the generator's device.

    latents: (B, C, h, w) on the device of the training, where the result is. Draws nothing if nothing is asked for.
    """
    if settings.multires_iterations:
        discount = 0.3 if settings.multires_discount is None else settings.multires_discount
        return to_device(_multires(noise, settings.multires_iterations, discount, generator), latents.device)
    noise = to_device(noise, latents.device)
    if not settings.noise_offset:
        return noise
    shifts = _normal((*noise.shape[:2], 1, 1), generator)
    size = _sizes(settings.noise_offset, settings.noise_offset_random, len(noise), generator)
    if settings.adaptive_noise_scale is not None:
        means = latents.mean(dim=(2, 3), keepdim=True).abs()
        size = (to_device(size, latents.device) + settings.adaptive_noise_scale * means).clamp_(min=0)
    return noise + to_device(size, latents.device) * to_device(shifts, latents.device)


def perturbed(noise: Tensor, settings: Loss, generator: torch.Generator) -> Tensor:
    """``noise`` with the input perturbation γ · ξ, ξ normal; ``noise`` itself if there is none."""
    if not settings.input_perturbation:
        return noise
    extra = _normal(noise.shape, generator)
    size = _sizes(settings.input_perturbation, settings.input_perturbation_random, len(noise), generator)
    return noise + to_device(size * extra, noise.device)


def _multires(noise: Tensor, iterations: int, discount: float, generator: torch.Generator) -> Tensor:
    """Levels of bilinearly enlarged noise on top of ``noise``, level i weighing discount^i; each image of unit variance again.

    A level is smaller than the one before by r^i in each direction, r drawn from [2, 4) for each, until a side is 1: the
    first level is as fine as the noise itself.
    """
    height, width = noise.shape[2:]
    side_h, side_w = height, width
    total = noise
    for level in range(iterations):
        ratio = 2 + 2 * float(torch.rand((), generator=generator, device=generator.device, dtype=torch.float64))
        side_h, side_w = max(1, int(side_h / ratio**level)), max(1, int(side_w / ratio**level))
        coarse = _normal((*noise.shape[:2], side_h, side_w), generator)
        total = total + discount**level * interpolate(coarse, (height, width), mode="bilinear")
        if side_h == 1 or side_w == 1:
            break
    return total / total.std(dim=(1, 2, 3), keepdim=True)


def _sizes(size: float, is_random: bool, count: int, generator: torch.Generator) -> Tensor:
    """(count, 1, 1, 1): ``size``, or for each image a part of it, uniform in [0, size)."""
    if not is_random:
        return torch.full((count, 1, 1, 1), size, device=generator.device)
    return size * torch.rand((count, 1, 1, 1), generator=generator, device=generator.device)


def _normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)
