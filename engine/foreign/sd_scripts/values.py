"""Values as people write them into configs and command lines: numbers as text, truth as words, lists with commas or spaces.

Each reader raises ``ValueError`` with the end of a sentence that begins with the value: "is no number".
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping
from typing import Any, Final

TRUE: Final = frozenset({"true", "yes", "on", "1"})
FALSE: Final = frozenset({"false", "no", "off", "0", "", "none"})
_NEXT_KEY: Final = re.compile(r"[\s,;]+(?=[A-Za-z_]\w*\s*=)")


def is_nothing(value: Any) -> bool:
    """Whether a value stands for "not set": nothing, an empty text or list, or the word None."""
    return (
        value is None
        or (isinstance(value, str) and value.strip() in ("", "None", "none", "null"))
        or value in ([], {}, ())
    )


def as_flag(value: Any) -> bool:
    """``True`` for true, "True", 1; an option without a value is true."""
    if isinstance(value, str) and value.strip().lower() in TRUE | FALSE:
        return value.strip().lower() in TRUE
    if isinstance(value, bool) or value in (0, 1):
        return bool(value)
    raise ValueError("is neither true nor false")


def as_number(value: Any) -> float:
    """A number, also from text: ``1e-4``, ``0,5`` is none."""
    if isinstance(value, bool):
        raise ValueError("is no number")
    if isinstance(value, (int, float)):
        number = float(value)
    elif isinstance(value, str):
        text = value.strip().strip("\"'")
        try:
            number = float(text[:-1]) / 100 if text.endswith("%") else float(text)
        except ValueError:
            raise ValueError("is no number") from None
    else:
        raise ValueError("is no number")
    if not math.isfinite(number):
        raise ValueError("is no finite number")
    return number


def as_whole(value: Any) -> int:
    """A whole number; ``1.0`` is one, too."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = value.strip() if isinstance(value, str) else ""
    if re.fullmatch(r"[+-]?\d{1,30}", text):
        return int(text)
    number = as_number(value)
    if number != int(number):
        raise ValueError("is no whole number")
    return int(number)


def as_text(value: Any) -> str:
    """A text; of a list its entries with commas."""
    if isinstance(value, (list, tuple)):
        return ",".join(as_text(item) for item in value)
    return str(value).encode("utf-8", "replace").decode()  # JSON can hold half a character


def as_numbers(value: Any) -> list[float]:
    """Numbers of a list, or of a text with commas or spaces, in brackets or not."""
    if isinstance(value, (list, tuple)):
        return [as_number(item) for item in value]
    if isinstance(value, str):
        return [as_number(item) for item in re.split(r"[\s,]+", value.strip().strip("()[]{} ")) if item]
    return [as_number(value)]


def as_arguments(value: Any) -> dict[str, Any]:
    """``key=value`` pairs: a list of them, one text of several, or a table. Values are Python's where they can be."""
    if isinstance(value, Mapping):
        return {str(key): _literal(item) for key, item in value.items() if not isinstance(item, Mapping)}
    parts = [str(item) for item in value] if isinstance(value, (list, tuple)) else [str(value)]
    found: dict[str, Any] = {}
    for one in (piece for text in parts for piece in _NEXT_KEY.split(text.strip())):
        key, equals, text = one.strip().strip("\"'").partition("=")
        if key.strip():
            found[key.strip().lstrip("-")] = _literal(text.strip().strip("\"'")) if equals else ""
    return found


def _literal(value: Any) -> Any:
    if not isinstance(value, str) or len(value) > 1000:
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return value


def shown(value: Any, limit: int = 60) -> str:
    """``value`` on one line for a report, cut to ``limit`` characters."""
    match value:
        case bool():
            text = "true" if value else "false"
        case str():
            text = value
        case float():
            text = f"{value:g}"
        case list() | tuple():
            text = "[" + ", ".join(shown(item, limit) for item in value[:20]) + "]"
        case Mapping():
            text = ", ".join(f"{key}={shown(item, limit)}" for key, item in list(value.items())[:20])
        case _:
            text = str(value)
    text = "".join(letter if letter.isprintable() else "�" for letter in " ".join(text.split()))
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
