"""Runs with their checkpoints as families: a child run hangs below the checkpoint it came from.

A checkpoint never changes once it is visible, so each is described once and remembered; a refresh costs a directory listing
per run. Describing is separate from listing, so that a list of a thousand checkpoints is on the screen before they are read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from engine.checkpoint.describe import BrokenCheckpoint, CheckpointError, CheckpointSummary, describe
from engine.checkpoint.pins import read_pins
from engine.run.layout import CHECKPOINT_NAME, REPLACED_NAME, RunDirectory
from engine.run.records import Parent, RunRecord
from sdxl_tui.fleet.runs import RunSummary, list_runs
from sdxl_tui.workspace import Workspace

Described = CheckpointSummary | BrokenCheckpoint


@dataclass(frozen=True)
class CheckpointEntry:
    """A checkpoint's folder and, once it was read, what it says."""

    folder: Path
    step: int
    """By the folder's name."""
    described: Described | None = None
    pinned: bool = False
    """Kept whatever the rule of the run's profile prunes."""

    @property
    def is_replaced(self) -> bool:
        """It was pinned when its step was reached again: kept aside, no part of the run's lineage any more."""
        return CHECKPOINT_NAME.match(self.folder.name) is None

    @cached_property
    def key(self) -> str:
        """Unique in the workspace: ``run-id/step-00000020``."""
        return f"{self.folder.parent.parent.name}/{self.folder.name}"

    @cached_property
    def words(self) -> str:
        """What a filter looks for words in: its name and step, what it is, ``pinned`` and ``damaged``; lower case."""
        words = [self.folder.name, str(self.step), "pinned" if self.pinned else ""]
        found = self.described
        if isinstance(found, CheckpointSummary):
            words += [found.schedule.kind.value, found.phase.value, found.optimizer, found.network.kind]
        if found is not None and (isinstance(found, BrokenCheckpoint) or not found.is_whole):
            words.append("damaged")
        return "\n".join(words).lower()


@dataclass(frozen=True)
class Family:
    """A run, its checkpoints (newest first) and the runs that came from them."""

    run: RunSummary
    parent: Parent | None
    checkpoints: tuple[CheckpointEntry, ...]
    children: tuple[Family, ...] = ()
    problem: str = ""
    """Why its checkpoints cannot be listed; empty if they can."""

    @property
    def key(self) -> str:
        """The run's id."""
        return self.run.id

    def walk(self) -> Iterator[Family]:
        """The run and all that descend from it."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass
class CheckpointShelf:
    """Lists families and remembers what was read. Threads may share it: at worst two read the same checkpoint."""

    workspace: Workspace
    _described: dict[Path, tuple[int, Described]] = field(default_factory=dict)
    _parents: dict[str, Parent | None] = field(default_factory=dict)
    _runs: list[RunSummary] = field(default_factory=list)
    _entries: dict[Path, CheckpointEntry] = field(default_factory=dict)
    """As they were handed out last: the same object again while nothing about a checkpoint changed."""

    def read(self) -> tuple[Family, ...]:
        """All families now, the newest first; checkpoints not read before are without their description.

        Raises ``RunError`` if the runs folder cannot be read.
        """
        self._runs = runs = list_runs(self.workspace, self._runs)
        known = {run.id for run in runs}
        children: dict[str, list[RunSummary]] = {}
        roots = []
        for run in runs:
            parent = self._parent(run)
            if parent is not None and parent.run in known and parent.run != run.id:
                children.setdefault(parent.run, []).append(run)
            else:
                roots.append(run)
        return tuple(self._family(run, children, frozenset()) for run in roots)

    def known(self, entry: CheckpointEntry) -> CheckpointEntry:
        """The entry with what was read of it since it was listed; looks at no disk."""
        read = self._described.get(entry.folder)
        return replace(entry, described=read[1]) if read and entry.described is None else entry

    def describe(self, entry: CheckpointEntry) -> Described | None:
        """What a checkpoint says, read now unless it was read before; None if it is gone."""
        version = _version(entry.folder)
        if version is None:
            self._described.pop(entry.folder, None)
            return None
        known = self._described.get(entry.folder)
        if known is None or known[0] != version:
            self._described[entry.folder] = known = (version, _read(entry))
        return known[1]

    def _parent(self, run: RunSummary) -> Parent | None:
        if run.parent is None:
            return None
        if run.id not in self._parents or self._is_to_come(run.id):
            record = RunRecord.read(run.directory.record)
            self._parents[run.id] = record.parent if record else None
        return self._parents[run.id]

    def _is_to_come(self, run_id: str) -> bool:
        """The run begins with what its parent has yet to leave: its record will say more."""
        parent = self._parents[run_id]
        return parent is not None and not parent.checkpoint

    def _family(self, run: RunSummary, children: dict[str, list[RunSummary]], above: frozenset[str]) -> Family:
        above |= {run.id}
        own = tuple(self._family(child, children, above) for child in children.get(run.id, ()) if child.id not in above)
        try:
            names = os.listdir(run.directory.checkpoints)  # noqa: PTH208 - names are all that is needed
            problem = ""
        except OSError as error:
            is_gone = isinstance(error, FileNotFoundError) and not run.directory.checkpoints.is_symlink()
            names, problem = [], "" if is_gone else f"its checkpoints cannot be listed: {error.strerror}"
        return Family(run, self._parent(run), self._checkpoints(run.directory, names), own, problem)

    def _checkpoints(self, run: RunDirectory, names: list[str]) -> tuple[CheckpointEntry, ...]:
        pinned = read_pins(run) if names else frozenset()
        entries = []
        for _, name in sorted(((step, name) for name in names if (step := _step(name)) is not None), reverse=True):
            folder = run.checkpoints / name
            known = self._described.get(folder)
            current = known is not None and known[0] == _version(folder)
            described = known[1] if known and current else None
            entries.append(self._entry(folder, described, pinned=name in pinned))
        return tuple(entries)

    def _entry(self, folder: Path, described: Described | None, *, pinned: bool) -> CheckpointEntry:
        before = self._entries.get(folder)
        if before is not None and before.described is described and before.pinned == pinned:
            return before
        entry = self._entries[folder] = CheckpointEntry(folder, _step(folder.name) or 0, described, pinned)
        return entry


def _step(name: str) -> int | None:
    """The step that a folder's name claims; None if it is no checkpoint's name."""
    match = CHECKPOINT_NAME.match(name) or REPLACED_NAME.match(name)
    return int(match[1]) if match else None


def _read(entry: CheckpointEntry) -> Described:
    try:
        summary = describe(entry.folder)
    except CheckpointError as error:
        return BrokenCheckpoint(entry.folder, error.what)
    except OSError as error:
        return BrokenCheckpoint(entry.folder, f"it cannot be read: {error.strerror}")
    if summary.step != entry.step:
        return BrokenCheckpoint(entry.folder, f"the folder's name says step {entry.step}, its state {summary.step}")
    return summary


def _version(folder: Path) -> int | None:
    """Changes whenever a file is added to or removed from the folder (a damaged copy being mended, for one).

    None: there is no such name. A name that leads nowhere (a link to itself, say) has a version, too: its error's number.
    """
    try:
        return folder.stat().st_mtime_ns
    except OSError as error:
        return -(error.errno or 0) if os.path.lexists(folder) else None
