"""The profile's ``[checkpoints]``: when the full training state is saved, and how much of it is kept."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine.profile.schema.section import APPLIED, Section
from engine.profile.setting import Setting


class Checkpoints(Section):
    """When the full training state is saved, and how much of it is kept."""

    every_steps: Annotated[
        int,
        Field(ge=0),
        Setting(
            "Save every so many steps; 0 is off.",
            APPLIED,
            unit="steps",
            aliases=("save_every_n_steps", "save_every"),
        ),
    ] = 250
    every_minutes: Annotated[
        float,
        Field(ge=0),
        Setting(
            "Save when so many minutes have passed since the last save; 0 is off.",
            APPLIED,
            unit="min",
            detail="A rented container is stopped without warning: what was not saved is lost.",
        ),
    ] = 5.0
    keep_last: Annotated[
        int,
        Field(ge=0),
        Setting(
            "Keep this many of the newest checkpoints; 0 keeps all.",
            APPLIED,
            detail="At least 2, so that a damaged newest one has a whole one before it.",
            aliases=("save_last_n_steps_state", "checkpoints_total_limit", "max_step_saves_to_keep"),
        ),
    ] = 0
