"""Round places along an axis and how they are written."""

from __future__ import annotations

import math
from collections.abc import Iterable


def round_ticks(low: float, high: float, most: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten within [low, high], about ``most`` of them at most; at least one range."""
    if not high > low:
        return [low]
    raw = (high - low) / max(1, most)
    power = 10.0 ** math.floor(math.log10(raw))
    distance = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / distance - 1e-9)
    last = math.floor(high / distance + 1e-9)
    return [number * distance for number in range(first, last + 1)]


def spread_range(values: Iterable[float]) -> tuple[float, float] | None:
    """The lowest and highest value; None if there is none."""
    known = [value for value in values if math.isfinite(value)]
    return (min(known), max(known)) if known else None


def decimal_text(value: float, distance: float) -> str:
    """``value`` with as many decimals as ticks of this ``distance`` need: ``0.15``, ``0.125``, ``3``."""
    if abs(value) >= 100_000:
        return f"{value:.0e}".replace("e+0", "e").replace("e+", "e")
    decimals = max(0, -math.floor(math.log10(distance) + 1e-9)) if distance > 0 else 4
    return f"{value:.{min(decimals, 6)}f}"


def rate_text(value: float, _: float) -> str:
    """A learning rate on an axis: ``1.0e-4``, ``0``."""
    if abs(value) < 1e-20:
        return "0"
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits}e{int(exponent)}"
