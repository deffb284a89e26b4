"""Continue and resize from a foreign state or a LoRA file: the plan of a new run with its weights, before anything is made.

The network is the file's, whatever the profile says, and each setting that loses is an effect by name. All else is the profile's:
one that was given, or what the file's metadata tell.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from engine.foreign.starting_point import StartingPoint, StartKind
from engine.profile.fields import profile_field
from engine.profile.places import PLACEHOLDER
from engine.profile.schema import Profile
from engine.routes.child import checked_count, checked_lr, child_profile, with_overrides
from engine.routes.continuing import checked_kind, new_schedule
from engine.routes.effects import Effect, differences
from engine.routes.file_network import resized_fields, shape_fields, shape_notes
from engine.routes.plan import FilePlan, file_plan, lr_text
from engine.routes.route import Route, RouteError
from engine.schedule import Kind, Schedule, ScheduleError, is_used

_LOSES: Final = "gives way to the file: the weights are of that shape"
_RESIZED: Final = "gives way to the resized weights"
_STARTS: Final = "gives way to the file that the run starts from"
_NO_SUCH: Final = "gives way to the file: it has no such group, or the group has the first one's rate"
_TEXT_RATES: Final = ("optimizer.unet_lr", "optimizer.text_encoder_lr", "optimizer.text_encoder_2_lr")
_APPLIES: Final = "takes effect: the run starts with a new optimizer and schedule"


def plan_start(
    start: StartingPoint,
    given: Profile | None = None,
    *,
    lr: float | None = None,
    group_lrs: Mapping[str, float] | None = None,
    kind: Kind | str | None = None,
    warmup_steps: int | None = None,
    steps: int | None = None,
    shape: Mapping[str, Any] | None = None,
    rank: int | None = None,
    alpha: float | None = None,
    route: Route = Route.CONTINUE,
    overrides: Sequence[str] = (),
) -> FilePlan:
    """A run from ``start`` with base rate ``lr`` and a schedule of its own.

    given: the profile of all settings but the network's; by default what the metadata tell. lr: the first group's, by default
    the profile's; the others keep their ratio to it. kind, warmup_steps, steps, shape: by default the given profile's; without
    one the stored schedule's kind and shape, no warmup, and the steps that were left, or all again. rank, alpha: of a resize.
    overrides: ``section.field=value`` of what else the run's profile says.

    Raises ``RouteError`` naming the field that is wrong, or where nothing tells the settings.
    """
    profile = given or start.profile
    if profile is None:
        raise RouteError(
            f"nothing tells the other settings: {start.path.name} has no metadata of its training",
            hint="Name a profile that has them: --profile NAME (sdxl-tui profiles lists them).",
        )
    if profile.stages:
        raise RouteError(
            f"a run from a file trains one stage, and the profile has {len(profile.stages)}",
            field="stages",
            hint="Name a profile without stages.",
        )
    if rank is not None or alpha is not None:
        route = Route.RESIZE
    network = resized_fields(start.network, rank, alpha) if route is Route.RESIZE else shape_fields(start.network)
    rates = _rates(start, profile, lr, group_lrs, is_given=given is not None)
    is_asked = bool(shape) or any(value is not None for value in (kind, warmup_steps, steps))
    if given is not None and not is_asked:
        new = _own_schedule(given, given.training.steps)
        wanted = child_profile(given, new=None, rates=rates, network=network)
    else:
        new = _new(
            start,
            profile,
            kind=kind,
            warmup_steps=warmup_steps,
            steps=steps,
            shape=dict(shape or {}),
            is_given=given is not None,
        )
        wanted = child_profile(profile, new=new, rates=rates, network=network)
    if overrides:
        wanted = with_overrides(wanted, overrides, route)
    notes = [
        *_weight_notes(start, route),
        *shape_notes(start.network),
        *_schedule_notes(start),
        *_rate_notes(start, profile, rates, is_given=given is not None),
        *_profile_notes(start, is_given=given is not None),
        *(f"In the state: {problem}." for problem in start.problems),
    ]
    if new.warmup_steps == new.total_steps:
        notes.append("The warmup is as long as the training: the base LR is never reached.")
    return file_plan(route, start, wanted, new=new, effects=tuple(_effects(profile, wanted, route)), notes=notes)


def refuse_command(command: str, path: Path) -> RouteError:
    """That a state or file cannot be taken up by a command which needs a checkpoint of ours, and what can be done with it."""
    return RouteError(
        f"{path}: only continue starts from a foreign state or a LoRA file: {command} goes on from a checkpoint of ours, with "
        "the optimizer's state, which is not taken over from one",
        hint=f"sdxl-tui continue {shlex.quote(str(path))} --lr LR starts a run from its weights.",
    )


def _rates(
    start: StartingPoint, profile: Profile, lr: float | None, own: Mapping[str, float] | None, *, is_given: bool
) -> dict[str, float]:
    """By group the base rate: the first as asked for, the others in the profile's ratio, or the stored one's."""
    own, groups = dict(own or {}), start.network.groups
    if strangers := own.keys() - set(groups):
        raise RouteError(
            f"there is no group {min(strangers)!r}", field="optimizer.lr", hint=f"The file has {', '.join(groups)}."
        )
    stored = {name: rate.base for name, rate in start.rates.items() if rate.base is not None}
    base = {group: profile.optimizer.lr_of(group) for group in groups}
    if not is_given and len(stored) == len(groups):
        base = stored
    first = base[groups[0]]
    lr = first if lr is None else checked_lr(lr)
    rates = {group: lr * (base[group] / first) if first > 0 else lr for group in groups} | own
    for name, rate in rates.items():
        checked_lr(rate, f"the LR of {name}")
    return rates


def _new(
    start: StartingPoint,
    profile: Profile,
    *,
    kind: Kind | str | None,
    warmup_steps: int | None,
    steps: int | None,
    shape: dict[str, Any],
    is_given: bool,
) -> Schedule:
    """The schedule as asked for, with the rest of the given profile's or of the stored one."""
    stored = None if is_given else start.stored.schedule
    old = stored or _own_schedule(profile, profile.training.steps)
    left = start.steps_left if stored else None
    total = checked_count("training.steps", steps, default=left or old.total_steps)
    chosen = checked_kind(kind or old.kind)
    if warmup_steps is None and is_given and is_used(chosen, "warmup_steps"):
        warmup_steps = old.warmup_steps
    return new_schedule(old, chosen, total, warmup_steps, shape)


def _own_schedule(profile: Profile, steps: int) -> Schedule:
    try:
        return profile.schedule.over(steps)
    except ScheduleError as error:
        raise RouteError(error.what, field=f"schedule.{error.parameter}", hint=error.hint) from None


def _effects(profile: Profile, wanted: Profile, route: Route) -> Iterator[Effect]:
    """What becomes of each setting of the profile that the run does not have."""
    for path, old, new in differences(profile, wanted):
        happens = _APPLIES
        if path == "network.start_from":
            happens = _STARTS
        elif path in _TEXT_RATES and new is None:
            happens = _NO_SUCH
        elif path.startswith("network."):
            happens = _RESIZED if route is Route.RESIZE and path in {"network.rank", "network.alpha"} else _LOSES
        yield Effect(path, old, new, profile_field(path).at_resume, happens)


def _weight_notes(start: StartingPoint, route: Route) -> Iterator[str]:
    at = "at the new rank" if route is Route.RESIZE else "as they are stored"
    yield f"The weights are the file's, {at}: {start.weights}"
    if start.kind is StartKind.STATE:
        whose = f"the stored moments of {start.optimizer}" if start.optimizer else "the stored moments"
        yield f"The optimizer starts anew: {whose} are not taken over, nor data position and random state."
    else:
        yield "The optimizer starts anew: a LoRA file holds no moments, data position or random state."


def _schedule_notes(start: StartingPoint) -> Iterator[str]:
    schedule, step, base = start.stored.schedule, start.step, start.rate.base
    if schedule is None:
        yield f"The schedule it was trained with is not stored: {start.stored.said}."
    elif not start.steps_left:
        at = "how far it came is not stored" if step is None else f"all {schedule.total_steps:,} steps are done"
        yield f"Its schedule was {schedule.kind} ({start.stored.said}): {at}."
    elif base is not None and step is not None:
        first, last = schedule.lr(step, base), schedule.lr(schedule.total_steps - 1, base)
        yield (
            f"Its {schedule.kind} schedule ({start.stored.said}) had {start.steps_left:,} of {schedule.total_steps:,} steps "
            f"left, with the LR going from {lr_text(first)} to {lr_text(last)}."
        )


def _rate_notes(start: StartingPoint, profile: Profile, rates: Mapping[str, float], *, is_given: bool) -> Iterator[str]:
    stored, group = start.rate, start.network.groups[0]
    planned = profile.optimizer.lr_of(group)
    if stored.base is None:
        yield f"The base LR it was trained with is not stored{_unnamed(start)}."
    elif stored.base != planned:
        whose = "the profile's" if is_given else "the metadata's"
        yield f"The stored base LR was {lr_text(stored.base)}, not {whose} {lr_text(planned)}."
    others = [name for name in rates if name != group]
    if others:
        ratios = ", ".join(f"{name} × {rates[name] / rates[group]:g}" for name in others)
        yield f"The LR and the jump are those of the group {group}; the others, as shares of it: {ratios}."


def _unnamed(start: StartingPoint) -> str:
    if start.kind is StartKind.STATE:
        return ": the optimizer's groups in the state cannot be told apart"
    return "" if start.told_by else ": the file has no metadata of its training"


def _profile_notes(start: StartingPoint, *, is_given: bool) -> Iterator[str]:
    if is_given:
        yield "All other settings are the profile's."
    elif start.imported is not None and start.told_by is not None:
        yield f"All other settings are what the metadata of {start.told_by.path.name} tell; the rest is at our defaults."
        for warning in start.imported.warnings:
            if PLACEHOLDER in warning:
                continue  # whether each place is known by now is looked at with the rest of the profile
            yield f"{warning[:1].upper()}{warning[1:]}."
