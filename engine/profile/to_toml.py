"""Values and whole profiles as TOML text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from engine.profile.fields import SOURCES, STAGES, TABLES, profile_sections
from engine.profile.schema import Profile, Section, plain

_HEAD: Final = ("schema", "name")


def toml_value(value: Any) -> str:
    """``value`` as TOML on one line; floats as a person writes them (``1e-4``). Raises ``TypeError`` for what TOML has not."""
    match plain(value):
        case bool() as truth:
            text = "true" if truth else "false"
        case int() as number:
            text = repr(number)
        case float() as number:
            text = toml_float(number)
        case str() as words:
            text = toml_text(words)
        case Section() as table:
            text = toml_value(table.model_dump(exclude_defaults=True))
        case Mapping() as table:
            pairs = ", ".join(f"{toml_key(key)} = {toml_value(item)}" for key, item in table.items())
            text = f"{{ {pairs} }}" if pairs else "{}"
        case Sequence() as items:
            text = f"[{', '.join(toml_value(item) for item in items)}]"
        case _:
            raise TypeError(f"TOML has no value for {value!r}")
    return text


def toml_key(key: str) -> str:
    """``key`` as it stands before the ``=``: in quotes where it is no bare word."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml_text(key)


def toml_text(text: str) -> str:
    """``text`` in double quotes on one line: control characters and exotic line breaks are escaped."""
    quoted = json.dumps(text, ensure_ascii=False)
    return re.sub(r"[\x7f-\x9f\u2028\u2029]", lambda found: f"\\u{ord(found.group()):04x}", quoted)


def toml_float(number: float) -> str:
    """The shortest text that reads back as ``number``: ``1e-4`` below 0.001, else ``0.05``."""
    if not math.isfinite(number):
        return repr(number)
    text = repr(number)
    if 0 < abs(number) < 1e-3:
        sign, digits, exponent = Decimal(text).normalize().as_tuple()
        first, rest = str(digits[0]), "".join(map(str, digits[1:]))
        power = int(exponent) + len(rest)
        return f"{'-' if sign else ''}{first}{f'.{rest}' if rest else ''}e{power}"
    return text


def profile_to_toml(profile: Profile) -> str:
    """``profile`` as complete TOML without comments: every field that has a value, defaults too. Reads back equal."""
    values = profile.values()
    lines = [f"{name} = {toml_value(values[name])}" for name in _HEAD]
    for section in profile_sections():
        if not section.name:
            continue
        lines += ["", f"[{section.name}]"]
        lines += [
            f"{field.name} = {toml_value(values[field.path])}"
            for field in section.fields
            if field.path not in TABLES and values[field.path] is not None
        ]
        if section.name == "dataset":
            lines += _array(SOURCES, profile.dataset.sources)
    lines += _array(STAGES, profile.stages)
    return "\n".join(lines) + "\n"


def _array(path: str, tables: Sequence[Section]) -> list[str]:
    lines = []
    for table in tables:
        lines += ["", f"[[{path}]]"]
        lines += [f"{name} = {toml_value(value)}" for name, value in table.model_dump(exclude_none=True).items()]
    return lines
