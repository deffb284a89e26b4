"""A child run before it is made: its profile, what becomes of the learning rate at the seam, what is worth reading first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Any, Final

from pydantic import ValidationError

from engine.checkpoint.summary import CheckpointSummary
from engine.profile.fields import find_field, nearest_field, profile_field
from engine.profile.load import parse_profile
from engine.profile.overrides import read_value
from engine.profile.schema import Profile
from engine.profile.schema import Schedule as ScheduleFields
from engine.profile.to_toml import profile_to_toml
from engine.routes.effects import RATE_FIELDS, Effect, child_effects, differences, refused, shown
from engine.routes.route import Route, RouteError
from engine.schedule import SETTINGS, Schedule, is_used, settings_of

USELESS: Final = 0.01
"""A rate that stays below this share of the stored base LR changes next to nothing."""


@dataclass(frozen=True)
class ChildPlan:
    """A run that trains on from a checkpoint of another one."""

    route: Route
    checkpoint: CheckpointSummary
    profile: Profile
    """What the child trains."""
    old: Schedule
    old_step: int
    old_base_lr: float
    new: Schedule
    new_base_lr: float
    first_step: int
    """Completed steps that the child begins with: 0, or the checkpoint's where steps are counted on."""
    first_lr: float
    """The rate of the child's very first step: 0 with a warmup, else mostly its base."""
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
    warnings: tuple[str, ...] = ()
    """Sentences about what is probably not meant."""

    @property
    def warmup_is_advised(self) -> bool:
        """The rate jumps up and the planned warmup is shorter than the suggested one."""
        return self.suggested_warmup is not None and self.new.warmup_steps < self.suggested_warmup

    @property
    def steps(self) -> int:
        """Optimizer steps that the child makes."""
        return self.new.total_steps - self.first_step


def child_plan(
    route: Route,
    checkpoint: CheckpointSummary,
    parent: Profile,
    profile: Profile,
    *,
    new: Schedule,
    notes: Sequence[str],
    own_from: int = 0,
) -> ChildPlan:
    """The plan of a child whose profile and schedule are settled; the seam is worked out here.

    own_from: the first step of ``new`` whose rate is not the stored schedule's.
    """
    old, group = checkpoint.schedule, checkpoint.groups[0]
    base_lr = profile.optimizer.lr_of(group.name)
    first = checkpoint.step if route.keeps_step else 0
    jump_from = stands_at(checkpoint)
    if first:
        jump_to = new.lr(first, base_lr)
        suggested = None
    else:
        jump_to = new.lr(min(new.risen_at, new.total_steps - 1), base_lr)
        rises = jump_from <= 0 or jump_to > jump_from
        suggested = (suggested_warmup(new.total_steps) or None) if is_used(new.kind, "warmup_steps") and rises else None
    return ChildPlan(
        route=route,
        checkpoint=checkpoint,
        profile=profile,
        old=old,
        old_step=checkpoint.step,
        old_base_lr=group.base_lr,
        new=new,
        new_base_lr=base_lr,
        first_step=first,
        first_lr=new.lr(first, base_lr),
        jump=jump_to / jump_from if jump_from > 0 else None,
        jump_from=jump_from,
        jump_to=jump_to,
        suggested_warmup=suggested,
        effects=child_effects(parent, profile, route),
        notes=tuple(notes),
        warnings=_warnings(new, base_lr, own_from=own_from, stored_base=group.base_lr),
    )


def _warnings(new: Schedule, base_lr: float, *, own_from: int, stored_base: float) -> tuple[str, ...]:
    """Whether the steps from ``own_from`` on, which are not the stored schedule's, will change next to nothing."""
    stride = max(1, (new.total_steps - own_from) // 200)
    highest = max(new.lr(step, base_lr) for step in range(own_from, new.total_steps, stride))
    if highest >= USELESS * stored_base:
        return ()
    steps = f"The {new.total_steps - own_from:,} steps added" if own_from else "These steps"
    return (
        f"{steps} will change next to nothing: the LR is at most {lr_text(highest)}, below 1 % of the stored base "
        f"{lr_text(stored_base)}.",
    )


def require_whole(checkpoint: CheckpointSummary) -> None:
    """Raises ``RouteError`` for a damaged checkpoint."""
    if not checkpoint.is_whole:
        raise RouteError(f"{checkpoint.name} is damaged: {checkpoint.integrity}", hint="Use an older checkpoint.")


def stands_at(checkpoint: CheckpointSummary, name: str | None = None) -> float:
    """The rate of a group, by default the first, that the last step used; at step 0 what the first step would use."""
    group = next((one for one in checkpoint.groups if one.name == name), checkpoint.groups[0])
    return checkpoint.schedule.lr(checkpoint.step, group.base_lr) if group.last_lr is None else group.last_lr


def suggested_warmup(steps: int) -> int:
    """Warmup that softens an upward jump: 5 % of ``steps``, at least 10, at most 100, at most half of ``steps``."""
    return min(max(10, min(100, round(steps * 0.05))), steps // 2)


_GROUP_RATES: Final = {
    "unet": "unet_lr",
    "text_encoder_1": "text_encoder_lr",
    "text_encoder_2": "text_encoder_2_lr",
}


def child_profile(
    parent: Profile,
    checkpoint: CheckpointSummary,
    *,
    new: Schedule,
    rates: Mapping[str, float],
    network: Mapping[str, Any] | None = None,
) -> Profile:
    """The parent's profile with the new schedule and a base rate for every group of the checkpoint.

    network: fields of ``[network]`` that change. Raises ``RouteError`` where it makes no profile.
    """
    tables = parent.model_dump(by_alias=True)
    lr = rates[checkpoint.groups[0].name]
    optimizer = tables["optimizer"]
    optimizer["lr"] = lr
    for group, field in _GROUP_RATES.items():
        optimizer[field] = None if rates.get(group, lr) == lr else rates[group]
    if "text_encoder_2" in rates and optimizer["text_encoder_lr"] is not None:
        optimizer["text_encoder_2_lr"] = rates["text_encoder_2"]
    tables["network"]["start_from"] = None  # the weights are the checkpoint's
    tables["network"] |= network or {}
    tables["schedule"] |= settings_of(new)
    tables["training"]["steps"] = new.total_steps
    try:
        return Profile.model_validate(tables)
    except ValidationError as error:
        what = "; ".join(item["msg"].removeprefix("Value error, ") for item in error.errors())
        raise RouteError(what, field="optimizer.lr") from error


def with_overrides(profile: Profile, overrides: Sequence[str], route: Route) -> Profile:
    """The child's profile changed by ``section.field=value``, as far as its route leaves that open.

    Raises ``ProfileError`` if it makes no profile, ``RouteError`` naming a field that the route decides.
    """
    changed = parse_profile(profile_to_toml(profile), folder=Path.cwd(), overrides=overrides).profile
    for path, old, new in differences(profile, changed):
        if path in RATE_FIELDS or path == "training.steps":
            hint = "Learning rates, schedule and steps have options of their own."
            raise RouteError("is not set this way", field=path, hint=hint)
        if (why := refused(path, route)) is not None:
            hint = "Continue from the checkpoint: that keeps the weights alone."
            if not route.keeps_state:
                hint = "A rank changes with --rank and --alpha, which resize the weights."
            raise RouteError(f"cannot change from {shown(old)} to {shown(new)}: {why}", field=path, hint=hint)
    return changed


def group_rates(
    checkpoint: CheckpointSummary, lr: float | None, own: Mapping[str, float] | None = None
) -> dict[str, float]:
    """By group the child's base rate.

    lr: the first group's, the others keep their ratio to it; None: all as they are stored. own: rates given by group.
    Raises ``RouteError`` for a rate that is out of range or a group that there is not.
    """
    own = dict(own or {})
    names = [group.name for group in checkpoint.groups]
    if strangers := own.keys() - set(names):
        hint = f"The checkpoint has {', '.join(names)}."
        raise RouteError(f"there is no group {min(strangers)!r}", field="optimizer.lr", hint=hint)
    first = checkpoint.groups[0].base_lr
    lr = first if lr is None else checked_lr(lr)
    rates = {group.name: lr * (group.base_lr / first) if first > 0 else lr for group in checkpoint.groups} | own
    for name, rate in rates.items():
        what = f"the LR of {name}" if name in own else f"the LR of {name}, which keeps its ratio to the first group's,"
        checked_lr(rate, what)
    return rates


def rate_notes(checkpoint: CheckpointSummary, parent: Profile, rates: Mapping[str, float]) -> list[str]:
    """What a person should know of the groups' rates."""
    group, *others = checkpoint.groups
    notes = []
    planned = parent.optimizer.lr_of(group.name)
    if group.base_lr != planned:
        notes.append(f"The optimizer's base LR was {lr_text(group.base_lr)}, not the profile's {lr_text(planned)}.")
    first = rates[group.name]
    if others and first > 0:
        ratios = ", ".join(f"{other.name} × {rates[other.name] / first:g}" for other in others)
        notes.append(f"The LR and the jump are those of the group {group.name}; the others, as shares of it: {ratios}.")
    return notes


def read_shape(words: Sequence[str]) -> dict[str, Any]:
    """``["cycles=3", "min_factor=0.1"]`` as values of the schedule's fields. Raises ``RouteError``."""
    shape = {}
    for word in words:
        name, equals, written = (part.strip() for part in word.partition("="))
        name = name.removeprefix("schedule.")
        field = find_field(f"schedule.{name}")
        if not equals or not written:
            raise RouteError(f"{word!r} is not written as name=value", field="schedule", hint="For instance cycles=3.")
        if field is None or name not in SETTINGS:
            near = nearest_field(name, "schedule") or ""
            hint = f"Did you mean {near.removeprefix('schedule.')}?" if near.startswith("schedule.") else None
            raise RouteError(f"no schedule has {name!r}", field="schedule", hint=hint)
        try:
            value = read_value(field, written)
            shape[name] = getattr(ScheduleFields.model_validate({name: value}), name)
        except (ValidationError, TOMLDecodeError):
            raise RouteError(f"must be {field.requirement}, not {written}", field=field.path) from None
    return shape


def checked_lr(lr: float, what: str = "the LR") -> float:
    """``lr`` if it is one. Raises ``RouteError``."""
    field = profile_field("optimizer.lr")
    low, high = field.minimum or 0, field.maximum or math.inf
    if isinstance(lr, bool) or not math.isfinite(lr) or not low < lr <= high:
        raise RouteError(f"{what} must be {field.requirement}, not {lr}", field=field.path)
    return float(lr)


def checked_count(path: str, value: int | None, *, default: int) -> int:
    """``value``, or ``default`` without one, if the field ``path`` may have it. Raises ``RouteError``."""
    if value is None:
        return default
    field = profile_field(path)
    low, high = field.minimum or 0, field.maximum or math.inf
    if isinstance(value, bool) or not low <= value <= high:
        raise RouteError(f"must be {field.requirement}, not {value:,}", field=path)
    return value


def lr_text(rate: float) -> str:
    """``1.00e-4``."""
    mantissa, _, power = f"{rate:.2e}".partition("e")
    return f"{mantissa}e{int(power)}" if rate else "0"
