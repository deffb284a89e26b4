"""Values and whole profiles as TOML text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from engine.profile.fields import profile_sections
from engine.profile.schema import Profile, Source, plain

_HEAD: Final = ("schema", "name")


def toml_value(value: Any) -> str:
    """``value`` as TOML on one line; floats as a person writes them (``1e-4``). Raises ``TypeError`` for what TOML has not."""
    value = plain(value)
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return repr(value)
        case float():
            return toml_float(value)
        case str():
            return toml_text(value)
        case Source():
            return toml_value(value.model_dump(exclude_defaults=True))
        case Mapping():
            return f"{{ {', '.join(f'{key} = {toml_value(item)}' for key, item in value.items())} }}"
        case Sequence():
            return f"[{', '.join(toml_value(item) for item in value)}]"
    raise TypeError(f"TOML has no value for {value!r}")


def toml_text(text: str) -> str:
    """``text`` in double quotes, with control characters escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_float(number: float) -> str:
    """The shortest text that reads back as ``number``: ``1e-4`` below 0.001, else ``0.05``."""
    if not math.isfinite(number):
        return repr(number)
    text = repr(number)
    if "e" not in text and not 0 < abs(number) < 1e-3:
        return text
    if "e" not in text:
        digits = text.lstrip("-").removeprefix("0.").lstrip("0")
        exponent = len(digits) - len(text.lstrip("-").removeprefix("0."))  # zeros after the point, negative
        mantissa = digits[0] if len(digits) == 1 else f"{digits[0]}.{digits[1:]}"
        return f"{'-' if number < 0 else ''}{mantissa}e{exponent - 1}"
    mantissa, _, power = text.partition("e")
    return f"{mantissa}e{int(power)}"


def profile_to_toml(profile: Profile) -> str:
    """``profile`` as complete TOML without comments: every field, defaults too. Reads back equal."""
    values = profile.values()
    lines = [f"{name} = {toml_value(values[name])}" for name in _HEAD]
    for section in profile_sections():
        if not section.name:
            continue
        lines += ["", f"[{section.name}]"]
        lines += [
            f"{field.name} = {toml_value(values[field.path])}" for field in section.fields if field.kind != "sources"
        ]
        if section.name == "dataset":
            for source in profile.dataset.sources:
                lines += ["", "[[dataset.sources]]"]
                lines += [f"{name} = {toml_value(value)}" for name, value in source.model_dump().items()]
    return "\n".join(lines) + "\n"
