"""Between a profile field's value and what a person types for it. Ranges are judged here only so far as one field can tell;
the profile's own validation has the last word.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from engine.profile.fields import ProfileField
from engine.profile.stages import default_name
from engine.profile.to_toml import toml_value
from sdxl_tui.terminal.clean import clean

ON, OFF = "on", "off"
EMPTY: Final = "[]"
"""A list without anything in it, as it is typed: no text means that there is no value here."""


def text_of(field: ProfileField, value: Any) -> str:
    """``value`` as it is typed: floats as ``1e-4``, booleans as on and off, lists one item a line; empty for None."""
    if value is None:
        return ""
    match field.kind:
        case "bool":
            return ON if value is True else OFF if value is False else clean(str(value))
        case "int" | "float" if isinstance(value, int | float) and not isinstance(value, bool):
            return toml_value(value)
        case "strings" if isinstance(value, Sequence) and not isinstance(value, str):
            return "\n".join(clean(str(item)) for item in value) or EMPTY
        case "numbers" if isinstance(value, Sequence) and not isinstance(value, str):
            words = (toml_value(item) if isinstance(item, int | float) else clean(str(item)) for item in value)
            return ", ".join(words) or EMPTY
    return clean(str(value))


def stages_text(value: Any) -> str:
    """``2 stages: rough 1,000 steps, fine 500 steps``: what the text says of the stages, valid or not; empty without any."""
    tables = [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
    if not tables:
        return ""
    told = []
    for number, table in enumerate(tables, start=1):
        steps = table.get("steps", "–")
        told.append(f"{table.get('name', default_name(number))} {f'{steps:,}' if type(steps) is int else steps} steps")
    return clean(f"{len(tables)} stage{'s' * (len(tables) > 1)}: {', '.join(told)}", limit=400)


def value_of(field: ProfileField, text: str) -> Any:
    """What ``text`` means for ``field``; None where it is empty and the field goes back to its default; of a list ``EMPTY`` is
    the empty one.

    Raises ValueError with what a value must be.
    """
    if field.kind in {"strings", "numbers"} and text.strip() == EMPTY:
        return []
    match field.kind:
        case "strings":
            return [line.strip() for line in text.splitlines() if line.strip()] or None
        case "numbers":
            return _numbers(field, text) or None
        case "bool":
            return None if field.is_optional and text == field.absent else {ON: True, OFF: False}[text]
        case "int" | "float":
            return _number(field, text.strip())
    text = text.strip()
    if not text and field.required:
        raise ValueError(f"needed: {field.requirement}")
    return text or None


def _numbers(field: ProfileField, text: str) -> list[int | float]:
    """Numbers with commas between them, or one a line."""
    try:
        values = [float(part) for part in text.replace("\n", ",").split(",") if part.strip()]
    except ValueError:
        raise ValueError(f"must be {field.requirement}") from None
    if not all(is_in_range(field, value) for value in values):
        raise ValueError(f"must be {field.requirement}")
    return [int(value) if value.is_integer() else value for value in values]


def _number(field: ProfileField, text: str) -> int | float | None:
    if not text:
        return None
    plain = text.replace(",", "").replace("_", "")
    try:
        value = int(plain) if field.kind == "int" else float(plain)
    except ValueError:
        raise ValueError(f"must be {field.requirement}") from None
    if not is_in_range(field, value):
        raise ValueError(f"must be {field.requirement}")
    return value


def is_in_range(field: ProfileField, value: float) -> bool:
    """Whether a number keeps to the field's limits; NaN never does."""
    low, high = field.minimum, field.maximum
    if low is not None and not (value > low if field.minimum_exclusive else value >= low):
        return False
    if high is not None and not (value < high if field.maximum_exclusive else value <= high):
        return False
    return not math.isnan(value) and not (field.multiple_of and value % field.multiple_of)


def default_text(field: ProfileField) -> str:
    """The default in a few words, for a placeholder: ``16``, ``none``, ``as optimizer.lr``; empty where the field is required."""
    if field.required:
        return ""
    if field.is_optional:
        return field.absent
    if field.default in ((), ""):
        return "none"
    return text_of(field, field.default)
