"""Deleting checkpoints by hand: what would go and how much that is, what is refused and why, and then doing it.

A plan reads the files of one checkpoint per run (the one that must be whole to stay), so it is made off the UI's loop. The
engine's own pruning is ``engine.checkpoint.retention``'s.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.checkpoint.describe import resume_candidates
from engine.checkpoint.manifest import is_whole
from engine.checkpoint.pins import read_pins
from engine.checkpoint.retention import bytes_of, is_being_saved, remove
from engine.errors import UserError
from engine.run.errors import RunError
from engine.run.layout import CHECKPOINT_NAME, RunDirectory
from engine.run.liveness import Liveness, assess, assess_patiently
from engine.run.lock import RunLock
from engine.run.records import RunRecord
from sdxl_tui.fleet.queue.record import read_queue
from sdxl_tui.workspace import Workspace


@dataclass(frozen=True)
class Going:
    """A checkpoint that goes."""

    folder: Path
    bytes: int


@dataclass(frozen=True)
class Refused:
    """A checkpoint that stays."""

    folder: Path
    reason: str
    """A sentence without its full stop: ``it is pinned``."""


@dataclass(frozen=True)
class DeletionPlan:
    """What a deletion would do; of a deletion that was made: what it did."""

    goes: tuple[Going, ...]
    refused: tuple[Refused, ...] = ()

    @property
    def bytes(self) -> int:
        """Of all that goes."""
        return sum(going.bytes for going in self.goes)


def plan_deletion(checkpoints: Sequence[Path]) -> DeletionPlan:
    """What deleting ``checkpoints`` (folders) would do now; nothing is changed.

    Refused are pinned ones, the last whole one of a run, what a live run began at or is replacing, what a run in the queue
    will begin at, and whatever is no checkpoint in a run's folder. Damaged ones may go. Never raises for what the folders hold.
    """
    goes: list[Going] = []
    refused: list[Refused] = []
    for run, folders in _by_run(checkpoints).items():
        if run is None:
            refused += [Refused(folder, "it is not a checkpoint of a run") for folder in folders]
        else:
            plan = _plan(run, folders, assess(run))
            goes += plan.goes
            refused += plan.refused
    return DeletionPlan(tuple(goes), tuple(refused))


def delete(plan: DeletionPlan) -> DeletionPlan:
    """Delete what goes by ``plan``; what was done, as a plan: what in the meantime must stay is refused in it.

    Each checkpoint is gone for every reader at once, even where deleting its files is cut short.
    """
    done: list[Going] = []
    refused = list(plan.refused)
    for run, folders in _by_run([going.folder for going in plan.goes]).items():
        if run is None:
            continue
        with _looked_at(run) as liveness:
            now = _plan(run, folders, liveness)
            refused += now.refused
            for going in now.goes:
                if remove(going.folder):
                    done.append(going)
                else:
                    refused.append(Refused(going.folder, "it cannot be moved: see the permissions of its folder"))
    return DeletionPlan(tuple(done), tuple(refused))


def _by_run(checkpoints: Sequence[Path]) -> dict[RunDirectory | None, list[Path]]:
    """Absolute folders by the run they lie in, each once; None: in no run."""
    found: dict[RunDirectory | None, list[Path]] = {}
    for folder in dict.fromkeys(path.absolute() for path in checkpoints):
        run = RunDirectory(folder.parent.parent)
        is_own = CHECKPOINT_NAME.match(folder.name) and folder.parent == run.checkpoints and run.record.is_file()
        found.setdefault(run if is_own and folder.is_dir() and not folder.is_symlink() else None, []).append(folder)
    return found


def _plan(run: RunDirectory, folders: Sequence[Path], liveness: Liveness) -> DeletionPlan:
    reasons = _reasons(run, folders, liveness)
    return DeletionPlan(
        tuple(Going(folder, bytes_of(folder) or 0) for folder in folders if folder not in reasons),
        tuple(Refused(folder, reason) for folder, reason in reasons.items()),
    )


def _reasons(run: RunDirectory, folders: Sequence[Path], liveness: Liveness) -> dict[Path, str]:
    """By folder why it must stay, for those that must."""
    pinned = read_pins(run)
    reasons = {folder: "it is pinned" for folder in folders if folder.name in pinned}
    if liveness.alive:
        for folder in folders:
            if liveness.process is None:
                reasons.setdefault(folder, "its run is just being started")
            elif folder.name == liveness.process.resumed_from:
                reasons.setdefault(folder, "its run is alive and began there")
            elif is_being_saved(folder):
                reasons.setdefault(folder, "it is being written now")
    if why := _waits_for_the_newest(run):
        newest = next(filter(is_whole, resume_candidates(run)), None)
        if newest is not None and newest in folders:
            reasons.setdefault(newest, why)
    going = [folder for folder in folders if folder not in reasons]
    if (last := _last_whole(run, going)) is not None:
        reasons[last] = "it is the last whole one of its run"
    return reasons


def _waits_for_the_newest(run: RunDirectory) -> str:
    """Why what waits in the queue needs the run's newest checkpoint; empty where nothing does."""
    try:
        queue = read_queue(Workspace(run.path.parent.parent))
    except UserError:
        return "the queue cannot be read, and what waits in it may begin there"
    for entry in queue.entries:
        if entry.run == run.id:
            return "its run waits in the queue and goes on from there"
        record = RunRecord.read(RunDirectory(run.path.parent / entry.run).record)
        parent = record.parent if record else None
        if parent is not None and parent.run == run.id and not parent.checkpoint:
            return f"{entry.run} waits in the queue and begins there"
    return ""


def _last_whole(run: RunDirectory, going: Collection[Path]) -> Path | None:
    """The one of ``going`` that must stay so that ``run`` keeps a whole checkpoint; None if another one is whole.

    Whole by every byte: one that only looks whole must not be what is left.
    """
    candidates = resume_candidates(run)
    others = [folder for folder in run.checkpoint_folders() if folder not in candidates]
    ordered = [*candidates, *reversed(others)]
    staying, asked = ([folder for folder in ordered if (folder in going) is asked] for asked in (False, True))
    whole = next(filter(is_whole, [*staying, *asked]), None)
    return whole if whole in going else None


@contextlib.contextmanager
def _looked_at(run: RunDirectory) -> Iterator[Liveness]:
    """What ``run`` is doing; if nothing, no attempt begins here while inside.

    Blocks for some seconds where only that tells whether it is at work on another machine.
    """
    liveness, lock = assess_patiently(run), None
    if not liveness.alive:
        try:
            lock = RunLock.acquire(run.lock)
        except RunError:
            liveness = assess(run)
    try:
        yield liveness
    finally:
        if lock is not None:
            lock.close()
