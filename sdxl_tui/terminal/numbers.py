"""How numbers are written everywhere in the product: rates, losses, times, sizes. Every one with its unit.

Unknown values (``None``, NaN) are an en dash. Nothing here knows about colour or width.
"""

from __future__ import annotations

import math
from typing import Final

UNKNOWN: Final = "–"


def format_lr(lr: float | None) -> str:
    """A learning rate with three digits: ``1.00e-4``; ``0`` for none."""
    if lr is None or math.isnan(lr):
        return UNKNOWN
    if lr == 0 or math.isinf(lr):
        return f"{lr:g}"
    digits, exponent = f"{lr:.2e}".split("e")
    return f"{digits}e{int(exponent)}"


def format_loss(loss: float | None) -> str:
    """A loss with four decimals: ``0.1130``; beyond 1000 as ``1.23e6``."""
    if loss is None or math.isnan(loss):
        return UNKNOWN
    return f"{loss:.4f}" if abs(loss) < 1000 else format_lr(loss)


def format_duration(seconds: float | None) -> str:
    """A span in its two largest units: ``45 s``, ``3 m 05 s``, ``2 h 14 m``, ``3 d 04 h``. Negative spans are 0."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    if 0 < seconds < 1:
        return "<1 s"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} m"
    days = whole // 86400
    return f"{days} d {whole % 86400 // 3600:02d} h" if days < 1000 else "> 999 d"


def format_age(seconds: float | None) -> str:
    """How long ago something was: ``just now``, ``5 min ago``, ``2 h ago``, ``3 d ago``. seconds: its age."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    if seconds < 10:
        return "just now"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return f"{int(seconds)} s ago"


def format_bytes(count: float | None) -> str:
    """A size in decimal units: ``812 B``, ``1.2 MB``, ``49 GB``."""
    if count is None or not math.isfinite(count):
        return UNKNOWN
    if abs(count) < 1000:
        return f"{count:.0f} B"
    value, units = count / 1000, ["kB", "MB", "GB", "TB", "PB"]
    while abs(value) >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.1f} {units[0]}" if abs(value) < 9.95 else f"{value:.0f} {units[0]}"


def format_count(count: int | None) -> str:
    """A whole number with its thousands set apart: ``12,345``."""
    return UNKNOWN if count is None else f"{count:,}"


def format_factor(factor: float | None) -> str:
    """A ratio: ``0.50×``, ``2.0×``, ``25×``; ``∞×`` where it started from 0."""
    if factor is None or math.isnan(factor):
        return UNKNOWN
    if math.isinf(factor):
        return "∞×"
    if factor == 0:
        return "0×"
    if factor < 0.01 or factor >= 10_000:
        return f"{format_lr(factor)}×"
    if factor < 0.995:
        return f"{factor:.2f}×"
    return f"{factor:.1f}×" if factor < 9.95 else f"{factor:,.0f}×"


def format_percent(share: float | None) -> str:
    """A share of 1 in whole per cent, rounded down so that only what is complete says ``100 %``."""
    if share is None or not math.isfinite(share):
        return UNKNOWN
    return f"{math.floor(share * 100 + 1e-9)} %"


def format_speed(steps_per_second: float | None) -> str:
    """Steps over time as trainers write it: ``6.2 it/s``, and below one step a second ``3.1 s/it``."""
    if steps_per_second is None or not math.isfinite(steps_per_second) or steps_per_second <= 0:
        return UNKNOWN
    if steps_per_second < 0.995:
        return f"{1 / steps_per_second:.1f} s/it"
    return f"{steps_per_second:.1f} it/s" if steps_per_second < 99.95 else f"{steps_per_second:.0f} it/s"
