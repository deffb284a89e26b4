"""What an edit does to a profile's text."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any


def changed(old: Sequence[str], new: Sequence[str]) -> tuple[list[str], list[str]]:
    """Lines that went and lines that came."""
    gone: list[str] = []
    come: list[str] = []
    for tag, start, end, new_start, new_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            gone += old[start:end]
            come += new[new_start:new_end]
    return gone, come


def value_at(text: str, path: str) -> Any:
    """The value of the field; None where there is none."""
    found: Any = tomllib.loads(text)
    for key in path.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return found
