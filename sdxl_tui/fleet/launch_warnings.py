"""What is worth knowing before a profile is launched: what is probably not meant in it, and what will not suffice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.estimate.estimate import estimate
from engine.profile.preflight import check_inputs

if TYPE_CHECKING:
    from engine.profile.load import LoadedProfile
    from sdxl_tui.workspace import Workspace


def launch_warnings(workspace: Workspace, loaded: LoadedProfile) -> list[str]:
    """One sentence each; the folders that the profile names are looked into. Raises ``ProfileError`` if they rule it out."""
    warnings = [str(warning) for warning in check_inputs(loaded.profile, loaded)]
    return [*warnings, *estimate(loaded.profile, workspace.runs).warnings()]
