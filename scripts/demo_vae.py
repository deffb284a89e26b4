"""The demo base's VAE: its dimensions, a start that already carries colours, training on crops, and white latents.

A small autoencoder learns absolute colours late, because group normalisation takes them away. So it starts as a linear code:
three channels and their negatives hold red, green and blue on the way down and up (since SiLU(x) − SiLU(−x) = x, the pair
passes activations unharmed), two constant ones keep the norm's scale from following the picture's contrast, and residual blocks
begin as identities. Training then finds room for detail. Drawing the pictures is ``demo_pictures.py``'s.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from scripts.demo_muon import Optimizer

SCALING_FACTOR: Final = 0.13025
CONFIG: Final[dict[str, Any]] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (16, 24, 48, 64),
    "layers_per_block": 1,
    "norm_num_groups": 1,
    "latent_channels": 4,
    "sample_size": 128,
    "scaling_factor": SCALING_FACTOR,
    "force_upcast": True,
}
COLOURS: Final = 3
CARRIED: Final = 8
"""Channels of the start that hold something: three colours, their negatives, two constants."""
CONSTANT: Final = 2.0
NOISE: Final = 0.06
"""Of the latents' spread, added before decoding in training: the UNet's latents are never exact."""
NARROW: Final = -12.0
"""Log variance of the posterior, relative to latents of unit size."""


def new_vae(pictures: Tensor) -> AutoencoderKL:
    """A VAE that carries colours, its output scaled to fit ``pictures`` (B, 3, H, W)."""
    vae = AutoencoderKL(**CONFIG)
    with torch.no_grad():
        for half in (vae.encoder, vae.decoder):
            _carry_colours(half)
        vae.encoder.conv_out.weight[4:] = 0
        vae.encoder.conv_out.bias[4:] = NARROW
        for convolution in (vae.quant_conv, vae.post_quant_conv):
            nn.init.dirac_(convolution.weight)
            nn.init.zeros_(convolution.bias)
        shown = vae.decode(vae.encode(pictures).latent_dist.mode()).sample
        mean, wanted = shown.mean((0, 2, 3)), pictures.mean((0, 2, 3))
        spread = (shown - mean[:, None, None]) * (pictures - wanted[:, None, None])
        scale = spread.sum() / (shown - mean[:, None, None]).square().sum()
        vae.decoder.conv_out.weight *= scale
        vae.decoder.conv_out.bias.copy_(scale * vae.decoder.conv_out.bias + wanted - scale * mean)
    return vae.to(memory_format=torch.channels_last)


def _carry_colours(half: Any) -> None:
    point = torch.zeros(3, 3)
    point[1, 1] = 1.0
    box = torch.zeros(3, 3)
    box[:2, :2] = 0.25
    tent = torch.outer(torch.tensor([0.25, 0.5, 0.25]), torch.tensor([0.25, 0.5, 0.25]))
    for name, module in half.named_modules():
        if name.endswith("conv_shortcut"):
            _pass_on(module, torch.ones(1, 1))
        elif name.endswith("downsamplers.0.conv"):
            _pass_on(module, box)
        elif name.endswith("upsamplers.0.conv"):
            _pass_on(module, tent)
        elif name.endswith((".conv2", "to_out.0")):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    first, last = half.conv_in, half.conv_out
    first.weight[:CARRIED] = 0
    first.bias[:CARRIED] = 0
    for colour in range(COLOURS):
        first.weight[colour, colour] = point
        first.weight[COLOURS + colour, colour] = -point
        last.weight[colour] = 0
        last.bias[colour] = 0
        last.weight[colour, colour] = point
        last.weight[colour, COLOURS + colour] = -point
    first.bias[2 * COLOURS], first.bias[2 * COLOURS + 1] = CONSTANT, -CONSTANT


def _pass_on(convolution: Any, kernel: Tensor) -> None:
    weight = convolution.weight
    weight[:CARRIED] = 0
    convolution.bias[:CARRIED] = 0
    for channel in range(CARRIED):
        weight[channel, channel] = kernel


def reconstruction_loss(shown: Tensor, wanted: Tensor) -> Tensor:
    """L1 of pixels, of their means over 2 × 2 and 4 × 4, and of the differences between neighbours at all three scales."""
    error = shown - wanted
    loss = error.abs().mean()
    for size in (1, 2, 4):
        at_scale = avg_pool2d(error, size) if size > 1 else error
        across = (at_scale[..., 1:] - at_scale[..., :-1]).abs().mean()
        down = (at_scale[..., 1:, :] - at_scale[..., :-1, :]).abs().mean()
        loss = loss + 0.3 * (across + down) + (0.5 * at_scale.abs().mean() if size > 1 else 0.0)
    return loss


def crops(pictures: list[Tensor], count: int, side: int, generator: torch.Generator) -> Tensor:
    """Random square crops, half of them mirrored, of pictures (3, H, W) uint8; (count, 3, side, side) in [-1, 1]."""
    found = []
    for _ in range(count):
        picture = pictures[int(torch.randint(len(pictures), (1,), generator=generator))]
        top, left = (int(torch.randint(length - side + 1, (1,), generator=generator)) for length in picture.shape[1:])
        crop = picture[:, top : top + side, left : left + side]
        found.append(crop.flip(-1) if torch.rand(1, generator=generator) < 0.5 else crop)
    return torch.stack(found).float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)


def train_vae(
    vae: AutoencoderKL,
    pictures: list[Tensor],
    *,
    steps: int,
    generator: torch.Generator,
    average_gradients: Callable[[list[nn.Parameter]], None],
    report: Callable[[str], None],
) -> None:
    """Train on crops of 32 px, for the last quarter on fewer and larger ones, which have more in common with pictures."""
    optimizer = Optimizer(vae.named_parameters(), lr=2e-3, matrix_lr=4e-2)
    for step in range(steps):
        done = step / steps
        count, side = (32, 32) if done < 0.75 else (8, 64)
        wanted = crops(pictures, count, side, generator)
        latents = vae.encode(wanted).latent_dist.mean
        size = latents.square().mean()
        noise = torch.randn(latents.shape, generator=generator) * (NOISE * size.detach().sqrt())
        loss = reconstruction_loss(vae.decode(latents + noise).sample, wanted)
        (loss + 1e-4 * size).backward()
        average_gradients(optimizer.parameters())
        optimizer.step(min(1.0, (step + 1) / 50) * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * done))))
        if step % 50 == 49:
            report(f"VAE {step + 1}/{steps}: loss {loss.item():.3f}, latents {size.sqrt().item():.2f}")


@torch.no_grad()
def whiten(vae: AutoencoderKL, pictures: list[Tensor]) -> None:
    """Fold a linear map and its inverse into the quantisation convolutions: latents times the scaling factor get a mean of 0,
    unit variance and no correlation between channels, over ``pictures``.
    """
    means = [vae.encode(picture[None].float() / 127.5 - 1).latent_dist.mean for picture in pictures]
    values = torch.cat([mean.permute(0, 2, 3, 1).flatten(0, 2) for mean in means]).double()
    centre = values.mean(0)
    variances, directions = torch.linalg.eigh(torch.cov((values - centre).T))
    to_white = directions @ torch.diag(variances.rsqrt()) @ directions.T / SCALING_FACTOR
    channels = len(centre)
    into, out = vae.quant_conv, vae.post_quant_conv
    old = into.weight[:channels].flatten(1).double()
    bias = to_white @ (into.bias[:channels].double() - centre)
    into.weight.zero_()
    into.weight[:channels] = (to_white @ old)[:, :, None, None].float()
    into.bias[:channels] = bias.float()
    into.bias[channels:] = NARROW
    back = torch.linalg.inv(to_white)
    weight = out.weight.flatten(1).double()
    out.bias.copy_((out.bias.double() + weight @ centre).float())
    out.weight.copy_((weight @ back)[:, :, None, None].float())
