"""What a person types as a learning rate: ``1e-4``, or a factor of the present rate (``x0.5``) or the base (``base x2``)."""

from __future__ import annotations

import math
import re
from typing import Final

from engine.routes.plan import lr_text

_FACTOR: Final = re.compile(
    r"^(?:(?P<of>base|current)\s*)?(?:[x×*]\s*(?P<before>\S+)|(?P<percent>[^\s%]+)\s*%)$|^(?P<after>[^\s%x×*]+)\s*[x×*]$",
    re.IGNORECASE,
)
_ALONE: Final = ("base", "current")


def is_factor(text: str) -> bool:
    """Whether ``text`` is written as a factor rather than a rate."""
    text = text.strip()
    return text.lower() in _ALONE or _FACTOR.match(text) is not None


def read_rate(text: str, *, current: float | None, base: float | None, source: str = "the checkpoint") -> float:
    """The rate that ``text`` means.

    current: what the checkpoint's last step used, which plain factors multiply; base: the stored base LR; None where it is not
    stored. source: what stores them. Raises ValueError with a sentence for the person who typed it.
    """
    text = text.strip()
    if not text:
        raise ValueError("type a rate like 1e-4, or a factor like x0.5")
    factor = _FACTOR.match(text)
    if factor is None and text.lower() not in _ALONE:
        return _number(text)
    of_base = (factor["of"] if factor else text).lower() == "base" if factor is None or factor["of"] else False
    share = 1.0
    if factor is not None:
        share = _number(factor["before"] or factor["after"] or factor["percent"])
        if factor["percent"]:
            share /= 100
    reference = base if of_base else current
    if reference is None:
        what = "its base LR" if of_base else "the LR it stood at"
        hint = f", or a factor of its base LR ({lr_text(base)}) like base x0.5" if base and not of_base else ""
        raise ValueError(f"{source} does not store {what}, so there is no {text} of it: type a rate like 1e-4{hint}")
    if not reference:
        hint = "" if of_base or not base else ", or a factor of the base like base x0.5"
        raise ValueError(f"{source}'s rate is 0, so a factor of it is 0 too: type a rate like 1e-4{hint}")
    return share * reference


def _number(text: str) -> float:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        raise ValueError(f"{text[:20]} is not a number: type a rate like 1e-4, or a factor like x0.5") from None
    if not math.isfinite(value):
        raise ValueError("the rate must be a finite number")
    return value
