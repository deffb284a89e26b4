"""The profile's ``[schedule]``: how the learning rate moves over the steps."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine.profile.schema.section import RESTORED, Section
from engine.profile.setting import Setting
from engine.schedule import SETTINGS, DecayShape, TailShape, from_settings
from engine.schedule import Kind as ScheduleKind
from engine.schedule import Schedule as LrSchedule


class Schedule(Section):
    """How the learning rate moves over the steps. What shapes another kind of schedule must be left out."""

    kind: Annotated[
        ScheduleKind,
        Field(strict=False),
        Setting(
            "Shape after the warmup.",
            RESTORED,
            detail="cosine, the usual one, falls along half a cosine; constant holds the base LR; linear falls in a line; "
            "cosine_with_restarts starts again from the base LR; polynomial falls by a power; inverse_sqrt falls ever more "
            "slowly; warmup_stable_decay holds and falls at the end; rex falls late; piecewise follows rules; one_cycle rises "
            "first.",
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
    ] = SETTINGS["warmup_steps"]
    warmup_share: Annotated[
        float,
        Field(ge=0, le=1),
        Setting(
            "The warmup as a share of all steps, instead of a number of them.",
            RESTORED,
            detail="0 to 0.1.",
            aliases=("lr_warmup_ratio", "warmup_ratio"),
        ),
    ] = SETTINGS["warmup_share"]
    min_factor: Annotated[
        float,
        Field(ge=0, le=1),
        Setting(
            "Where the LR ends: a share of its base. Of all kinds that fall to an end.",
            RESTORED,
            detail="0 lets the last steps change nothing; 0.1 is the usual floor.",
            aliases=("lr_scheduler_min_lr_ratio", "min_lr_ratio", "min_lr_rate", "min_lr", "eta_min", "lr_end"),
        ),
    ] = SETTINGS["min_factor"]
    cycles: Annotated[
        int,
        Field(ge=1, le=100),
        Setting(
            "Cosine curves one after another. Of cosine_with_restarts.",
            RESTORED,
            detail="2 to 4; each but the first starts with a jump to the base LR.",
            aliases=("lr_scheduler_num_cycles", "num_cycles", "restarts"),
        ),
    ] = SETTINGS["cycles"]
    cycle_growth: Annotated[
        float,
        Field(ge=1, le=10),
        Setting(
            "How many times as long each cycle is as the one before. Of cosine_with_restarts.",
            RESTORED,
            detail="1 makes them equally long; 2 doubles each.",
            aliases=("t_mult",),
        ),
    ] = SETTINGS["cycle_growth"]
    power: Annotated[
        float,
        Field(ge=0.001, le=100),
        Setting(
            "Exponent of the falling part. Of polynomial.",
            RESTORED,
            detail="1 is a line, 2 falls early, 0.5 late.",
            aliases=("lr_scheduler_power",),
        ),
    ] = SETTINGS["power"]
    timescale: Annotated[
        int | None,
        Field(ge=1, le=10_000_000),
        Setting(
            "Steps after the warmup until the LR is 0.71 of its base. Of inverse_sqrt.",
            RESTORED,
            unit="steps",
            absent="the warmup's steps, or 10,000 without a warmup",
            aliases=("lr_scheduler_timescale",),
        ),
    ] = SETTINGS["timescale"]
    decay_share: Annotated[
        float,
        Field(gt=0, le=1),
        Setting(
            "Share of all steps in which the LR falls, at the end. Of warmup_stable_decay.",
            RESTORED,
            detail="0.1 to 0.3.",
            aliases=("lr_decay_steps", "decay_steps", "num_decay_steps"),
        ),
    ] = SETTINGS["decay_share"]
    decay_shape: Annotated[
        DecayShape,
        Field(strict=False),
        Setting(
            "How the LR falls at the end. Of warmup_stable_decay.",
            RESTORED,
            detail="sqrt is 1 − √p: it falls early; p is the share of the decay that is done.",
            aliases=("decay_type", "lr_decay_style"),
        ),
    ] = SETTINGS["decay_shape"]
    rules: Annotated[
        str,
        Field(max_length=2000),
        Setting(
            'Factors of the base LR, each from a step on: "0:1, 500:0.5". Of piecewise.',
            RESTORED,
            detail="The first step is 0, the factors go from 0 to 1.",
            aliases=("step_rules", "milestones"),
        ),
    ] = SETTINGS["rules"]
    rise_share: Annotated[
        float,
        Field(gt=0, lt=1),
        Setting(
            "Share of all steps in which the LR rises to its base. Of one_cycle.",
            RESTORED,
            aliases=("pct_start",),
        ),
    ] = SETTINGS["rise_share"]
    start_factor: Annotated[
        float,
        Field(ge=0, le=1),
        Setting(
            "Where the LR begins: a share of its base. Of one_cycle.",
            RESTORED,
            detail="0.04 is torch's div_factor of 25.",
            aliases=("div_factor",),
        ),
    ] = SETTINGS["start_factor"]

    tail_steps: Annotated[
        int,
        Field(ge=0, le=10_000_000),
        Setting(
            "Of training.steps those that follow the curve's end.",
            RESTORED,
            unit="steps",
            detail="0, the usual: the curve takes all steps. A tail trains on where the curve ended; extend adds one to a run.",
            aliases=("extra_steps", "constant_tail"),
        ),
    ] = SETTINGS["tail_steps"]
    tail_shape: Annotated[
        TailShape,
        Field(strict=False),
        Setting("How the LR goes on in the tail.", RESTORED),
    ] = SETTINGS["tail_shape"]
    tail_factor: Annotated[
        float | None,
        Field(ge=0, le=1),
        Setting(
            "Where the tail begins: a share of the base LR.",
            RESTORED,
            detail="A curve that falls to 0 leaves nothing to hold: give 0.05 to 0.2 there.",
            absent="where the curve ended",
        ),
    ] = SETTINGS["tail_factor"]
    tail_end: Annotated[
        float,
        Field(ge=0, le=1),
        Setting("Where a tail that falls ends: a share of the base LR.", RESTORED),
    ] = SETTINGS["tail_end"]

    def over(self, total_steps: int) -> LrSchedule:
        """The schedule of a training of ``total_steps``. Raises ``ScheduleError`` where the fields do not fit together."""
        return from_settings(self.model_dump(), total_steps)
