"""The routes by name, and what each does with every part of the training state: the table that dialogs and docs show."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from engine.errors import UserError


class RouteError(UserError):
    """A way on that cannot be taken; ``field`` names what to change (``optimizer.lr``; empty if none)."""

    def __init__(self, what: str, *, field: str = "", hint: str | None = None) -> None:
        super().__init__(what, where=field or None, hint=hint)
        self.field = field


class Route(StrEnum):
    """How a training goes on from a checkpoint. All but the first make a child run; run.json records which."""

    RESUME = "resume"
    CONTINUE = "continue"
    RESIZE = "resize"
    """Continue with the weights at another rank."""
    RESCHEDULE = "reschedule"
    EXTEND = "extend"

    @property
    def keeps_state(self) -> bool:
        """Optimizer moments, data position and random state go on; the child is given the whole checkpoint."""
        return self in {Route.RESUME, Route.RESCHEDULE, Route.EXTEND}

    @property
    def keeps_step(self) -> bool:
        """Steps are counted on."""
        return self in {Route.RESUME, Route.EXTEND}


@dataclass(frozen=True)
class StatePart:
    """A part of the training state and what each route does with it."""

    name: str
    resume: str
    continue_: str
    resize: str
    reschedule: str
    extend: str

    def by(self, route: Route) -> str:
        """What ``route`` does with it."""
        return str(getattr(self, "continue_" if route is Route.CONTINUE else route.value))

    def is_kept_by(self, route: Route) -> bool:
        """Whether it goes on under ``route``."""
        return self.by(route).startswith(("restored", "from the checkpoint", "the same"))


_RESTORED: Final = "restored"

STATE_PARTS: Final = (
    StatePart("LoRA weights", _RESTORED, "from the checkpoint", "at the new rank, by SVD", _RESTORED, _RESTORED),
    StatePart("optimizer moments", _RESTORED, "new, from zero", "new, from zero", _RESTORED, _RESTORED),
    StatePart("schedule and LR", "restored, exactly", "new", "new", "new, from here", "the same, then the steps added"),
    StatePart("data position, random state", _RESTORED, "new", "new", _RESTORED, _RESTORED),
    StatePart("average of the weights", _RESTORED, "new", "new", _RESTORED, _RESTORED),
    StatePart("step count", "goes on", "from 0", "from 0", "from 0", "goes on"),
    StatePart("where", "the same run", "a child run", "a child run", "a child run", "a child run"),
)
"""The routes' table."""


def kept_by(route: Route) -> tuple[str, ...]:
    """The parts of the training state that go on under ``route``."""
    return tuple(part.name for part in STATE_PARTS if part.is_kept_by(route) and part.name != "where")


def new_under(route: Route) -> tuple[str, ...]:
    """The parts that begin anew under ``route``."""
    return tuple(part.name for part in STATE_PARTS if part.by(route).startswith(("new", "from 0")))
