"""A run that goes on from something, before it is made: its profile, the learning rate at the seam, what is worth reading first.

``ChildPlan`` goes on from a checkpoint of ours, where all is known; ``FilePlan`` from a foreign state or a LoRA file, which may
be silent about where the rate stood.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from engine.checkpoint.summary import CheckpointSummary
from engine.profile.schema import Profile
from engine.routes.effects import Effect, child_effects
from engine.routes.route import Route
from engine.schedule import Schedule, is_used

if TYPE_CHECKING:
    from engine.foreign.starting_point import StartingPoint

USELESS: Final = 0.01
"""A rate that stays below this share of the stored base LR changes next to nothing."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run that trains on from something that was trained before."""

    route: Route
    profile: Profile
    """What the run trains."""
    old: Schedule | None
    """The stored schedule; None where it is not stored."""
    old_step: int | None
    old_base_lr: float | None
    new: Schedule
    new_base_lr: float
    first_step: int
    """Completed steps that the run begins with: 0, or the checkpoint's where steps are counted on."""
    first_lr: float
    """The rate of the run's very first step: 0 with a warmup, else mostly its base."""
    jump: float | None
    """``jump_to / jump_from``; None where ``jump_from`` is 0 or not stored."""
    jump_from: float | None
    """Where the rate stood: what the last step used (of a foreign state: what its next one would use); at step 0 what the first
    step would use. None where it is not stored."""
    jump_to: float
    """The highest rate of the run's first steps: its base; with a warmup it is reached at the warmup's end."""
    suggested_warmup: int | None
    """Steps, by the rule of ``suggested_warmup``; None where the rate does not jump up, or nothing tells whether it does, the
    schedule has no warmup or one step is all there is."""
    effects: tuple[Effect, ...]
    """Fields that differ from the profile it is made of: the parent's, or the one that was given."""
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
        """Optimizer steps that the run makes."""
        return self.new.total_steps - self.first_step


@dataclass(frozen=True, kw_only=True)
class ChildPlan(Plan):
    """A run that trains on from a checkpoint of another one."""

    checkpoint: CheckpointSummary
    old: Schedule
    old_step: int
    old_base_lr: float
    jump_from: float


@dataclass(frozen=True, kw_only=True)
class FilePlan(Plan):
    """A run that trains on from a foreign state or a LoRA file."""

    start: StartingPoint


@dataclass(frozen=True)
class _Seam:
    """What of a plan follows from where the rate stood and from the new schedule."""

    first_lr: float
    jump: float | None
    jump_to: float
    suggested_warmup: int | None


def _seam(
    new: Schedule, base_lr: float, *, first_step: int, stood_at: float | None, stored_base: float | None
) -> _Seam:
    if first_step:
        jump_to, suggested = new.lr(first_step, base_lr), None
    else:
        jump_to = new.lr(min(new.risen_at, new.total_steps - 1), base_lr)
        # A factor never exceeds 1: above the stored base the rate rises wherever it stood.
        rises = stood_at <= 0 or jump_to > stood_at if stood_at is not None else jump_to > (stored_base or jump_to)
        suggested = (suggested_warmup(new.total_steps) or None) if is_used(new.kind, "warmup_steps") and rises else None
    return _Seam(new.lr(first_step, base_lr), jump_to / stood_at if stood_at else None, jump_to, suggested)


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
    group = checkpoint.groups[0]
    base_lr = profile.optimizer.lr_of(group.name)
    first = checkpoint.step if route.keeps_step else 0
    stood_at = stands_at(checkpoint)
    seam = _seam(new, base_lr, first_step=first, stood_at=stood_at, stored_base=group.base_lr)
    return ChildPlan(
        route=route,
        checkpoint=checkpoint,
        profile=profile,
        old=checkpoint.schedule,
        old_step=checkpoint.step,
        old_base_lr=group.base_lr,
        new=new,
        new_base_lr=base_lr,
        first_step=first,
        first_lr=seam.first_lr,
        jump=seam.jump,
        jump_from=stood_at,
        jump_to=seam.jump_to,
        suggested_warmup=seam.suggested_warmup,
        effects=child_effects(parent, profile, route),
        notes=tuple(notes),
        warnings=_warnings(new, base_lr, own_from=own_from, stored_base=group.base_lr),
    )


def file_plan(
    route: Route,
    start: StartingPoint,
    profile: Profile,
    *,
    new: Schedule,
    effects: Sequence[Effect],
    notes: Sequence[str],
) -> FilePlan:
    """The plan of a run from a state or file, whose profile and schedule are settled; the seam is worked out here."""
    stored = start.rate
    base_lr = profile.optimizer.lr_of(start.network.groups[0])
    seam = _seam(new, base_lr, first_step=0, stood_at=stored.now, stored_base=stored.base)
    return FilePlan(
        route=route,
        start=start,
        profile=profile,
        old=start.stored.schedule,
        old_step=start.step,
        old_base_lr=stored.base,
        new=new,
        new_base_lr=base_lr,
        first_step=0,
        first_lr=seam.first_lr,
        jump=seam.jump,
        jump_from=stored.now,
        jump_to=seam.jump_to,
        suggested_warmup=seam.suggested_warmup,
        effects=tuple(effects),
        notes=tuple(notes),
        warnings=_warnings(new, base_lr, own_from=0, stored_base=stored.base or 0.0),
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


def stands_at(checkpoint: CheckpointSummary, name: str | None = None) -> float:
    """The rate of a group, by default the first, that the last step used; at step 0 what the first step would use."""
    group = next((one for one in checkpoint.groups if one.name == name), checkpoint.groups[0])
    return checkpoint.schedule.lr(checkpoint.step, group.base_lr) if group.last_lr is None else group.last_lr


def suggested_warmup(steps: int) -> int:
    """Warmup that softens an upward jump: 5 % of ``steps``, at least 10, at most 100, at most half of ``steps``."""
    return min(max(10, min(100, round(steps * 0.05))), steps // 2)


def lr_text(rate: float) -> str:
    """``1.00e-4``."""
    mantissa, _, power = f"{rate:.2e}".partition("e")
    return f"{mantissa}e{int(power)}" if rate else "0"
