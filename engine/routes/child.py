"""The profile of a child run: rates, schedule and overrides that are asked for, checked and put into its parent's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
from engine.routes.effects import RATE_FIELDS, differences, refused, shown
from engine.routes.plan import lr_text
from engine.routes.route import Route, RouteError
from engine.schedule import SETTINGS, Schedule, settings_of


def require_whole(checkpoint: CheckpointSummary) -> None:
    """Raises ``RouteError`` for a damaged checkpoint."""
    if not checkpoint.is_whole:
        raise RouteError(f"{checkpoint.name} is damaged: {checkpoint.integrity}", hint="Use an older checkpoint.")


_GROUP_RATES: Final = {
    "unet": "unet_lr",
    "text_encoder_1": "text_encoder_lr",
    "text_encoder_2": "text_encoder_2_lr",
}


def child_profile(
    parent: Profile,
    *,
    new: Schedule | None,
    rates: Mapping[str, float],
    network: Mapping[str, Any] | None = None,
) -> Profile:
    """The parent's profile with the new schedule and a base rate for every group that is trained, the first one first.

    new: None where the profile's own schedule stays. network: fields of ``[network]`` that change. Raises ``RouteError`` where
    it makes no profile.
    """
    tables = parent.model_dump(by_alias=True)
    lr = next(iter(rates.values()))
    optimizer = tables["optimizer"]
    optimizer["lr"] = lr
    for group, field in _GROUP_RATES.items():
        optimizer[field] = None if rates.get(group, lr) == lr else rates[group]
    if "text_encoder_2" in rates and optimizer["text_encoder_lr"] is not None:
        optimizer["text_encoder_2_lr"] = rates["text_encoder_2"]
    tables["network"]["start_from"] = None  # the weights are the checkpoint's
    tables["network"] |= network or {}
    if new is not None:
        tables["schedule"] |= settings_of(new)
        tables["training"]["steps"] = new.total_steps
    try:
        return Profile.model_validate(tables)
    except ValidationError as error:
        what = "; ".join(item["msg"].removeprefix("Value error, ") for item in error.errors())
        named, _, rest = what.partition(" ")  # rules begin with the field they are about
        raise (
            RouteError(rest, field=named) if find_field(named) else RouteError(what, field="optimizer.lr")
        ) from error


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
