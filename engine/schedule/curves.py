"""The curves themselves: factors in [0, 1] as pure functions of a share of the way, or of the step where the paper says so.

``p`` is everywhere the share of the falling part that is done, in [0, 1].
"""

from __future__ import annotations

import math

from engine.schedule.kinds import DecayShape

_ROUNDING = 1e-9


def linear(p: float) -> float:
    """1 to 0 in a line."""
    return 1.0 - p


def cosine(p: float) -> float:
    """1 to 0 along half a cosine: Loshchilov & Hutter, "SGDR", 2016 (eq. 5), one period."""
    return 0.5 * (1.0 + math.cos(math.pi * p))


def polynomial(p: float, power: float) -> float:
    """1 to 0 as (1 − p)^power."""
    return float((1.0 - p) ** power)


def rex(p: float) -> float:
    """1 to 0, late and fast: Chen et al., "REX: Revisiting Budgeted Training with an Improved Schedule", 2021 (section 5)."""
    return (1.0 - p) / (0.5 + 0.5 * (1.0 - p))


def inverse_sqrt(steps: int, timescale: int) -> float:
    """1 to 1/√2 after ``timescale`` steps, and on: Vaswani et al., 2017 (eq. 3), shifted so that it begins at 1.

    steps: since the warmup.
    """
    return 1.0 / math.sqrt((steps + timescale) / timescale)


def decay(p: float, shape: DecayShape) -> float:
    """1 to 0 in one of the shapes for the end of warmup-stable-decay (Hu et al., "MiniCPM", 2024)."""
    match shape:
        case DecayShape.LINEAR:
            return linear(p)
        case DecayShape.COSINE:
            return cosine(p)
        case DecayShape.SQRT:
            return 1.0 - math.sqrt(p)


def cycle_at(p: float, cycles: int, growth: float) -> tuple[int, float]:
    """The cycle, from 0, that a share of the whole lies in, and the share of that cycle that is done, in [0, 1).

    Every cycle is ``growth`` times as long as the one before it (T_mult of "SGDR"). A share that only rounding keeps
    before a restart lies after it, so that no step at a restart gets the lowest rate instead of the highest.
    """
    if growth == 1:
        place = p * cycles
        cycle = min(cycles - 1, math.floor(place + _ROUNDING))
        return cycle, max(0.0, place - cycle)
    whole = growth**cycles - 1
    cycle = 0
    while cycle + 1 < cycles and (growth ** (cycle + 1) - 1) / whole <= p + _ROUNDING:
        cycle += 1
    start, end = (growth**cycle - 1) / whole, (growth ** (cycle + 1) - 1) / whole
    return cycle, max(0.0, (p - start) / (end - start))


def first_cycle(cycles: int, growth: float) -> float:
    """The share of the whole that the first, shortest cycle takes."""
    return 1.0 / cycles if growth == 1 else (growth - 1) / (growth**cycles - 1)


def between(low: float, high: float, p: float) -> float:
    """From ``low`` at p = 0 to ``high`` at p = 1 along half a cosine."""
    return low + (high - low) * (1.0 - cosine(p))
