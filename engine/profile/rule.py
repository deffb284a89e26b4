"""What a rule between fields of a profile is: a claim about their values, and what would mend a broken one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Broken:
    """What a rule objects to: the sentence, and what would mend it."""

    sentence: str
    suggestion: str


@dataclass(frozen=True)
class Rule:
    """A claim about ``fields`` (paths). The first one is the field that a broken rule is reported at."""

    fields: tuple[str, ...]
    sentence: str
    """The claim in general, for the reference documentation."""
    check: Callable[[Values], Broken | None]
