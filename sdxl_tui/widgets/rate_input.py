"""What a person types as a learning rate: ``1e-4``, or a factor of the present one, ``x0.5``, ``×2`` or ``50%``."""

from __future__ import annotations

import math
import re

_FACTOR = re.compile(
    r"^[x×*]\s*(?P<before>\S+)$|^(?P<after>[^\s%x×*]+)\s*[x×*]$|^(?P<percent>[^\s%]+)\s*%$", re.IGNORECASE
)


def is_factor(text: str) -> bool:
    """Whether ``text`` is written as a factor rather than a rate."""
    return _FACTOR.match(text.strip()) is not None


def parse_rate(text: str, reference: float | None) -> float:
    """The rate that ``text`` means; factors multiply ``reference``, the rate the checkpoint stands at.

    Raises ValueError with a sentence for the person who typed it.
    """
    text = text.strip()
    if not text:
        raise ValueError("type a rate like 1e-4, or a factor like x0.5")
    factor = _FACTOR.match(text)
    if factor is None:
        return _number(text)
    share = _number(factor["before"] or factor["after"] or factor["percent"])
    if factor["percent"]:
        share /= 100
    if not reference:
        raise ValueError("the checkpoint's rate is 0, so a factor of it is 0 too: type a rate like 1e-4")
    return share * reference


def _number(text: str) -> float:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        raise ValueError(f"{text[:20]} is not a number: type a rate like 1e-4, or a factor like x0.5") from None
    if not math.isfinite(value):
        raise ValueError("the rate must be a finite number")
    return value
