"""How a path that is being typed could go on, by what lies on this machine. Reads one folder; belongs into a thread."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.demo import BUNDLED
from engine.profile.load import absolute_path
from sdxl_tui.terminal.clean import clean

FOLDER: Final = "/"
"""Among the endings that are wanted: a folder is."""


@dataclass(frozen=True)
class Completion:
    """What became of a beginning."""

    text: str
    """The beginning, and behind it what all that fits has in common."""
    candidates: tuple[str, ...] = ()
    """The whole texts that fit, by name; folders end in a slash. None where one alone fits: ``text`` is that one."""


def complete(text: str, folder: Path, wanted: Sequence[str]) -> Completion:
    """How ``text`` could go on. folder: where relative paths start. wanted: endings of files, ``FOLDER`` for folders.

    Folders are always offered, for what is wanted may lie in one. Hidden names only where a dot was typed.
    """
    head, slash, begun = text.rpartition("/")
    if text.startswith(BUNDLED) or text == "~":
        return Completion(text)
    try:
        place = Path(absolute_path(f"{head}{slash}" or ".", folder))
        with os.scandir(place) as entries:
            names = sorted(_name(entry) for entry in entries if _fits(entry, begun, wanted))
    except (OSError, ValueError):
        return Completion(text)
    found = tuple(f"{head}{slash}{name}" for name in names)
    if not found or (found == (f"{text}/",) and FOLDER in wanted and _is_the_end(f"{text}/", folder, wanted)):
        return Completion(text)
    return Completion(_in_common(found), found if len(found) > 1 else ())


def _is_the_end(text: str, folder: Path, wanted: Sequence[str]) -> bool:
    """Whether a folder that is wanted holds nothing that the path could go on to: it is what was meant."""
    try:
        with os.scandir(Path(absolute_path(text, folder))) as entries:
            return not any(_fits(entry, "", wanted) for entry in entries)
    except (OSError, ValueError):
        return False


def _in_common(texts: Sequence[str]) -> str:
    """Their beginning, letter by letter."""
    first, last = min(texts), max(texts)
    same = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    return first[:same]


def _name(entry: os.DirEntry[str]) -> str:
    return f"{entry.name}/" if entry.is_dir() else entry.name


def _fits(entry: os.DirEntry[str], begun: str, wanted: Sequence[str]) -> bool:
    name = entry.name
    if not name.startswith(begun) or (name.startswith(".") and not begun.startswith(".")):
        return False
    if clean(name) != name:
        return False  # it could not be shown as it is
    return entry.is_dir() or name.lower().endswith(tuple(ending for ending in wanted if ending != FOLDER))
