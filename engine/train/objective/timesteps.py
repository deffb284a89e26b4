"""Drawing timesteps from a range: uniformly, or with more of some of them.

The three densities over u in [0, 1], 0 without noise and 1 without signal, are Esser et al.'s (2024, arXiv:2403.03206, section
3.1); a timestep is the u-th part of the range.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from engine.profile.schema import Loss
from engine.profile.schema.loss import TimestepDistribution


def draw_timesteps(count: int, settings: Loss, train_timesteps: int, generator: torch.Generator) -> Tensor:
    """(count,) whole numbers from ``min_timestep`` on and below ``max_timestep``, on the generator's device."""
    low = settings.min_timestep
    high = train_timesteps if settings.max_timestep is None else settings.max_timestep
    if settings.timestep_distribution is TimestepDistribution.UNIFORM:
        return torch.randint(low, high, (count,), generator=generator, device=generator.device)
    share = _share(count, settings, generator)
    return (low + (share * (high - low)).long()).clamp_(low, high - 1)


def _share(count: int, settings: Loss, generator: torch.Generator) -> Tensor:
    """(count,) float64 in [0, 1]."""
    location, scale = settings.timestep_location, settings.timestep_scale
    if settings.timestep_distribution is TimestepDistribution.LOGIT_NORMAL:
        normal = torch.randn(count, generator=generator, device=generator.device, dtype=torch.float64)
        return torch.sigmoid((0.0 if location is None else location) + (1.0 if scale is None else scale) * normal)
    u = torch.rand(count, generator=generator, device=generator.device, dtype=torch.float64)
    if settings.timestep_distribution is TimestepDistribution.MODE:
        shift = 1.29 if scale is None else scale
        return 1 - u - shift * (torch.cos(math.pi / 2 * u) ** 2 - 1 + u)
    return 1 - 1 / (torch.tan(math.pi / 2 * u) + 1)
