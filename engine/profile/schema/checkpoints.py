"""The profile's ``[checkpoints]``: when the full training state is saved, and how much of it is kept."""

from __future__ import annotations

from typing import Annotated, Literal

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
            detail="At least 2, so that a damaged newest one has a whole one before it. Pinned checkpoints stay in any case.",
            aliases=("save_last_n_steps_state", "checkpoints_total_limit", "max_step_saves_to_keep"),
        ),
    ] = 0
    keep_every_steps: Annotated[
        int,
        Field(ge=0),
        Setting(
            "Beside the newest, keep those of every so many steps for good; 0 keeps none.",
            APPLIED,
            unit="steps",
            detail="A multiple of every_steps: 1000 with every_steps = 250 keeps every fourth.",
            aliases=("keep_every_n_steps", "milestone_steps"),
        ),
    ] = 0
    keep_best: Annotated[
        int,
        Field(ge=0),
        Setting(
            "Beside the newest, keep this many with the lowest validation loss; 0 keeps none.",
            APPLIED,
            detail="Only those that were measured at their own step count, so every_steps is a multiple of "
            "validation.every_steps.",
            aliases=("save_best", "save_top_k", "keep_n_best"),
        ),
    ] = 0
    on_save_error: Annotated[
        Literal["train on", "stop"],
        Setting(
            "What a save that the disk refuses does: train on and try again, or stop the run.",
            APPLIED,
            detail="In both cases earlier checkpoints stay as they were. Training on tries again after a minute; what "
            "was trained since the last checkpoint is lost if the machine goes down before there is space.",
        ),
    ] = "train on"
    rehearsal: Annotated[
        bool,
        Setting(
            "Before the first step, save and load once: prove that the training state comes back exactly.",
            APPLIED,
            detail="Takes about a second and no random number of the training. A state that does not come back is refused at "
            "once instead of at the first resume.",
        ),
    ] = True
