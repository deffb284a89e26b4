"""The next rounder number up or down, for the step keys of a form."""

from __future__ import annotations

import math
from typing import Final

from engine.profile.fields import ProfileField
from sdxl_tui.widgets.field_text import is_in_range, text_of, value_of

MANTISSAS: Final = (1.0, 2.0, 3.0, 5.0, 7.0, 10.0)
"""Steps of a positive float within a decade: rates and decays are tried by ratio, not by difference."""
POWERS: Final = frozenset({"network.rank", "network.alpha"})
"""Doubled and halved: what these are is a power of two almost always."""

PIXELS: Final = 64
"""Step of sides of images."""


def stepped(field: ProfileField, text: str, up: bool) -> str | None:
    """``text`` one step further, as it is typed; an empty one starts from the default. None: no step is possible.

    Whole numbers go to the next multiple of what the field asks for, else of the power of ten below them; others along 1, 2, 3,
    5, 7, 10, near 1 what is missing to it.
    """
    if field.kind not in {"int", "float"}:
        return None
    try:
        value = value_of(field, text)
    except ValueError:
        return None
    value = field.default if value is None else value
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    if field.path in POWERS and value > 0:
        further: float = value * 2 if up else value / 2
        further = int(further) if field.kind == "int" else further
    elif field.kind == "int":
        size = PIXELS if field.unit == "px" else 1 if field.path == "training.seed" else field.multiple_of or 0
        further = _next_whole(int(value), size, up)
    elif field.maximum == 1 and value > 0.5:  # betas and shares near 1: what is left of them steps
        further = 1 - _next_float(1 - float(value), not up) if value < 1 else 0.9
        further = round(further, 9)
    else:
        further = _next_float(float(value), up)
    return text_of(field, further) if is_in_range(field, further) and further != value else None


def _next_whole(value: int, size: int, up: bool) -> int:
    """size: what to go to multiples of; 0: found from the value, 1 up to 20, then its power of ten."""
    if size == 0:
        below = abs(value) if up else max(abs(value) - 1, 1)
        size = 1 if below < 20 else 10 ** int(math.log10(below))
    return (value // size + 1) * size if up else (-(-value // size) - 1) * size


def _next_float(value: float, up: bool) -> float:
    if value <= 0:
        return round(value + (0.1 if up else -0.1), 10)
    exponent = math.floor(math.log10(value) + 1e-9)
    mantissa = value / 10.0**exponent
    if up:
        found = next(one for one in MANTISSAS if one > mantissa * (1 + 1e-9))
    else:
        found = next((one for one in reversed(MANTISSAS) if one < mantissa * (1 - 1e-9)), 0.7)
    return float(f"{found}e{exponent}")
