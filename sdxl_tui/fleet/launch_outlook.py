"""What a launch of a profile would make, looked at before it does: its runs, what stands against them, what they take.

The same checks as ``sdxl-tui check`` and ``launch --sweep --dry-run``. Reads folders and earlier runs; belongs into a thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import UserError
from engine.estimate.estimate import Estimate, estimate
from engine.profile.load import LoadedProfile, load_profile
from engine.profile.sweep import read_swept_field, sweep_profile
from sdxl_tui.fleet.launch_warnings import launch_warnings

if TYPE_CHECKING:
    from sdxl_tui.workspace import Workspace


@dataclass(frozen=True)
class LaunchWish:
    """What was chosen."""

    waits: bool = False
    """It waits in the queue for its turn; a sweep always does."""
    gpus: tuple[str, ...] = ()
    """UUIDs; empty: any."""
    swept: tuple[str, ...] = ()
    """``optimizer.lr=1e-4,2e-4``."""


@dataclass(frozen=True)
class LaunchOutlook:
    """What would be made of it."""

    names: tuple[str, ...] = ()
    """Of the runs; with stages each name stands for a run per stage."""
    steps: int = 0
    """Of all of them."""
    largest: Estimate | None = None
    """Of the run that takes most memory."""
    warnings: tuple[str, ...] = ()
    problem: str = ""
    """Why nothing can be launched; empty if it can."""


def profiles_to_launch(path: Path, swept: Sequence[str]) -> list[LoadedProfile]:
    """The profile, or those of the sweep. Raises ``ProfileError``."""
    if not swept:
        return [load_profile(path)]
    return [one.loaded for one in sweep_profile(path, [read_swept_field(text) for text in swept])]


def look_before_launch(path: Path, workspace: Workspace, swept: Sequence[str] = ()) -> LaunchOutlook:
    """What launching ``path`` comes to."""
    try:
        found = profiles_to_launch(path, swept)
        warnings = dict.fromkeys(text for one in found for text in launch_warnings(workspace, one))
        estimates = [estimate(one.profile, workspace.runs) for one in found]
    except (UserError, OSError) as error:
        return LaunchOutlook(problem=str(error))
    return LaunchOutlook(
        tuple(one.profile.name for one in found),
        sum(one.profile.planned_steps for one in found),
        max(estimates, key=lambda one: one.memory.total),
        tuple(warnings),
    )
