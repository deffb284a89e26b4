"""The words of schedules: their kinds, what each kind is set to, and the parts of a curve."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from engine.errors import UserError


class ScheduleError(UserError):
    """Parameters that describe no schedule; ``parameter`` names the one to change (empty if the stored form is broken)."""

    def __init__(self, what: str, *, parameter: str = "", hint: str | None = None) -> None:
        super().__init__(what, hint=hint)
        self.parameter = parameter


class Kind(StrEnum):
    """Shape of the factor after the warmup."""

    CONSTANT = "constant"
    LINEAR = "linear"
    COSINE = "cosine"
    COSINE_WITH_RESTARTS = "cosine_with_restarts"
    POLYNOMIAL = "polynomial"
    INVERSE_SQRT = "inverse_sqrt"
    WARMUP_STABLE_DECAY = "warmup_stable_decay"
    REX = "rex"
    PIECEWISE = "piecewise"
    ONE_CYCLE = "one_cycle"


class DecayShape(StrEnum):
    """How warmup-stable-decay falls at its end."""

    LINEAR = "linear"
    COSINE = "cosine"
    SQRT = "sqrt"
    """1 − √p: Hägele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations", 2024."""


class TailShape(StrEnum):
    """How the rate goes on after the curve's end."""

    CONSTANT = "constant"
    LINEAR = "linear"
    COSINE = "cosine"


class Phase(StrEnum):
    """Where on its curve a schedule stands."""

    WARMUP = "warmup"
    RISE = "rise"
    CONSTANT = "constant"
    DECAY = "decay"
    TAIL = "tail"
    FINISHED = "finished"


SHAPES: Final[dict[Kind, tuple[str, ...]]] = {
    Kind.CONSTANT: ("warmup_steps",),
    Kind.LINEAR: ("warmup_steps", "min_factor"),
    Kind.COSINE: ("warmup_steps", "min_factor"),
    Kind.COSINE_WITH_RESTARTS: ("warmup_steps", "min_factor", "cycles", "cycle_growth"),
    Kind.POLYNOMIAL: ("warmup_steps", "min_factor", "power"),
    Kind.INVERSE_SQRT: ("warmup_steps", "timescale"),
    Kind.WARMUP_STABLE_DECAY: ("warmup_steps", "min_factor", "decay_share", "decay_shape"),
    Kind.REX: ("warmup_steps", "min_factor"),
    Kind.PIECEWISE: ("warmup_steps", "rules"),
    Kind.ONE_CYCLE: ("min_factor", "rise_share", "start_factor"),
}
"""By kind the parameters that shape its curve; it has no others."""

TAIL: Final[tuple[str, ...]] = ("tail_steps", "tail_shape", "tail_factor", "tail_end")
"""What any kind may have after its curve."""
