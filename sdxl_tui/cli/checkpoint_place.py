"""Which checkpoint a command line means; of a run that is only watched it says so, instead of that there is none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sdxl_tui.fleet.runs import refuse_watched

if TYPE_CHECKING:
    from sdxl_tui.workspace import Workspace


def checkpoint_named(text: str, workspace: Workspace) -> Path:
    """The folder of the checkpoint. Raises ``CheckpointError``, or ``WatchedRunError`` for a run of another trainer."""
    from engine.checkpoint.describe import CheckpointError, resolve_checkpoint  # noqa: PLC0415 - slow

    name = text.strip().partition("@")[0].partition("/step-")[0]
    try:
        folder = resolve_checkpoint(text, workspace.runs)
    except CheckpointError:
        refuse_watched(workspace, name)
        raise
    run_id = folder.parent.parent.name
    if run_id != name and run_id.startswith(name):  # by the beginning of our run's id, which may be another's whole one
        refuse_watched(workspace, name)
    return folder
