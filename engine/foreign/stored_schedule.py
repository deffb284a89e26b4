"""The learning-rate schedule of a foreign training as one of ours, where what is stored tells it; never by a guess.

sd-scripts' own schedules are not in a state: the metadata of the LoRA file beside it name them. What they name is held against
the rate that the state's scheduler stores: a curve that does not meet it is not the one that was trained.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from engine.foreign.lora_facts import LoraFacts
from engine.foreign.scheduler_state import SchedulerState
from engine.foreign.sd_scripts.imported import Imported
from engine.foreign.sd_scripts.option import Fate
from engine.foreign.sd_scripts_state import SCHEDULER, SdScriptsState
from engine.profile.schema import Profile
from engine.schedule import Kind, Schedule, ScheduleError

_CLOSE: Final = 1e-3
"""Share of the base rate by which a stored rate may differ from the curve's: that of a step's neighbours in short runs."""


@dataclass(frozen=True)
class StoredSchedule:
    """A schedule and where it is known from, or why it is not known."""

    schedule: Schedule | None
    said: str


def schedule_in_metadata(facts: LoraFacts | None, imported: Imported | None, profile: Profile | None) -> StoredSchedule:
    """What a LoRA file's metadata name."""
    if facts is None or imported is None or profile is None:
        return StoredSchedule(None, "there are no metadata of its training")
    kind, total = facts.text("ss_lr_scheduler"), facts.count("ss_max_train_steps")
    if kind is None or not total:
        missing = "schedule" if kind is None else "total steps"
        return StoredSchedule(None, f"{facts.path.name} does not name its {missing}")
    if any(line.option.startswith("ss_lr_") for line in imported.of(Fate.UNSUPPORTED)):
        return StoredSchedule(None, f"{facts.path.name} names {kind}, which is none of the schedules here")
    try:
        return StoredSchedule(profile.schedule.over(total), f"by the metadata of {facts.path.name}")
    except ScheduleError as error:
        return StoredSchedule(None, f"{facts.path.name} names {kind}, which makes no schedule: {error.what}")


def schedule_of_state(state: SdScriptsState, named: StoredSchedule) -> StoredSchedule:
    """What a state and its LoRA file tell together. named: what the file's metadata name."""
    group, step, scheduler = next(iter(state.groups), None), state.true_step, state.scheduler
    if group is None or step is None or group.lr is None or not group.base_lr:
        return StoredSchedule(None, "the state does not store where its schedule stands")
    if scheduler is not None and scheduler.stores_its_shape:
        named = _of_torch(scheduler, group.base_lr)
    if named.schedule is None:
        return named
    schedule = named.schedule
    if not 0 <= step <= schedule.total_steps:
        return StoredSchedule(None, f"{schedule.kind}, {named.said}, ends at step {schedule.total_steps:,}")
    if step < schedule.total_steps and not math.isclose(
        schedule.lr(step, group.base_lr), group.lr, rel_tol=0, abs_tol=_CLOSE * group.base_lr
    ):
        return StoredSchedule(
            None, f"{schedule.kind}, {named.said}, does not meet the stored rate: another one was trained"
        )
    return named


def _of_torch(scheduler: SchedulerState, base_lr: float) -> StoredSchedule:
    """A scheduler of torch by the parameters it stores: CosineAnnealingLR up to its end is our cosine."""
    steps, floor = scheduler.parameters.get("T_max"), scheduler.parameters.get("eta_min")
    if (
        scheduler.kind != "CosineAnnealingLR"
        or not isinstance(steps, int)
        or steps < 1
        or not isinstance(floor, int | float)
        or not 0 <= floor <= base_lr
    ):
        named = scheduler.kind or f"what {SCHEDULER} holds"
        return StoredSchedule(None, f"{named} is none of the schedules here")
    return StoredSchedule(
        Schedule(Kind.COSINE, steps, min_factor=floor / base_lr), "by what scheduler.bin holds (CosineAnnealingLR)"
    )
