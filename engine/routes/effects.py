"""What becomes of each changed setting on a route, from the one declaration in the profile's schema."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from engine.profile.fields import SOURCES, profile_field, profile_fields
from engine.profile.schema import Profile
from engine.profile.setting import AtResume
from engine.routes.route import Route


@dataclass(frozen=True)
class Effect:
    """A field whose value differs between what a checkpoint was trained with and what is wanted now."""

    field: str
    stored: Any
    new: Any
    at_resume: AtResume
    what_happens: str
    """One sentence."""
    applied_by: tuple[Route, ...] = ()
    """Where it takes no effect: the routes that would apply it, the gentlest first; none where only a new run does."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "field": self.field,
            "stored": _plain(self.stored),
            "new": _plain(self.new),
            "at_resume": self.at_resume.value,
            "what_happens": self.what_happens,
            "applied_by": [route.value for route in self.applied_by],
        }


_AT_RESUME: Final = {
    AtResume.APPLIED: "takes effect from the next step on",
    AtResume.RESTORED: "is ignored by a resume: the checkpoint's value goes on",
    AtResume.FIXED: "rules out an exact resume",
}
_IN_A_CHILD: Final = {
    Route.CONTINUE: "takes effect: a child run starts with a new optimizer and schedule",
    Route.RESIZE: "takes effect: a child run starts with resized weights, a new optimizer and schedule",
    Route.RESCHEDULE: "takes effect from the child's first step on; the optimizer's moments go on",
    Route.EXTEND: "takes effect; the optimizer's moments and the steps go on",
}
RATE_FIELDS: Final = tuple(
    field.path
    for field in profile_fields()
    if field.section == "schedule" or (field.section == "optimizer" and field.name.endswith("lr"))
)
"""What a reschedule changes: rates and the schedule's fields."""
_RESIZED: Final = ("network.rank", "network.alpha")
_ONLY_AT_A_START: Final = ("network.start_from",)


def effects(stored: Profile, wanted: Profile) -> tuple[Effect, ...]:
    """What a resume would do with each field that ``wanted`` sets otherwise than ``stored``, in the schema's order."""
    found = []
    for path, old, new in differences(stored, wanted):
        at_resume = profile_field(path).at_resume
        routes = applied_by(path)
        if path == "training.steps" and new < old:
            routes = tuple(route for route in routes if route is not Route.EXTEND)
        found.append(Effect(path, old, new, at_resume, _AT_RESUME[at_resume], routes))
    return tuple(found)


def child_effects(stored: Profile, wanted: Profile, route: Route) -> tuple[Effect, ...]:
    """What a child run does with each field that its profile, ``wanted``, sets otherwise than its parent's."""
    return tuple(
        Effect(path, old, new, profile_field(path).at_resume, _IN_A_CHILD[route])
        for path, old, new in differences(stored, wanted)
    )


def applied_by(path: str) -> tuple[Route, ...]:
    """The routes that apply a changed value of a field, the gentlest first; none if only a new run does."""
    if profile_field(path).at_resume is AtResume.APPLIED:
        return (Route.RESUME,)
    if path == "training.steps":
        return (Route.EXTEND, Route.RESCHEDULE, Route.CONTINUE)
    if path in RATE_FIELDS:
        return (Route.RESCHEDULE, Route.CONTINUE)
    if path in _RESIZED:
        return (Route.RESIZE,)
    if path in _ONLY_AT_A_START or path.startswith("network."):
        return ()
    return (Route.CONTINUE,)


def refused(path: str, route: Route) -> str | None:
    """Why a child run of ``route`` cannot have a changed value of a field, as a clause; None if it can."""
    if profile_field(path).at_resume is AtResume.APPLIED or path in RATE_FIELDS or path == "training.steps":
        return None
    if route.keeps_state:
        return "the optimizer's state would not fit"
    return "the weights would not fit" if path.startswith("network.") else None


def differences(stored: Profile, wanted: Profile) -> list[tuple[str, Any, Any]]:
    """(path, stored, wanted) of every field that differs, in the schema's order."""
    before, after = stored.values(), wanted.values()
    before[SOURCES], after[SOURCES] = stored.dataset.sources, wanted.dataset.sources
    paths = [field.path for field in profile_fields()]
    return [(path, before[path], after[path]) for path in paths if before[path] != after[path]]


def of_kind(found: Iterable[Effect], at_resume: AtResume) -> tuple[Effect, ...]:
    """Those effects that are ``at_resume``."""
    return tuple(effect for effect in found if effect.at_resume is at_resume)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True)
    return getattr(value, "value", value)


def shown(value: Any) -> str:
    """A setting's value in a sentence."""
    if value is None:
        return "not set"
    return str(getattr(value, "value", value))
