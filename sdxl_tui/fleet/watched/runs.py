"""Watched runs as rows among our own: found in the folders that were added, summed up by the end of their event files.

Looking costs what there is to see: files that grew are read at their ends, folders are looked through now and then, the less
often the longer it takes. Whether such a run lives is not known; when its files were last written is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from engine.run.errors import RunError
from engine.run.layout import RunDirectory
from engine.run.liveness import Liveness, RunState
from sdxl_tui.fleet.foreign_states import StateFolder, find_states, read_folders
from sdxl_tui.fleet.runs import RunSummary, run_directories
from sdxl_tui.fleet.watched.event_folder import began, event_files, run_name, settings_of
from sdxl_tui.fleet.watched.record import FRESH_SECONDS, Watched
from sdxl_tui.fleet.watched.saved import SaveGroup, SaveGroups, Trained, owned, positive
from sdxl_tui.fleet.watched.tail import Tail, read_tail
from sdxl_tui.workspace import Workspace

SCAN_SECONDS: Final = 10.0
"""Between two looks through the folders, at least."""
SHARE: Final = 100
"""A look through the folders is followed by this many times what it took of the processor without one."""


@dataclass(frozen=True)
class _Look:
    """The event files as they were found."""

    files: tuple[tuple[Path, os.stat_result], ...]

    @property
    def state(self) -> tuple[tuple[str, int, int], ...]:
        """Differs when any of them was written."""
        return tuple((path.name, status.st_size, status.st_mtime_ns) for path, status in self.files)

    @property
    def written(self) -> float:
        return max(status.st_mtime for _, status in self.files)


@dataclass
class _Known:
    """A run that was found before."""

    look: _Look
    tail: Tail
    settings: dict[str, str]
    summary: RunSummary | None = None
    groups: Sequence[SaveGroup] = ()


@dataclass
class WatchedRuns:
    """The runs in the folders of a workspace. Used by one thread at a time."""

    workspace: Workspace
    clock: Callable[[], float] = time.time
    _folders: tuple[StateFolder, ...] = ()
    _named: tuple[Path, ...] = ()
    _scan_at: float = 0.0
    _known: dict[Path, _Known] = field(default_factory=dict)
    _saves: SaveGroups = field(default_factory=SaveGroups)
    _owners: set[Path] = field(default_factory=set)
    _owned: dict[Path, list[SaveGroup]] = field(default_factory=dict)

    def look(self, taken: Collection[str] = ()) -> tuple[RunSummary, ...]:
        """All of them now, the newest first. taken: ids that are ours. Raises ``StateFolderError`` for an unreadable list."""
        named = read_folders(self.workspace)
        began_at, used = time.monotonic(), time.thread_time()
        is_scan = named != self._named or began_at >= self._scan_at
        if is_scan:
            self._folders, self._named = tuple(find_states(folder) for folder in named), named
        if not named:
            self._known = {}
            return ()
        places = {path: folder for folder in self._folders for path in folder.events}
        self._known = {path: known for path, known in self._known.items() if path in places}
        for path in places:
            self._look_at(path, again=is_scan)
        found = self._summaries(places, taken, again=is_scan)
        if is_scan:
            took = time.monotonic() - began_at
            self._scan_at = time.monotonic() + max(SCAN_SECONDS, 5 * took, SHARE * (time.thread_time() - used))
        return found

    @property
    def problems(self) -> tuple[str, ...]:
        """Of the folders that cannot be listed, as of the last look: ``/data/kohya: cannot be listed: No such file ...``."""
        return tuple(f"{folder.path}: {folder.problem}" for folder in self._folders if folder.is_unreadable)

    def look_again(self) -> None:
        """The next look goes through the folders."""
        self._scan_at = 0.0

    def _look_at(self, path: Path, *, again: bool) -> None:
        """Read the end of a run's files if they have grown. One that is not fresh is looked at when the folders are."""
        known = self._known.get(path)
        if known is not None and not again and self.clock() - known.look.written > FRESH_SECONDS:
            return
        try:
            look = _Look(tuple(event_files(path)))
        except OSError:
            return
        if not look.files:
            self._known.pop(path, None)
        elif known is None or known.look.state != look.state:
            settings = settings_of(path) if known is None or not known.settings else known.settings
            before = known.tail if known and len(known.look.files) == len(look.files) else Tail()
            self._known[path] = _Known(look, read_tail(look.files, before), settings)

    def _summaries(
        self, places: dict[Path, StateFolder], taken: Collection[str], *, again: bool
    ) -> tuple[RunSummary, ...]:
        runs = sorted(
            (self._trained(path, places[path], known) for path, known in self._known.items()),
            key=lambda run: (run.began, str(run.path)),
        )
        if again or {run.path for run in runs} != self._owners:
            self._owners = {run.path for run in runs}
            self._owned = owned({folder.path: self._saves.of(folder) for folder in self._folders}, runs)
        ids, found = set(taken), []
        for run in runs:
            known = self._known[run.path]
            _, plain = run_name(run.path, run.shown, known.settings.get("output_name", ""))
            run_id = _unique(plain, ids)
            ids.add(run_id)
            groups = self._owned.get(run.path, [])
            if known.summary is None or known.summary.id != run_id or known.groups != groups:
                known.summary, known.groups = _summary(known, groups, run, run_id), groups
            found.append(known.summary)
        return tuple(reversed(found))

    def _trained(self, path: Path, folder: StateFolder, known: _Known) -> Trained:
        name, _ = run_name(path, folder.path, known.settings.get("output_name", ""))
        return Trained(path, folder.path, name, began(known.look.files), known.look.written)


def _unique(run_id: str, taken: Collection[str]) -> str:
    """``run_id``, or with a number behind it: the run that began first keeps the plain one."""
    if run_id not in taken:
        return run_id
    return next(other for number in range(2, len(taken) + 3) if (other := f"{run_id}-{number}") not in taken)


def _summary(known: _Known, groups: Sequence[SaveGroup], run: Trained, run_id: str) -> RunSummary:
    tail, look = known.tail, known.look
    saved = sorted(
        {file for group in groups for file in group.files},
        key=lambda file: (-file.changed, not file.is_state, file.path),
    )
    planned = [group.steps for group in groups if group.steps]
    total = int(positive(known.settings.get("max_train_steps")) or 0) or max(planned, default=0)
    watched = Watched(
        folder=run.path,
        shown=run.shown,
        files=tuple(file for file, _ in look.files),
        written=look.written,
        bytes=sum(status.st_size for _, status in look.files),
        saved=tuple(saved),
    )
    pace = tail.steps_per_second
    return RunSummary(
        id=run_id,
        name=run.name,
        directory=RunDirectory(run.path),
        liveness=Liveness(RunState.WATCHED, alive=False),
        created=run.began,
        parent=None,
        origin=None,
        started_from=None,
        step=tail.step,
        total_steps=total if total >= tail.step else 0,
        loss=tail.loss,
        loss_avg=tail.average,
        lr=tail.rate,
        steps_per_second=pace,
        eta_seconds=(total - tail.step) / pace if pace and total > tail.step else None,
        device="",
        checkpoint=None,
        message="",
        own_reason="" if tail.step else "nothing is measured yet",
        validation_loss=tail.validation,
        watched=watched,
    )


def watched_runs(workspace: Workspace, taken: Collection[str] = ()) -> tuple[RunSummary, ...]:
    """All of them, looked for once. Raises ``StateFolderError``."""
    return WatchedRuns(workspace).look(taken)


def find_watched(workspace: Workspace, text: str) -> RunSummary | None:
    """The watched run that ``text`` names: its id, or the beginning of it and of no other's. None where there is none.

    Raises ``StateFolderError``.
    """
    found = [run for run in watched_runs(workspace, ids_of_ours(workspace)) if run.id.startswith(text)]
    return next((run for run in found if run.id == text), found[0] if len(found) == 1 else None)


def ids_of_ours(workspace: Workspace) -> frozenset[str]:
    """Ids that no watched run may have."""
    try:
        return frozenset(run.id for run in run_directories(workspace))
    except RunError:
        return frozenset()
