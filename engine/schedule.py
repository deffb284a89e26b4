"""Learning-rate schedules as pure functions of the step.

``Schedule.factor(step)`` is the only place that computes a learning rate: training, plots, forecasts and the checkpoint
browser all call it. ``step`` counts completed optimizer steps, so the first optimizer step uses ``factor(0)``; this is
the convention of ``torch.optim.lr_scheduler.LambdaLR`` and of diffusers' ``get_scheduler``, the oracles in the tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from engine.errors import UserError


class ScheduleError(UserError):
    """Parameters that describe no schedule."""


class Kind(StrEnum):
    """Shape of the factor after the warmup."""

    CONSTANT = "constant"
    COSINE = "cosine"


class Phase(StrEnum):
    """Where on its curve a schedule stands."""

    WARMUP = "warmup"
    CONSTANT = "constant"
    DECAY = "decay"
    FINISHED = "finished"


@dataclass(frozen=True)
class Schedule:
    """A schedule of ``total_steps`` optimizer steps whose first ``warmup_steps`` rise in a line from 0.

    cosine: 0.5 · (1 + cos(π · p)), p the share of the steps after the warmup that is done; half a period of the annealing
    in Loshchilov & Hutter, "SGDR", 2016 (eq. 5, without restarts). Past the last step the factor stays what it was
    there: 0 for cosine, 1 for constant.
    """

    kind: Kind
    total_steps: int
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        if self.total_steps < 1:
            raise ScheduleError(f"a schedule needs at least 1 step, not {self.total_steps}")
        if not 0 <= self.warmup_steps <= self.total_steps:
            raise ScheduleError(f"a warmup of {self.warmup_steps} steps does not fit into {self.total_steps} steps")

    def factor(self, step: int) -> float:
        """What the base LR is multiplied by for the optimizer step after ``step`` completed ones; in [0, 1]."""
        step = max(step, 0)
        if step < self.warmup_steps:
            return step / self.warmup_steps
        if self.kind is Kind.CONSTANT:
            return 1.0
        decay_steps = max(1, self.total_steps - self.warmup_steps)
        progress = min(1.0, (step - self.warmup_steps) / decay_steps)
        return 0.5 * (1.0 + math.cos(math.pi * progress))

    def lr(self, step: int, base_lr: float) -> float:
        """The learning rate of the optimizer step after ``step`` completed ones."""
        return base_lr * self.factor(step)

    def phase(self, step: int) -> Phase:
        """The part of the curve that the step after ``step`` completed ones lies in."""
        if step >= self.total_steps:
            return Phase.FINISHED
        if step < self.warmup_steps:
            return Phase.WARMUP
        return Phase.CONSTANT if self.kind is Kind.CONSTANT else Phase.DECAY

    def share_done(self, step: int) -> float:
        """Share of all steps that is completed, in [0, 1]."""
        return min(1.0, max(0, step) / self.total_steps)

    def parameters(self) -> dict[str, Any]:
        """Everything but the kind, for people to read: name to value."""
        return {"total_steps": self.total_steps, "warmup_steps": self.warmup_steps}

    def to_json(self) -> dict[str, Any]:
        """The stored form; ``from_json`` reads it back."""
        return {"kind": self.kind.value, **self.parameters()}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Schedule:
        """Read ``to_json``'s form. Raises ``ScheduleError`` if it describes no schedule this version knows."""
        try:
            return cls(Kind(stored["kind"]), int(stored["total_steps"]), int(stored.get("warmup_steps", 0)))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ScheduleError(f"the stored schedule is not readable: {stored!r}") from error
