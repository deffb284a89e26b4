"""Which checkpoints are kept, and how one goes: renamed out of sight first, so that a half-deleted one is never met.

By itself only the holder of the run's lock deletes anything; what a person deletes is ``sdxl_tui.fleet.deletion``'s. Torch-free.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
from pathlib import Path
from typing import Final

from engine.checkpoint.describe import resume_candidates
from engine.checkpoint.manifest import CheckpointError, verify
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


def prune(run: RunDirectory, keep_last: int, *, latest: Path) -> list[Path]:
    """Delete what is older than ``latest``, just saved, and not among the ``keep_last`` newest a resume could take.

    Those are counted along the lineage of the latest attempt, so that one left on an abandoned branch does not push out
    its predecessor. Newer ones of another branch stay until they are reached, damaged ones for a person to look at.
    Returns what is gone; nothing with keep_last 0, nor if ``latest`` is not the newest of its lineage.
    """
    if keep_last == 0:
        return []
    lineage = resume_candidates(run)
    if not lineage or lineage[0] != latest:
        return []
    kept = set(lineage[:keep_last])
    older = (folder for folder in run.checkpoint_folders() if folder.name < latest.name and folder not in kept)
    return [folder for folder in older if _is_whole(folder) and remove(folder)]


def _is_whole(folder: Path) -> bool:
    try:
        verify(folder, digests=False)
    except CheckpointError:
        return False
    return True


def remove(folder: Path) -> bool:
    """Make a checkpoint go, out of sight at once; False if it cannot be moved."""
    aside = leftover_path(folder)
    with contextlib.suppress(OSError):
        folder.rename(aside)
        discard(aside)
        return True
    return False
