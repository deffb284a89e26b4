"""Round places along an axis and how they are written."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Where values stand between a lowest and a highest one; by their logarithms, if ``is_log`` (then both are above 0)."""

    low: float
    high: float
    is_log: bool = False

    def share(self, value: float) -> float:
        """0 at the low end, 1 at the high one, beyond them outside; NaN for what has no place (a logarithm of 0)."""
        if not self.is_log:
            return (value - self.low) / (self.high - self.low)
        if value <= 0 or math.isnan(value):
            return math.nan
        return math.log(value / self.low) / math.log(self.high / self.low)

    def ticks(self, most: int) -> list[float]:
        """Round places on it, from the low end."""
        return log_ticks(self.low, self.high, most) if self.is_log else round_ticks(self.low, self.high, most)


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Powers of ten within [low, high], and 2 and 5 times them where there is room; plain round places within a decade."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1, 5), (1,)):
        found = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
        found = [tick for tick in found if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        if len(found) <= most:
            return found if len(found) > 1 else round_ticks(low, high, most)
    every = -(-len(found) // max(1, most))
    return found[::every]


def round_ticks(low: float, high: float, most: int) -> list[float]:
    """As many multiples of 1, 2 or 5 times a power of ten within [low, high] as there may be; ``low`` if it is no range."""
    if not high > low:
        return [low]
    power = 10.0 ** math.floor(math.log10((high - low) / max(1, most)))
    for distance in (factor * scale for scale in (power, 10 * power) for factor in (1, 2, 5)):
        first, last = math.ceil(low / distance - 1e-9), math.floor(high / distance + 1e-9)
        if last - first < most:
            return [number * distance for number in range(first, last + 1)] or [low]
    return [low]


def widened(low: float, high: float, share: float) -> tuple[float, float]:
    """The range made larger to round bounds, by up to about ``share`` of it at each end; it then stays as its ends creep on."""
    if not high > low:
        return low, high
    raw = (high - low) * share
    power = 10.0 ** math.floor(math.log10(raw))
    unit = next(factor * power for factor in (5, 2, 1) if factor * power <= raw * 1.001)
    return math.floor(low / unit + 1e-9) * unit, math.ceil(high / unit - 1e-9) * unit


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
