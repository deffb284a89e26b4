"""Watched runs among our own, for commands: nothing is imported or looked for where no folder was ever added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdxl_tui.fleet.runs import RunSummary
    from sdxl_tui.workspace import Workspace


def with_watched(workspace: Workspace, runs: Sequence[RunSummary]) -> tuple[list[RunSummary], tuple[str, ...]]:
    """``runs`` and the watched ones, the newest first, and why there are no more of those: what cannot be listed or read."""
    if not workspace.state_folders.exists():
        return list(runs), ()
    from sdxl_tui.fleet.foreign_states import StateFolderError  # noqa: PLC0415
    from sdxl_tui.fleet.watched.runs import WatchedRuns  # noqa: PLC0415

    watched = WatchedRuns(workspace)
    try:
        found = watched.look({run.id for run in runs})
    except StateFolderError as error:
        return list(runs), (str(error),)
    return sorted((*runs, *found), key=lambda run: (run.created, run.id), reverse=True), watched.problems
