"""Which checkpoints of a run its user pinned: neither retention nor ``delete`` takes one that is.

One small file in the run's folder (docs/files.md), written by the manager and read by the engine before it prunes. Torch-free.
"""

from __future__ import annotations

import os
from typing import Final

from engine.checkpoint.manifest import CheckpointError
from engine.durable import write_json_atomically
from engine.run.folder_lock import alone_in
from engine.run.layout import CHECKPOINT_NAME, RunDirectory
from engine.run.records import read_json_object

FORMAT: Final = 1


def read_pins(run: RunDirectory) -> frozenset[str]:
    """The names of the run's pinned checkpoints, ``step-00000020``; also of ones that are gone.

    Never raises: where the file cannot be read, every checkpoint that is there counts as pinned.
    """
    try:
        return _read(run)
    except CheckpointError:
        return frozenset(folder.name for folder in run.checkpoint_folders())


def pin(run: RunDirectory, name: str) -> None:
    """Pin the checkpoint ``name`` of ``run``. Raises ``CheckpointError`` if it has none of that name or cannot be written."""
    if not CHECKPOINT_NAME.match(name) or not run.checkpoints.joinpath(name).is_dir():
        raise CheckpointError(f"there is no checkpoint {name!r}", where=run.id)
    with alone_in(run.path, lambda what: CheckpointError(what, where=str(run.path))):
        _write(run, _read(run) | {name})


def unpin(run: RunDirectory, name: str) -> None:
    """Let the checkpoint ``name`` go again as the profile says. Raises ``CheckpointError`` if it is not pinned."""
    with alone_in(run.path, lambda what: CheckpointError(what, where=str(run.path))):
        pinned = _read(run)
        if name not in pinned:
            raise CheckpointError(f"{name} is not pinned", where=run.id)
        _write(run, pinned - {name})


def _read(run: RunDirectory) -> frozenset[str]:
    stored = read_json_object(run.pins)
    if stored is None:
        if not os.path.lexists(run.pins):
            return frozenset()
        raise _unreadable(run)
    names = stored.get("pinned")
    if stored.get("format") != FORMAT or not isinstance(names, list):
        raise _unreadable(run)
    return frozenset(name for name in names if isinstance(name, str) and CHECKPOINT_NAME.match(name))


def _write(run: RunDirectory, pinned: frozenset[str]) -> None:
    try:
        write_json_atomically(run.pins, {"format": FORMAT, "pinned": sorted(pinned)})
    except OSError as error:
        raise CheckpointError(f"the pins cannot be written: {error.strerror}", where=str(run.pins)) from error


def _unreadable(run: RunDirectory) -> CheckpointError:
    return CheckpointError(
        "the list of pinned checkpoints cannot be read",
        where=str(run.pins),
        hint="Until it is deleted or mended, every checkpoint of the run counts as pinned.",
    )
