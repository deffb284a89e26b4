"""Extend: more steps than planned, and an explicit choice of what the learning rate does in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any

from engine.checkpoint.summary import CheckpointSummary
from engine.profile.fields import profile_field
from engine.profile.schema import Profile
from engine.routes.child import checked_lr, child_profile, group_rates, rate_notes, require_whole, with_overrides
from engine.routes.plan import ChildPlan, child_plan, lr_text
from engine.routes.route import Route, RouteError
from engine.schedule import Schedule, ScheduleError, TailShape


class Extension(StrEnum):
    """What the rate does in the steps that are added."""

    HOLD = "hold"
    """The curve as it is, then its last value."""
    STRETCH = "stretch"
    """The same curve over more steps: the rate at the seam is another one."""
    CONSTANT = "constant"
    """The curve as it is, then a rate that is given."""
    LINEAR = "linear"
    """The curve as it is, then in a line from a rate to an end."""
    COSINE = "cosine"
    """The curve as it is, then along half a cosine."""


def plan_extension(
    checkpoint: CheckpointSummary,
    parent_profile: Profile,
    *,
    steps: int,
    how: Extension,
    lr: float | None = None,
    end_lr: float | None = None,
    overrides: Sequence[str] = (),
) -> ChildPlan:
    """A child run that goes on exactly from ``checkpoint`` and trains ``steps`` more than were planned.

    lr: of the first group where the tail begins, by default where the curve ended; end_lr: where a falling tail ends, by
    default 0. overrides: ``section.field=value`` of what a resume would apply, too. Raises ``RouteError`` naming the field that
    is wrong, ``ProfileError`` for overrides that make no profile.
    """
    require_whole(checkpoint)
    old, base = checkpoint.schedule, checkpoint.groups[0].base_lr
    field = profile_field("training.steps")
    if isinstance(steps, bool) or steps < 1:
        raise RouteError("an extension adds at least 1 step", field=field.path)
    total = old.total_steps + steps
    if total > (field.maximum or total):
        raise RouteError(f"must be {field.requirement}, not {total:,}", field=field.path)
    _require_used(how, lr, end_lr)
    new = _extended(old, how, steps, factor=_share(lr, base), end=_share(end_lr, base))
    rates = group_rates(checkpoint, None)
    profile = child_profile(parent_profile, new=new, rates=rates)
    if overrides:
        profile = with_overrides(profile, overrides, Route.EXTEND)
    notes = [*_notes(checkpoint, new, how), *rate_notes(checkpoint, parent_profile, rates)]
    own_from = checkpoint.step if how is Extension.STRETCH else old.total_steps
    return child_plan(Route.EXTEND, checkpoint, parent_profile, profile, new=new, notes=notes, own_from=own_from)


def _require_used(how: Extension, lr: float | None, end_lr: float | None) -> None:
    if lr is not None:
        checked_lr(lr)
    if end_lr is not None and end_lr != 0:
        checked_lr(end_lr, "the last LR")
    if lr is not None and how in {Extension.HOLD, Extension.STRETCH}:
        what = (
            "the stretched curve's rates are its own"
            if how is Extension.STRETCH
            else "hold keeps the curve's last rate"
        )
        raise RouteError(f"{what}: an LR has no use", field="optimizer.lr", hint="Choose constant, linear or cosine.")
    if end_lr is not None and how not in {Extension.LINEAR, Extension.COSINE}:
        raise RouteError(
            f"{how} does not fall: a last LR has no use", field="optimizer.lr", hint="Choose linear or cosine."
        )


def _share(lr: float | None, base_lr: float) -> float | None:
    """A rate as a factor of the base."""
    if lr is None:
        return None
    if not 0 <= lr <= base_lr:
        hint = f"A tail stays within the stored base LR, {lr_text(base_lr)}; reschedule or continue go above it."
        raise RouteError(f"the tail's LR {lr_text(lr)} is above the base LR", field="optimizer.lr", hint=hint)
    return lr / base_lr


def _extended(old: Schedule, how: Extension, steps: int, *, factor: float | None, end: float | None) -> Schedule:
    total = old.total_steps + steps
    try:
        if how is Extension.STRETCH:
            return replace(old, total_steps=total)
        if old.tail_steps:
            if how is Extension.HOLD and old.tail_shape is TailShape.CONSTANT:
                return replace(old, total_steps=total, tail_steps=old.tail_steps + steps)
            hint = "Hold a constant tail, stretch it, or reschedule from here."
            raise RouteError("the schedule has a tail already", field="schedule.tail_steps", hint=hint)
        tail: dict[str, Any] = {"tail_steps": steps}
        if how is not Extension.HOLD:
            tail |= {"tail_shape": TailShape(how.value), "tail_factor": factor, "tail_end": end or 0.0}
        return replace(old, total_steps=total, **tail)
    except ScheduleError as error:
        raise RouteError(error.what, field=f"schedule.{error.parameter}", hint=error.hint) from None


def _notes(checkpoint: CheckpointSummary, new: Schedule, how: Extension) -> list[str]:
    old, base, left = checkpoint.schedule, checkpoint.groups[0].base_lr, checkpoint.steps_left
    added = new.total_steps - old.total_steps
    first, last = new.lr(old.total_steps, base), new.lr(new.total_steps - 1, base)
    if how is Extension.STRETCH:
        notes = [f"The {old.kind} curve of {old.total_steps:,} steps is laid over {new.total_steps:,}."]
    else:
        begins = (
            f"The {left:,} steps that are left are trained as planned; then" if left else "All planned steps are done;"
        )
        rates = f"at {lr_text(first)}" if first == last else f"from {lr_text(first)} to {lr_text(last)}"
        notes = [f"{begins} {added:,} more follow, {rates}."]
    notes.append(
        f"Weights, {checkpoint.optimizer}'s moments, data position, random state and step count go on exactly."
    )
    return notes
