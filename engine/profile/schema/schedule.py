"""The profile's ``[schedule]``: how the learning rate moves over the steps."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine.profile.schema.section import RESTORED, Section
from engine.profile.setting import Setting
from engine.schedule import Kind as ScheduleKind


class Schedule(Section):
    """How the learning rate moves over the steps."""

    kind: Annotated[
        ScheduleKind,
        Field(strict=False),
        Setting(
            "Shape after the warmup.",
            RESTORED,
            detail="constant holds the base LR; cosine falls along half a cosine to 0 at the last step.",
            aliases=("lr_scheduler", "scheduler", "lr_scheduler_type", "type"),
        ),
    ] = ScheduleKind.COSINE
    warmup_steps: Annotated[
        int,
        Field(ge=0, le=10_000_000),
        Setting(
            "Steps in which the LR rises in a line from 0 to its base.",
            RESTORED,
            unit="steps",
            detail="0 to 10 % of the steps.",
            aliases=("lr_warmup_steps", "warmup", "num_warmup_steps"),
        ),
    ] = 0
