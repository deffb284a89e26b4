"""The profile that a checkpoint was trained with, as ``state.json`` holds it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine.checkpoint.describe import read_state
from engine.checkpoint.manifest import CheckpointError
from engine.profile.schema import Profile


def stored_profile(folder: Path) -> Profile:
    """The settings of the checkpoint in ``folder``. Raises ``CheckpointError`` if they are not readable."""
    return profile_in(read_state(folder), folder)


def profile_in(state: Mapping[str, Any], folder: Path) -> Profile:
    """As ``stored_profile``, of the ``state.json`` in ``folder`` that has been read already."""
    try:
        return Profile.model_validate(state.get("profile"))
    except ValidationError as error:
        raise CheckpointError(
            "it does not say with which settings it was trained, or in words that this version does not know",
            where=str(folder),
            hint="Resume it with the version of sdxl-tui that wrote it, or continue from its weights.",
        ) from error
