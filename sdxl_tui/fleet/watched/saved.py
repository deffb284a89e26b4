"""Which states and LoRA files a watched run saved: told by their metadata, else by when they were saved."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from engine.model.errors import ModelError
from engine.model.safetensors_header import read_header
from sdxl_tui.fleet.foreign_states import ForeignEntry, StateFolder
from sdxl_tui.fleet.watched.record import SavedFile

SAVED_AFTER_SECONDS: Final = 900.0
"""A file may be saved so long after the last value was written."""
STARTED_BEFORE_SECONDS: Final = 7200.0
"""Event files begin so long after the training was started, at most: latents are cached before."""
_SAVE_NAME: Final = re.compile(r"(?P<base>.+?)(?:-step\d{8}|-\d{6})?(?:-state|\.safetensors)")
"""As sd-scripts names what it saves: ``fox-step00000500-state``, ``fox-000002.safetensors``, ``fox.safetensors``."""


@dataclass(frozen=True)
class SaveGroup:
    """What was saved under one name, and what the metadata of its newest LoRA file tell."""

    files: tuple[SavedFile, ...]
    started: float | None = None
    steps: int | None = None


@dataclass
class SaveGroups:
    """Groups what was saved, and remembers what was read of it."""

    _metadata: dict[Path, tuple[float, tuple[float | None, int | None]]] = field(default_factory=dict)

    def of(self, folder: StateFolder) -> tuple[SaveGroup, ...]:
        """What was saved in a folder, by name."""
        by_base: dict[tuple[Path, str], list[ForeignEntry]] = {}
        for entry in folder.entries:
            match = _SAVE_NAME.fullmatch(entry.path.name)
            by_base.setdefault((entry.path.parent, match["base"] if match else entry.path.name), []).append(entry)
        return tuple(self._group(entries) for entries in by_base.values())

    def _group(self, entries: Sequence[ForeignEntry]) -> SaveGroup:
        files = tuple(SavedFile(entry.path, entry.is_state, entry.changed) for entry in entries)
        newest = next((file for file in files if not file.is_state), None)
        return SaveGroup(files, *(self._of_metadata(newest) if newest else (None, None)))

    def _of_metadata(self, file: SavedFile) -> tuple[float | None, int | None]:
        """(when its training was started, its planned steps), as its metadata tell; read once."""
        known = self._metadata.get(file.path)
        if known is None or known[0] != file.changed:
            try:
                metadata = read_header(file.path).metadata
            except (ModelError, OSError):
                metadata = {}
            started, steps = (
                positive(metadata.get(f"ss_{name}")) for name in ("training_started_at", "max_train_steps")
            )
            self._metadata[file.path] = known = (file.changed, (started, int(steps) if steps else None))
        return known[1]


def own_groups(
    groups: Sequence[SaveGroup], began_at: float, written: float, starts: Sequence[float], later: Sequence[float]
) -> list[SaveGroup]:
    """What a run saved: by when its training was started, where that is written in it, else by when it was saved."""
    found = []
    for group in groups:
        if group.started is not None:
            after = [start for start in starts if start >= group.started - 5]
            if after and min(after) == began_at and began_at - group.started <= STARTED_BEFORE_SECONDS:
                found.append(group)
            continue
        end = min([written + SAVED_AFTER_SECONDS, *later])
        files = tuple(file for file in group.files if began_at <= file.changed <= end)
        if files:  # the metadata are those of the newest LoRA file
            is_of_it = next((file for file in group.files if not file.is_state), None) in files
            found.append(SaveGroup(files, None, group.steps if is_of_it else None))
    return found


def positive(text: str | None) -> float | None:
    """The number above 0 that a text of metadata is; None of any other."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 < number < 1e12 else None
