"""Which checkpoints are kept, and how one goes: renamed out of sight first, so that a half-deleted one is never met.

By itself only the holder of the run's lock deletes anything; what a person deletes is ``sdxl_tui.fleet.deletion``'s. Torch-free.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.checkpoint.describe import CheckpointSummary, list_checkpoints, resume_candidates
from engine.checkpoint.pins import read_pins
from engine.run.layout import RunDirectory

UNFINISHED: Final = ".tmp-"
DISCARDED: Final = ".dead-"


def leftover_path(folder: Path) -> Path:
    """A free hidden name beside ``folder`` for what is about to be deleted."""
    return folder.with_name(f"{DISCARDED}{folder.name}-{secrets.token_hex(4)}")


def is_being_saved(folder: Path) -> bool:
    """A save of the checkpoint ``folder`` is under way, or was cut short."""
    return any(folder.parent.glob(f"{UNFINISHED}{int(folder.name.rpartition('-')[2])}-*"))


def bytes_of(folder: Path) -> int | None:
    """Of the files in a checkpoint's folder; None if it cannot be read."""
    try:
        return sum(file.stat().st_size for file in folder.iterdir())
    except OSError:
        return None


def discard(folder: Path) -> None:
    """Delete ``folder`` as far as the disk allows; what stays is swept at the next start."""
    shutil.rmtree(folder, ignore_errors=True)


def sweep_leftovers(run: RunDirectory) -> None:
    """Delete what an interrupted save or deletion left in the run's checkpoints. The caller holds the run's lock."""
    if not run.checkpoints.is_dir():
        return
    for entry in run.checkpoints.iterdir():
        if entry.name.startswith((UNFINISHED, DISCARDED)) and entry.is_dir() and not entry.is_symlink():
            discard(entry)


@dataclass(frozen=True)
class Retention:
    """What of a run's checkpoints is kept, as the profile's ``[checkpoints]`` says. Zeros keep nothing by their rule."""

    keep_last: int = 0
    """So many of the newest that a resume could take; 0 keeps all."""
    keep_every_steps: int = 0
    """Those of every so many steps, for good."""
    keep_best: int = 0
    """So many with the lowest validation loss."""


@dataclass(frozen=True)
class Kept:
    """A whole checkpoint as retention sees it."""

    step: int
    is_on_lineage: bool = True
    """A resume of the run could take it; else it lies on a branch that was left, or beyond where the run stands."""
    validation_loss: float | None = None
    """Measured after this very step; None if it was not."""


def superfluous(whole: Collection[Kept], retention: Retention, pinned: Collection[int] = ()) -> list[int]:
    """The steps of the checkpoints that go once the newest on the lineage is on the disk, lowest first.

    Never among them: that newest one and what is beyond it, ``keep_last`` on the lineage, multiples of
    ``keep_every_steps``, the ``keep_best`` lowest validation losses of all branches (of equal ones the later), pinned steps.
    """
    lineage = sorted((item.step for item in whole if item.is_on_lineage), reverse=True)
    if retention.keep_last == 0 or not lineage:
        return []
    measured = [(item.validation_loss, -item.step) for item in whole if item.validation_loss is not None]
    stays = {*lineage[: retention.keep_last], *(-step for _, step in sorted(measured)[: retention.keep_best]), *pinned}
    every = retention.keep_every_steps
    return sorted(
        item.step
        for item in whole
        if item.step < lineage[0] and item.step not in stays and not (every and item.step % every == 0)
    )


def prune(run: RunDirectory, retention: Retention, *, latest: Path) -> list[Path]:
    """Delete what is superfluous now that ``latest`` is saved, and return it; pinned checkpoints are asked for here.

    ``keep_last`` counts along the lineage of the latest attempt, so that one left on an abandoned branch does not push out
    its predecessor. Newer ones of another branch stay until they are reached, damaged ones for a person to look at.
    Nothing goes if ``latest`` is not the newest of its lineage.
    """
    if retention.keep_last == 0:
        return []
    lineage = resume_candidates(run)
    if not lineage or lineage[0] != latest:
        return []
    whole = [
        Kept(item.step, item.folder in lineage, item.validation_loss if item.validated_step == item.step else None)
        for item in list_checkpoints(run)
        if isinstance(item, CheckpointSummary) and item.is_whole
    ]
    names = read_pins(run)
    pinned = {item.step for item in whole if run.checkpoint(item.step).name in names}
    going = [run.checkpoint(step) for step in superfluous(whole, retention, pinned)]
    return [folder for folder in going if remove(folder)]


def remove(folder: Path) -> bool:
    """Make a checkpoint go, out of sight at once; False if it cannot be moved."""
    aside = leftover_path(folder)
    with contextlib.suppress(OSError):
        folder.rename(aside)
        discard(aside)
        return True
    return False
