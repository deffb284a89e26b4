"""The profile that a checkpoint was trained with, as ``state.json`` holds it."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from engine.checkpoint.describe import read_state
from engine.checkpoint.manifest import CheckpointError
from engine.profile.schema import Profile


def stored_profile(folder: Path) -> Profile:
    """The settings of the checkpoint in ``folder``. Raises ``CheckpointError`` if they are not readable."""
    try:
        return Profile.model_validate(read_state(folder).get("profile"))
    except ValidationError as error:
        raise CheckpointError(
            "it does not say with which settings it was trained, or in words that this version does not know",
            where=str(folder),
            hint="Resume it with the version of sdxl-tui that wrote it, or continue from its weights.",
        ) from error
