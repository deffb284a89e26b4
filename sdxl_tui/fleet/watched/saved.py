"""Which states and LoRA files a watched run saved: told by their metadata, else by when they were saved."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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

    base: str
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
        return tuple(self._group(base, entries) for (_, base), entries in by_base.items())

    def _group(self, base: str, entries: Sequence[ForeignEntry]) -> SaveGroup:
        files = tuple(SavedFile(entry.path, entry.is_state, entry.changed) for entry in entries)
        newest = next((file for file in files if not file.is_state), None)
        return SaveGroup(base, files, *(self._of_metadata(newest) if newest else (None, None)))

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


@dataclass(frozen=True)
class Trained:
    """A watched run, as far as it tells what is its own."""

    path: Path
    shown: Path
    name: str
    began: float
    written: float


def owned(groups: Mapping[Path, Sequence[SaveGroup]], runs: Sequence[Trained]) -> dict[Path, list[SaveGroup]]:
    """By the path of a run what it saved. groups: by the folder that was added.

    A LoRA file names when its training was started: it is that of the run that began next, one of its own name or folder first.
    Without, what was saved while a run of the folder was written is that run's; in a folder without runs, any run's.
    """
    found: dict[Path, list[SaveGroup]] = {}
    by_folder: dict[Path, list[Trained]] = {}
    for run in runs:
        by_folder.setdefault(run.shown, []).append(run)
    for folder, saved in groups.items():
        near = by_folder.get(folder, runs)
        for group in saved:
            if group.started is None:
                _own_by_time(group, near, found)
            elif owner := _started_next(group, group.started, folder, runs):
                found.setdefault(owner.path, []).append(group)
    return found


def _started_next(group: SaveGroup, started: float, folder: Path, runs: Sequence[Trained]) -> Trained | None:
    after = [run for run in runs if started - 5 <= run.began <= started + STARTED_BEFORE_SECONDS]
    return min(after, key=lambda run: (run.name != group.base, run.shown != folder, run.began), default=None)


def _own_by_time(group: SaveGroup, runs: Sequence[Trained], found: dict[Path, list[SaveGroup]]) -> None:
    files: dict[Path, list[SavedFile]] = {}
    for file in group.files:
        then = [run for run in runs if run.began <= file.changed <= run.written + SAVED_AFTER_SECONDS]
        owner = min(then, key=lambda run: (run.name != group.base, -run.began), default=None)
        if owner is not None:
            files.setdefault(owner.path, []).append(file)
    newest = next((file for file in group.files if not file.is_state), None)
    for path, own in files.items():  # the metadata are those of the newest LoRA file
        found.setdefault(path, []).append(
            SaveGroup(group.base, tuple(own), None, group.steps if newest in own else None)
        )


def positive(text: str | None) -> float | None:
    """The number above 0 that a text of metadata is; None of any other."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 < number < 1e12 else None
