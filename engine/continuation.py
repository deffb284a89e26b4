"""What a way on from a checkpoint means, worked out before anything is done: profile, learning rates, effects.

Pure: no disk, no clock. Making the child run is left to the manager, training it to the engine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from tomllib import TOMLDecodeError
from typing import Any, Final

from pydantic import ValidationError

from engine.checkpoint.summary import CheckpointSummary
from engine.errors import UserError
from engine.profile.fields import SOURCES, find_field, nearest_field, profile_field, profile_fields
from engine.profile.overrides import read_value
from engine.profile.schema import Profile
from engine.profile.schema import Schedule as ScheduleFields
from engine.profile.setting import AtResume
from engine.schedule import SETTINGS, Kind, Phase, Schedule, ScheduleError, from_settings, is_used, settings_of


class ContinuationError(UserError):
    """A continuation that cannot be made; ``field`` names what to change (``optimizer.lr``; empty if none)."""

    def __init__(self, what: str, *, field: str = "", hint: str | None = None) -> None:
        super().__init__(what, where=field or None, hint=hint)
        self.field = field


@dataclass(frozen=True)
class Effect:
    """A field whose value differs between what a checkpoint was trained with and what is wanted now."""

    field: str
    stored: Any
    new: Any
    at_resume: AtResume
    what_happens: str
    """One sentence."""


@dataclass(frozen=True)
class StatePart:
    """A part of the training state and what each route does with it."""

    name: str
    resume: str
    continue_: str


STATE_PARTS: Final = (
    StatePart("LoRA weights", "restored", "from the checkpoint"),
    StatePart("optimizer moments", "restored", "new, from zero"),
    StatePart("schedule and LR", "restored, exactly", "new"),
    StatePart("data position, random state", "restored", "new"),
    StatePart("where", "the same run", "a child run"),
)
"""The routes' table, for dialogs and docs."""


@dataclass(frozen=True)
class Continuation:
    """A child run that takes a checkpoint's weights and a new learning rate, before it is made."""

    route: str
    """``continue``."""
    checkpoint: CheckpointSummary
    profile: Profile
    """What the child trains."""
    old: Schedule
    old_step: int
    old_base_lr: float
    new: Schedule
    new_base_lr: float
    first_lr: float
    """The rate of the child's very first step: 0 with a warmup, else its base."""
    jump: float | None
    """``jump_to / jump_from``; None where ``jump_from`` is 0."""
    jump_from: float
    """Where the rate stood: what the checkpoint's last step used; at step 0 what its first step would use."""
    jump_to: float
    """The highest rate of the child's first steps: its base; with a warmup it is reached at the warmup's end."""
    suggested_warmup: int | None
    """Steps, by the rule of ``suggested_warmup``; None where the rate does not jump up, the schedule has no warmup or one
    step is all there is."""
    effects: tuple[Effect, ...]
    """Fields that differ from the parent's profile."""
    notes: tuple[str, ...]
    """Sentences worth reading first: what the stored schedule had left, what is new."""

    @property
    def warmup_is_advised(self) -> bool:
        """The rate jumps up and the planned warmup is shorter than the suggested one."""
        return self.suggested_warmup is not None and self.new.warmup_steps < self.suggested_warmup


def plan_continuation(
    checkpoint: CheckpointSummary,
    parent_profile: Profile,
    *,
    lr: float,
    kind: Kind | str | None = None,
    warmup_steps: int | None = None,
    steps: int | None = None,
    shape: Mapping[str, Any] | None = None,
) -> Continuation:
    """A child run from ``checkpoint`` with base rate ``lr``; optimizer and schedule start anew.

    kind: by default the stored schedule's. warmup_steps: by default none. steps: by default as many as the stored schedule
    had left, or all of them again if it was finished. shape: other fields of ``[schedule]``, by name; what is not given
    stays as it is stored, as far as the kind has it. Raises ``ContinuationError`` naming the field that is wrong.
    """
    if not checkpoint.is_whole:
        raise ContinuationError(
            f"{checkpoint.name} is damaged: {checkpoint.integrity}", hint="Use an older checkpoint."
        )
    base_lr = _checked_lr(lr)
    old = checkpoint.schedule
    total = _checked_count("training.steps", steps, default=checkpoint.steps_left or old.total_steps)
    new = _new_schedule(old, _checked_kind(kind or old.kind), total, warmup_steps, dict(shape or {}))
    group = checkpoint.groups[0]
    jump_from = old.lr(checkpoint.step, group.base_lr) if group.last_lr is None else group.last_lr
    jump_to = new.lr(min(new.risen_at, total - 1), base_lr)
    jump = jump_to / jump_from if jump_from > 0 else None
    profile = _child_profile(parent_profile, new, checkpoint, base_lr)
    may_warm_up = is_used(new.kind, "warmup_steps") and (jump is None or jump > 1)
    return Continuation(
        route="continue",
        checkpoint=checkpoint,
        profile=profile,
        old=old,
        old_step=checkpoint.step,
        old_base_lr=group.base_lr,
        new=new,
        new_base_lr=base_lr,
        first_lr=new.lr(0, base_lr),
        jump=jump,
        jump_from=jump_from,
        jump_to=jump_to,
        suggested_warmup=(suggested_warmup(total) or None) if may_warm_up else None,
        effects=_continued_effects(parent_profile, profile),
        notes=_notes(checkpoint, parent_profile, new),
    )


def read_shape(words: Sequence[str]) -> dict[str, Any]:
    """``["cycles=3", "min_factor=0.1"]`` as values of the schedule's fields. Raises ``ContinuationError``."""
    shape = {}
    for word in words:
        name, equals, written = (part.strip() for part in word.partition("="))
        name = name.removeprefix("schedule.")
        field = find_field(f"schedule.{name}")
        if not equals or not written:
            raise ContinuationError(
                f"{word!r} is not written as name=value", field="schedule", hint="For instance cycles=3."
            )
        if field is None or name not in SETTINGS:
            near = nearest_field(name, "schedule") or ""
            hint = f"Did you mean {near.removeprefix('schedule.')}?" if near.startswith("schedule.") else None
            raise ContinuationError(f"no schedule has {name!r}", field="schedule", hint=hint)
        try:
            value = read_value(field, written)
            shape[name] = getattr(ScheduleFields.model_validate({name: value}), name)
        except (ValidationError, TOMLDecodeError):
            raise ContinuationError(f"must be {field.requirement}, not {written}", field=field.path) from None
    return shape


def _new_schedule(
    old: Schedule, kind: Kind, total_steps: int, warmup_steps: int | None, shape: dict[str, Any]
) -> Schedule:
    warmup = _checked_count("schedule.warmup_steps", warmup_steps, default=0)
    if warmup > total_steps:
        what = f"a warmup of {warmup:,} steps does not fit into {total_steps:,} steps"
        raise ContinuationError(what, field="schedule.warmup_steps", hint=f"Use at most {total_steps:,}.")
    kept = {name: value for name, value in settings_of(old.reaching(total_steps)).items() if name in SETTINGS}
    kept = {name: value if is_used(kind, name) else SETTINGS[name] for name, value in kept.items()}
    try:
        return from_settings(kept | {"kind": kind, "warmup_steps": warmup} | shape, total_steps)
    except ScheduleError as error:
        hint = error.hint and f"{error.hint[:1].upper()}{error.hint[1:]}."
        raise ContinuationError(error.what, field=f"schedule.{error.parameter}", hint=hint) from None


def suggested_warmup(steps: int) -> int:
    """Warmup that softens an upward jump: 5 % of ``steps``, at least 10, at most 100, at most half of ``steps``."""
    return min(max(10, min(100, round(steps * 0.05))), steps // 2)


_AT_RESUME: Final = {
    AtResume.APPLIED: "takes effect from the next step on",
    AtResume.RESTORED: "is ignored by a resume: the checkpoint's value wins; continue with a new LR to change it",
    AtResume.FIXED: "rules out an exact resume: change it back, or start from the weights",
}


def effects(stored: Profile, wanted: Profile) -> tuple[Effect, ...]:
    """What a resume would do with each field that ``wanted`` sets otherwise than ``stored``, in the schema's order."""
    return tuple(
        Effect(path, old, new, profile_field(path).at_resume, _AT_RESUME[profile_field(path).at_resume])
        for path, old, new in _differences(stored, wanted)
    )


def _continued_effects(stored: Profile, wanted: Profile) -> tuple[Effect, ...]:
    sentence = "takes effect: a child run starts with a new optimizer and schedule"
    return tuple(
        Effect(path, old, new, profile_field(path).at_resume, sentence)
        for path, old, new in _differences(stored, wanted)
    )


def _differences(stored: Profile, wanted: Profile) -> list[tuple[str, Any, Any]]:
    before, after = stored.values(), wanted.values()
    before[SOURCES], after[SOURCES] = stored.dataset.sources, wanted.dataset.sources
    paths = [field.path for field in profile_fields()]
    return [(path, before[path], after[path]) for path in paths if before[path] != after[path]]


_GROUP_RATES: Final = {
    "unet": "unet_lr",
    "text_encoder_1": "text_encoder_lr",
    "text_encoder_2": "text_encoder_2_lr",
}


def _child_profile(parent: Profile, new: Schedule, checkpoint: CheckpointSummary, lr: float) -> Profile:
    """The parent's profile with the new schedule; ``lr`` is the first group's rate, the others keep their ratio to it."""
    tables = parent.model_dump(by_alias=True)
    first = checkpoint.groups[0].base_lr
    rates = {group.name: lr * (group.base_lr / first) if first > 0 else lr for group in checkpoint.groups}
    for name, rate in rates.items():
        _checked_lr(rate, f"the LR of {name}, which keeps its ratio to the first group's,")
    tables["optimizer"]["lr"] = lr
    for group, field in _GROUP_RATES.items():
        tables["optimizer"][field] = None if rates.get(group, lr) == lr else rates[group]
    if "text_encoder_2" in rates and tables["optimizer"]["text_encoder_lr"] is not None:
        tables["optimizer"]["text_encoder_2_lr"] = rates["text_encoder_2"]
    tables["network"]["start_from"] = None  # the weights are the checkpoint's
    tables["schedule"] |= settings_of(new)
    tables["training"]["steps"] = new.total_steps
    try:
        return Profile.model_validate(tables)
    except ValidationError as error:
        what = "; ".join(item["msg"].removeprefix("Value error, ") for item in error.errors())
        raise ContinuationError(what, field="optimizer.lr") from error


def _notes(checkpoint: CheckpointSummary, parent: Profile, new: Schedule) -> tuple[str, ...]:
    old, step, group = checkpoint.schedule, checkpoint.step, checkpoint.groups[0]
    notes = []
    if checkpoint.phase is Phase.FINISHED:
        notes.append(f"The stored {old.kind} schedule was finished: all {old.total_steps:,} steps are done.")
    else:
        first, last = old.lr(step, group.base_lr), old.lr(old.total_steps - 1, group.base_lr)
        notes.append(
            f"The stored {old.kind} schedule had {checkpoint.steps_left:,} of {old.total_steps:,} steps left, "
            f"with the LR going from {_lr(first)} to {_lr(last)}."
        )
    if lost := len(old.rules) - len(old.reaching(new.total_steps).rules) if new.kind is old.kind else 0:
        notes.append(f"{lost} of the stored rules are beyond {new.total_steps:,} steps and are left out.")
    if step < old.warmup_steps:
        notes.append(f"The checkpoint was taken in the warmup, at step {step:,} of {old.warmup_steps:,}.")
    planned = parent.optimizer.lr_of(group.name)
    if group.base_lr != planned:
        notes.append(f"The optimizer's base LR was {_lr(group.base_lr)}, not the profile's {_lr(planned)}.")
    if len(checkpoint.groups) > 1 and group.base_lr > 0:
        others = ", ".join(f"{other.name} × {other.base_lr / group.base_lr:g}" for other in checkpoint.groups[1:])
        notes.append(f"The LR and the jump are those of the group {group.name}; the others keep their ratio: {others}.")
    if new.warmup_steps == new.total_steps:
        notes.append("The warmup is as long as the training: the base LR is never reached.")
    notes.append("The optimizer's moments start from zero; the weights are the checkpoint's.")
    return tuple(notes)


def _checked_lr(lr: float, what: str = "the LR") -> float:
    field = profile_field("optimizer.lr")
    low, high = field.minimum or 0, field.maximum or math.inf
    if isinstance(lr, bool) or not math.isfinite(lr) or not low < lr <= high:
        raise ContinuationError(f"{what} must be {field.requirement}, not {lr}", field=field.path)
    return float(lr)


def _checked_kind(kind: Kind | str) -> Kind:
    try:
        return Kind(kind)
    except ValueError:
        field = profile_field("schedule.kind")
        raise ContinuationError(f"the schedule must be {field.requirement}, not {kind!r}", field=field.path) from None


def _checked_count(path: str, value: int | None, *, default: int) -> int:
    if value is None:
        return default
    field = profile_field(path)
    low, high = field.minimum or 0, field.maximum or math.inf
    if isinstance(value, bool) or not low <= value <= high:
        raise ContinuationError(f"must be {field.requirement}, not {value:,}", field=path)
    return value


def _lr(rate: float) -> str:
    mantissa, _, power = f"{rate:.2e}".partition("e")
    return f"{mantissa}e{int(power)}" if rate else "0"
