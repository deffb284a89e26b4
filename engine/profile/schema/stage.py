"""One ``[[stages]]`` table: a part of the training with a rate, a schedule and a length of its own.

What a stage trains as a whole is worked out in ``engine.profile.stages``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from engine.profile.schema.section import APPLIED, RESTORED, Section
from engine.profile.setting import Setting
from engine.schedule import Kind as ScheduleKind


class Stage(Section):
    """One part of the training: a run of its own that goes on from the last checkpoint of the stage before."""

    name: Annotated[
        str | None,
        Field(max_length=32, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$"),
        Setting(
            "Name of the stage; its run is named after the profile and it.",
            APPLIED,
            absent="stage-1, stage-2 and so on",
        ),
    ] = None
    steps: Annotated[
        int,
        Field(ge=1, le=10_000_000),
        Setting(
            "Optimizer steps of this stage; its schedule ends with them.",
            RESTORED,
            unit="steps",
            detail="Takes the place of training.steps.",
            aliases=("max_train_steps", "total_steps", "max_steps", "num_steps"),
        ),
    ]
    lr: Annotated[
        float | None,
        Field(gt=0, le=10),
        Setting(
            "Base learning rate of this stage.",
            RESTORED,
            absent="optimizer.lr",
            detail="Rates that parts of the model have of their own (optimizer.unet_lr and the others) keep their ratio to it.",
            aliases=("learning_rate", "base_lr"),
        ),
    ] = None
    schedule: Annotated[
        ScheduleKind | None,
        Field(strict=False),
        Setting(
            "Shape of the learning rate in this stage.",
            RESTORED,
            absent="schedule.kind",
            detail="What [schedule] says of other kinds than this one is left out of the stage.",
            aliases=("lr_scheduler", "scheduler", "lr_scheduler_type", "kind"),
        ),
    ] = None
    warmup_steps: Annotated[
        int | None,
        Field(ge=0, le=10_000_000),
        Setting(
            "Steps in which the LR rises in a line from 0 to its base.",
            RESTORED,
            unit="steps",
            absent="the warmup of [schedule] in the first stage, none in the others",
            detail="5 % of the steps where the optimizer's moments start from zero.",
            aliases=("lr_warmup_steps", "warmup", "num_warmup_steps"),
        ),
    ] = None
    keep: Annotated[
        Literal["weights", "state"] | None,
        Setting(
            "What it takes over from the stage before: its weights alone, or the whole training state.",
            RESTORED,
            absent="weights",
            detail="weights is a continue: a new optimizer, data from the start. state is a reschedule: the optimizer's "
            "moments, the data position and the random state go on, and only rates, schedule and what a resume applies may "
            "differ. Not of the first stage, which has none before it.",
        ),
    ] = None
    set: Annotated[
        dict[str, Any],
        Setting(
            "Further fields of the profile that are different in this stage, by their full names in quotes.",
            RESTORED,
            detail='"schedule.min_factor" = 0.1 below [stages.set]. All fields can differ where keep is weights, but for '
            "those of [network] that weights are made by.",
        ),
    ] = {}  # noqa: RUF012 - pydantic copies it
