"""Continue and reschedule: a new learning rate or schedule from a checkpoint, with the optimizer's moments or without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.checkpoint.summary import CheckpointSummary
from engine.profile.fields import profile_field
from engine.profile.schema import Profile
from engine.routes.child import checked_count, child_profile, group_rates, rate_notes, require_whole, with_overrides
from engine.routes.plan import ChildPlan, child_plan, lr_text
from engine.routes.route import Route, RouteError
from engine.schedule import (
    SETTINGS,
    Kind,
    Phase,
    Schedule,
    ScheduleError,
    from_settings,
    is_used,
    require_used,
    settings_of,
)


def plan_continuation(
    checkpoint: CheckpointSummary,
    parent_profile: Profile,
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
) -> ChildPlan:
    """A child run from ``checkpoint`` with base rate ``lr`` and a schedule of its own.

    lr: the first group's, the others keep their ratio to it; by default all as stored. group_lrs: those of other groups, by
    name. kind: by default the stored schedule's. warmup_steps: by default none. steps: by default as many as the stored
    schedule had left, or all of them again if it was finished. shape: other fields of ``[schedule]``, by name; what is not
    given stays as it is stored, as far as the kind has it. rank, alpha: of a resize, which continues with the weights at that
    rank; alpha by default in the old ratio. route: ``reschedule`` keeps the optimizer's moments and the data position.
    overrides: ``section.field=value`` of what else the child's profile says. Raises ``RouteError`` naming the field that is
    wrong, ``ProfileError`` for overrides that make no profile.
    """
    require_whole(checkpoint)
    if rank is not None or alpha is not None:
        route = Route.RESIZE
    network = _resized(parent_profile, rank, alpha) if route is Route.RESIZE else None
    old = checkpoint.schedule
    rates = group_rates(checkpoint, lr, group_lrs)
    total = checked_count("training.steps", steps, default=checkpoint.steps_left or old.total_steps)
    new = new_schedule(old, checked_kind(kind or old.kind), total, warmup_steps, dict(shape or {}))
    profile = child_profile(parent_profile, new=new, rates=rates, network=network)
    if overrides:
        profile = with_overrides(profile, overrides, route)
    notes = [*_schedule_notes(checkpoint, new), *rate_notes(checkpoint, parent_profile, rates)]
    if new.warmup_steps == new.total_steps:
        notes.append("The warmup is as long as the training: the base LR is never reached.")
    notes.append(_state_note(route, checkpoint))
    return child_plan(route, checkpoint, parent_profile, profile, new=new, notes=notes)


def _state_note(route: Route, checkpoint: CheckpointSummary) -> str:
    match route:
        case Route.RESCHEDULE:
            return (
                f"Weights, {checkpoint.optimizer}'s moments, data position and random state go on as they are stored."
            )
        case Route.RESIZE:
            return "The weights are the checkpoint's LoRA at the new rank; the optimizer's moments start from zero."
    return "The optimizer's moments start from zero; the weights are the checkpoint's."


def _resized(parent: Profile, rank: int | None, alpha: float | None) -> dict[str, Any]:
    """The fields of ``[network]`` at another rank. Raises ``RouteError``."""
    network = parent.network
    if network.kind != "lora":
        raise RouteError(
            f"a {network.kind} cannot have another rank",
            field="network.rank",
            hint="Make a LoRA of its lora.safetensors (sdxl-tui resize FILE -o OTHER --to-lora --rank N), and launch a profile "
            'with network.kind = "lora" and network.start_from.',
        )
    own_ranks = [
        name for name, value in network.model_dump().items() if name.endswith(("_rank", "_alpha")) and value is not None
    ]
    if own_ranks:
        raise RouteError(
            f"the parent's parts have ranks of their own ({', '.join(own_ranks)})",
            field="network.rank",
            hint="Resize its lora.safetensors (sdxl-tui resize) and launch a profile with network.start_from.",
        )
    rank = network.rank if rank is None else rank
    field = profile_field("network.rank")
    if isinstance(rank, bool) or not (field.minimum or 1) <= rank <= (field.maximum or rank):
        raise RouteError(f"must be {field.requirement}, not {rank:,}", field="network.rank")
    alpha = network.alpha * rank / network.rank if alpha is None else alpha
    if not 0 < alpha <= (profile_field("network.alpha").maximum or alpha):
        raise RouteError(f"must be {profile_field('network.alpha').requirement}, not {alpha:g}", field="network.alpha")
    return {"rank": rank, "alpha": float(alpha)}


def new_schedule(
    old: Schedule, kind: Kind, total_steps: int, warmup_steps: int | None, shape: dict[str, Any]
) -> Schedule:
    """``old`` over ``total_steps`` as ``kind``, with what of its shape the kind has, changed by ``shape``; without its tail.

    warmup_steps: by default none. Raises ``RouteError``.
    """
    warmup = checked_count("schedule.warmup_steps", warmup_steps, default=0)
    if warmup > total_steps:
        what = f"a warmup of {warmup:,} steps does not fit into {total_steps:,} steps"
        raise RouteError(what, field="schedule.warmup_steps", hint=f"Use at most {total_steps:,}.")
    stored = settings_of(old.without_tail().reaching(total_steps))
    kept = {name: stored[name] if is_used(kind, name) else default for name, default in SETTINGS.items()}
    try:
        for name in shape:  # what is typed has to mean something, also where it is the default
            require_used(kind, name, object())
        return from_settings(kept | {"kind": kind, "warmup_steps": warmup} | shape, total_steps)
    except ScheduleError as error:
        hint = error.hint and f"{error.hint[:1].upper()}{error.hint[1:]}."
        raise RouteError(error.what, field=f"schedule.{error.parameter}", hint=hint) from None


def checked_kind(kind: Kind | str) -> Kind:
    """``kind`` if it is one. Raises ``RouteError``."""
    try:
        return Kind(kind)
    except ValueError:
        field = profile_field("schedule.kind")
        raise RouteError(f"the schedule must be {field.requirement}, not {kind!r}", field=field.path) from None


def _schedule_notes(checkpoint: CheckpointSummary, new: Schedule) -> list[str]:
    """What the stored schedule had left, and what of it is not kept."""
    old, step, group = checkpoint.schedule, checkpoint.step, checkpoint.groups[0]
    notes = []
    if checkpoint.phase is Phase.FINISHED:
        notes.append(f"The stored {old.kind} schedule was finished: all {old.total_steps:,} steps are done.")
    else:
        first, last = old.lr(step, group.base_lr), old.lr(old.total_steps - 1, group.base_lr)
        notes.append(
            f"The stored {old.kind} schedule had {checkpoint.steps_left:,} of {old.total_steps:,} steps left, "
            f"with the LR going from {lr_text(first)} to {lr_text(last)}."
        )
    if lost := len(old.rules) - len(old.reaching(new.total_steps).rules) if new.kind is old.kind else 0:
        notes.append(f"{lost} of the stored rules are beyond {new.total_steps:,} steps and are left out.")
    if step < old.warmup_steps:
        notes.append(f"The checkpoint was taken in the warmup, at step {step:,} of {old.warmup_steps:,}.")
    return notes
