"""An exact resume with a profile that may have been edited since: what is applied, what stays, what rules it out.

The manager asks before it starts anything, the engine asks again before it trains: one rule, so that no changed setting is
ever passed over in silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from engine.profile.schema import Profile
from engine.profile.setting import AtResume
from engine.routes.effects import Effect, as_moved, as_replaced, effects, of_kind, shown
from engine.routes.route import Route, RouteError


@dataclass(frozen=True)
class ResumePlan:
    """What an exact resume with ``wanted`` trains."""

    stored: Profile
    """What the checkpoint was trained with."""
    wanted: Profile
    effects: tuple[Effect, ...]
    """Fields of ``wanted`` that differ from what was stored."""

    @property
    def applied(self) -> tuple[Effect, ...]:
        """They take effect from the next step on."""
        return of_kind(self.effects, AtResume.APPLIED)

    @property
    def restored(self) -> tuple[Effect, ...]:
        """The checkpoint's values go on; somebody has to agree to that."""
        return of_kind(self.effects, AtResume.RESTORED)

    @property
    def fixed(self) -> tuple[Effect, ...]:
        """They rule the resume out."""
        return of_kind(self.effects, AtResume.FIXED)

    def profile(self, *, keep_stored: bool) -> Profile:
        """What is trained: ``wanted`` with the stored value of every restored field.

        keep_stored: whether it was agreed that the changed ones among them are passed over. Raises ``RouteError`` naming the
        fields and the routes that would apply them if it was not, or if a fixed field differs.
        """
        if self.fixed:
            raise RouteError(
                f"{_listed(self.fixed)}: no exact resume is possible",
                field=self.fixed[0].field,
                hint=f"Change it back, or {_ways(self.fixed)}.",
            )
        if self.restored and not keep_stored:
            raise RouteError(
                f"{_listed(self.restored)}: a resume would ignore that",
                field=self.restored[0].field,
                hint=f"To apply it, {_ways(self.restored)}. To resume with what is stored, say so: --keep-stored.",
            )
        return self._with_stored_values()

    def _with_stored_values(self) -> Profile:
        tables: dict[str, Any] = self.wanted.model_dump(by_alias=True)
        stored = self.stored.model_dump(by_alias=True)
        for effect in self.restored:
            section, _, name = effect.field.rpartition(".")
            tables[section][name] = stored[section][name]
        try:
            return Profile.model_validate(tables)
        except ValidationError as error:
            what = "; ".join(item["msg"].removeprefix("Value error, ") for item in error.errors())
            raise RouteError(f"the edited settings do not go together with the stored ones: {what}") from error


def plan_resume(
    stored: Profile,
    wanted: Profile,
    *,
    same_content: frozenset[str] = frozenset(),
    other_content: frozenset[str] = frozenset(),
) -> ResumePlan:
    """Compare what a checkpoint was trained with and what is wanted now.

    same_content, other_content: fields that name a place, where what lies at the new one was compared with what was trained
    on (``moved.py``). The same content is a change that a resume applies.
    """
    found = (
        as_moved(effect)
        if effect.field in same_content
        else as_replaced(effect)
        if effect.field in other_content
        else effect
        for effect in effects(stored, wanted)
    )
    return ResumePlan(stored, wanted, tuple(found))


def _listed(changed: tuple[Effect, ...]) -> str:
    """Of the first, whose name goes before it."""
    first = changed[0]
    others = f" (and {', '.join(effect.field for effect in changed[1:])})" if changed[1:] else ""
    differs = ", which holds other content" if first.is_moved is False else ""
    return f"was {shown(first.stored)} and is now {shown(first.new)}{differs}{others}"


def _ways(changed: tuple[Effect, ...]) -> str:
    routes = routes_for(changed)
    return f"{' or '.join(routes)} from the checkpoint" if routes else "launch the profile as a new run"


def routes_for(changed: tuple[Effect, ...]) -> tuple[Route, ...]:
    """The routes that apply all of them, the gentlest first; none if only a new run does."""
    found = [route for route in Route if all(route in _widened(effect) for effect in changed)]
    if Route.CONTINUE in found:
        found.remove(Route.RESIZE)
    return tuple(sorted(found, key=_GENTLEST.index))


_GENTLEST: Final = (Route.RESUME, Route.EXTEND, Route.RESCHEDULE, Route.CONTINUE, Route.RESIZE)


def _widened(effect: Effect) -> tuple[Route, ...]:
    """A resize applies whatever a continuation does."""
    resizes = (Route.RESIZE,) if Route.CONTINUE in effect.applied_by else ()
    return (*effect.applied_by, *resizes)
