"""Edits of a profile that a child run does not have: it is made of what its parent trained and of what was asked for.

Nobody who has edited a profile and then goes on another way than by a resume should believe that the edits came along.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.profile.schema import Profile
from engine.profile.setting import AtResume
from engine.routes.effects import Effect, differences, effects
from engine.routes.plan import ChildPlan
from engine.routes.route import Route


def left_out(stored: Profile, wanted: Profile, plans: Sequence[ChildPlan]) -> tuple[Effect, ...]:
    """Fields that ``wanted``, the profile as it is now, sets otherwise than the checkpoint's ``stored`` and that no plan has so.

    Steps count as taken over where the child ends where the edited profile would.
    """
    changed = effects(stored, wanted)
    missing = [{path for path, _, _ in differences(plan.profile, wanted)} for plan in plans]
    for plan, fields in zip(plans, missing, strict=True):
        if plan.checkpoint.step + plan.steps == wanted.training.steps:
            fields.discard("training.steps")
    return tuple(effect for effect in changed if all(effect.field in fields for fields in missing))


def can_take(effect: Effect, route: Route) -> bool:
    """Whether a child of ``route`` can be given the edited value."""
    if effect.at_resume is AtResume.APPLIED or route in effect.applied_by:
        return True
    continues = route in {Route.CONTINUE, Route.RESIZE}
    return continues and not {Route.CONTINUE, Route.RESIZE}.isdisjoint(effect.applied_by)
