"""A learning-rate schedule: its kind and parameters, and the factor of every step.

``Schedule.factor(step)`` is the only place that computes a learning rate: training, plots, forecasts and the checkpoint
browser all call it. ``step`` counts completed optimizer steps, so the first optimizer step uses ``factor(0)``; this is
the convention of ``torch.optim.lr_scheduler.LambdaLR`` and of diffusers' and transformers' schedules, the oracles in the
tests. The curves' formulas are in ``curves.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from engine.schedule import curves
from engine.schedule.kinds import SHAPES, TAIL, DecayShape, Kind, Phase, ScheduleError, TailShape
from engine.schedule.piecewise import Rules, check_rules, rules_text

MAX_CYCLES: Final = 100
MAX_GROWTH: Final = 10.0
MAX_POWER: Final = 100.0
DEFAULT_TIMESCALE: Final = 10_000
"""Steps; for an inverse square root without a warmup, as in transformers."""


@dataclass(frozen=True)
class Schedule:
    """A schedule of ``total_steps`` optimizer steps whose first ``warmup_steps`` rise in a line from 0.

    ``SHAPES`` says which of the other parameters a kind has; one that it has not must be left at its default. A tail may
    follow the curve of any kind. After the warmup the factor is at most 1, and past the last step it stays what it was
    there. Raises ``ScheduleError`` naming the parameter that is wrong.
    """

    kind: Kind
    total_steps: int
    warmup_steps: int = 0
    min_factor: float = 0.0
    """Where the falling part ends: the share of the base LR that is left."""
    cycles: int = 3
    """Cosine curves one after another, each starting anew from the base LR."""
    cycle_growth: float = 1.0
    """How many times as long each cycle is as the one before it."""
    power: float = 1.0
    timescale: int | None = None
    """Steps after the warmup in which an inverse square root falls to 1/√2; None: the warmup's, or 10,000 without one."""
    decay_share: float = 0.2
    """Share of all steps in which warmup-stable-decay falls, at the end."""
    decay_shape: DecayShape = DecayShape.LINEAR
    rules: Rules = ()
    """Of a piecewise schedule; its factors are those of all steps, the warmup's included."""
    rise_share: float = 0.3
    """Share of all steps in which one-cycle rises."""
    start_factor: float = 0.04
    """Where one-cycle begins."""
    tail_steps: int = 0
    """Of ``total_steps`` those after the curve's end."""
    tail_shape: TailShape = TailShape.CONSTANT
    tail_factor: float | None = None
    """Where the tail begins; None: at the factor of the curve's last step."""
    tail_end: float = 0.0
    """Where a falling tail ends."""

    def __post_init__(self) -> None:
        if self.total_steps < 1:
            raise ScheduleError(f"a schedule needs at least 1 step, not {self.total_steps}", parameter="total_steps")
        self._require_only_its_own()
        self._require_tail()
        if not 0 <= self.warmup_steps <= self.curve_steps:
            what = f"a warmup of {self.warmup_steps} steps does not fit into {self.curve_steps} steps"
            raise ScheduleError(what, parameter="warmup_steps", hint=f"use at most {self.curve_steps}")
        self._require_ranges()
        if self.kind is Kind.INVERSE_SQRT and self.timescale is None:
            object.__setattr__(self, "timescale", self.warmup_steps or DEFAULT_TIMESCALE)

    def _require_only_its_own(self) -> None:
        for name, default in DEFAULTS.items():
            if name not in SHAPES[self.kind] + TAIL and getattr(self, name) != default:
                raise ScheduleError(f"{name} is not used by the schedule {self.kind}", parameter=name)

    def _require_tail(self) -> None:
        if not 0 <= self.tail_steps < self.total_steps:
            what = f"a tail of {self.tail_steps} steps does not fit into {self.total_steps} steps"
            raise ScheduleError(what, parameter="tail_steps", hint=f"use at most {self.total_steps - 1}")
        for name in TAIL:
            if not self.tail_steps and getattr(self, name) != DEFAULTS[name]:
                raise ScheduleError(
                    "does nothing without a tail", parameter=name, hint="set schedule.tail_steps, or remove it"
                )
        if self.tail_shape is TailShape.CONSTANT and self.tail_end:
            hint = "remove it, or let schedule.tail_shape be linear or cosine"
            raise ScheduleError("is not used by a constant tail", parameter="tail_end", hint=hint)

    def _require_ranges(self) -> None:
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ScheduleError(f"must be from {low:g} to {high:g}, not {value:g}", parameter=name)
        match self.kind:
            case Kind.PIECEWISE:
                check_rules(self.rules, self.curve_steps)
            case Kind.WARMUP_STABLE_DECAY if self.warmup_steps + self.decay_steps > self.curve_steps:
                room = (self.curve_steps - self.warmup_steps) / self.curve_steps
                raise ScheduleError(
                    f"is {self.decay_steps} steps, which do not fit into {self.curve_steps} steps "
                    f"with a warmup of {self.warmup_steps}",
                    parameter="decay_share",
                    hint=f"use at most {math.floor(room * 1000) / 1000:g}",
                )
            case Kind.COSINE_WITH_RESTARTS:
                falling = self.curve_steps - self.warmup_steps
                if falling and curves.first_cycle(self.cycles, self.cycle_growth) * falling < 1:
                    raise ScheduleError(
                        f"would make the first cycle shorter than a step: {falling} steps are left after the warmup",
                        parameter="cycles",
                        hint="use fewer cycles, or a smaller schedule.cycle_growth",
                    )

    @property
    def curve_steps(self) -> int:
        """Steps of the kind's own curve, the tail's left out."""
        return self.total_steps - self.tail_steps

    @property
    def decay_steps(self) -> int:
        """Steps in which warmup-stable-decay falls, at least 1."""
        return max(1, round(self.decay_share * self.curve_steps))

    @property
    def risen_at(self) -> int:
        """Completed steps at which the first rise is over: the warmup's, or one-cycle's own."""
        if self.kind is not Kind.ONE_CYCLE:
            return self.warmup_steps
        near = (math.floor(self._rise_end), min(self.curve_steps - 1, math.ceil(self._rise_end)))
        return max(near, key=self.factor)

    @property
    def _rise_end(self) -> float:
        """Where one-cycle turns, between two steps as in torch's."""
        return max(0.0, self.rise_share * self.curve_steps - 1)

    def factor(self, step: int) -> float:
        """What the base LR is multiplied by for the optimizer step after ``step`` completed ones; in [0, 1]."""
        if self.tail_steps and step >= self.curve_steps:
            return self._tail(min(step, self.total_steps) - self.curve_steps)
        step = min(max(step, 0), self.curve_steps)
        if step < self.warmup_steps:
            return step / self.warmup_steps * self._risen(self.warmup_steps)
        return self._risen(step)

    def _risen(self, step: int) -> float:
        """The factor at a step that is not in the warmup."""
        match self.kind:
            case Kind.CONSTANT:
                return 1.0
            case Kind.PIECEWISE:
                return next(factor for start, factor in reversed(self.rules) if start <= step)
            case Kind.INVERSE_SQRT:
                return curves.inverse_sqrt(step - self.warmup_steps, self.timescale or DEFAULT_TIMESCALE)
            case Kind.ONE_CYCLE:
                return self._one_cycle(step)
        return self.min_factor + (1.0 - self.min_factor) * self._falling(step)

    def _tail(self, step: int) -> float:
        """The factor after ``step`` steps of the tail."""
        start = self.factor(self.curve_steps - 1) if self.tail_factor is None else self.tail_factor
        match self.tail_shape:
            case TailShape.LINEAR:
                return self.tail_end + (start - self.tail_end) * curves.linear(step / self.tail_steps)
            case TailShape.COSINE:
                return self.tail_end + (start - self.tail_end) * curves.cosine(step / self.tail_steps)
        return start

    def _falling(self, step: int) -> float:
        """A curve from 1 to 0, before the floor is put under it."""
        p = self._progress(step)
        match self.kind:
            case Kind.LINEAR:
                return curves.linear(p)
            case Kind.POLYNOMIAL:
                return curves.polynomial(p, self.power)
            case Kind.REX:
                return curves.rex(p)
            case Kind.WARMUP_STABLE_DECAY:
                done = step - (self.curve_steps - self.decay_steps)
                return curves.decay(max(0, done) / self.decay_steps, self.decay_shape)
            case Kind.COSINE_WITH_RESTARTS if p < 1:
                return curves.cosine(curves.cycle_at(p, self.cycles, self.cycle_growth)[1])
        return curves.cosine(p)

    def _one_cycle(self, step: int) -> float:
        """Smith & Topin, "Super-Convergence", 2018, in torch's form: up and down along half cosines."""
        turn, last = self._rise_end, self.curve_steps - 1
        if step < turn:
            return curves.between(self.start_factor, 1.0, step / turn)
        p = 1.0 if step >= last > turn else (step - turn) / (last - turn) if last > turn else 0.0
        return curves.between(1.0, self.min_factor, p)

    def _progress(self, step: int) -> float:
        """Share of the steps after the warmup that is done."""
        return min(1.0, (step - self.warmup_steps) / max(1, self.curve_steps - self.warmup_steps))

    def lr(self, step: int, base_lr: float) -> float:
        """The learning rate of the optimizer step after ``step`` completed ones."""
        return base_lr * self.factor(step)

    def phase(self, step: int) -> Phase:
        """The part of the curve that the step after ``step`` completed ones lies in."""
        if step >= self.curve_steps:
            return Phase.TAIL if step < self.total_steps else Phase.FINISHED
        if step < self.warmup_steps:
            return Phase.WARMUP
        match self.kind:
            case Kind.CONSTANT | Kind.PIECEWISE:
                return Phase.CONSTANT
            case Kind.WARMUP_STABLE_DECAY if step < self.curve_steps - self.decay_steps:
                return Phase.CONSTANT
            case Kind.ONE_CYCLE if step < self._rise_end:
                return Phase.RISE
        return Phase.DECAY

    def part(self, step: int) -> str:
        """``cycle 2 of 3`` or ``piece 1 of 2`` where the curve has several; else empty."""
        if not self.warmup_steps <= step < self.curve_steps:
            return ""
        if self.kind is Kind.COSINE_WITH_RESTARTS:
            cycle, _ = curves.cycle_at(self._progress(step), self.cycles, self.cycle_growth)
            return f"cycle {cycle + 1} of {self.cycles}"
        if self.kind is Kind.PIECEWISE:
            return f"piece {sum(start <= step for start, _ in self.rules)} of {len(self.rules)}"
        return ""

    def share_done(self, step: int) -> float:
        """Share of all steps that is completed, in [0, 1]."""
        return min(1.0, max(0, step) / self.total_steps)

    def parameters(self) -> dict[str, int | float | str]:
        """Everything but the kind: name to value, as a profile would hold it."""
        found: dict[str, int | float | str] = {"total_steps": self.total_steps}
        for name in SHAPES[self.kind] + TAIL * bool(self.tail_steps):
            value = getattr(self, name)
            found[name] = rules_text(value) if name == "rules" else value
        return found

    def shown(self) -> tuple[tuple[str, str], ...]:
        """``parameters`` as words: name and text; of a tail only what shapes it."""
        passed_over = {name for name in TAIL if getattr(self, name) == DEFAULTS[name] and name != "tail_shape"}
        return tuple(
            (name.replace("_", " "), _text(value))
            for name, value in self.parameters().items()
            if name not in passed_over
        )

    def reaching(self, total_steps: int) -> Schedule:
        """The same schedule without the rules that ``total_steps`` do not reach."""
        return replace(self, rules=tuple(rule for rule in self.rules if rule[0] < total_steps))

    def without_tail(self) -> Schedule:
        """The curve alone."""
        return replace(self, total_steps=self.curve_steps, **{name: DEFAULTS[name] for name in TAIL})

    def to_json(self) -> dict[str, Any]:
        """The stored form; ``from_json`` reads it back."""
        stored: dict[str, Any] = {"kind": self.kind.value, **self.parameters()}
        if self.kind is Kind.PIECEWISE:
            stored["rules"] = [list(rule) for rule in self.rules]
        return stored

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Schedule:
        """Read ``to_json``'s form, or an older one with fewer parameters.

        Raises ``ScheduleError`` if it describes no schedule this version knows: a parameter that would be passed over, too.
        """
        try:
            kind = Kind(stored["kind"])
            given = {name: value for name, value in stored.items() if name not in {"kind", "total_steps"}}
            if unknown := given.keys() - {*SHAPES[kind], *TAIL}:
                raise ScheduleError(
                    f"the stored schedule {kind} has {min(unknown)!r}, which this version does not know"
                )
            values = {name: _READ[name](value) for name, value in given.items()}
            return cls(kind, int(stored["total_steps"]), **values)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ScheduleError(f"the stored schedule is not readable: {stored!r}") from error


DEFAULTS: Final[dict[str, Any]] = {
    field.name: field.default for field in fields(Schedule) if field.name not in {"kind", "total_steps"}
}
"""Of every parameter that only some kinds have."""

_RANGES: Final[tuple[tuple[str, float, float], ...]] = (
    ("min_factor", 0, 1),
    ("cycles", 1, MAX_CYCLES),
    ("cycle_growth", 1, MAX_GROWTH),
    ("power", 1e-3, MAX_POWER),
    ("timescale", 1, math.inf),
    ("decay_share", 0, 1),
    ("rise_share", 0, 1),
    ("start_factor", 0, 1),
    ("tail_factor", 0, 1),
    ("tail_end", 0, 1),
)


def _rules(stored: Any) -> Rules:
    return tuple((int(step), float(factor)) for step, factor in stored)


_READ: Final[dict[str, Any]] = {
    "warmup_steps": int,
    "min_factor": float,
    "cycles": int,
    "cycle_growth": float,
    "power": float,
    "timescale": int,
    "decay_share": float,
    "decay_shape": DecayShape,
    "rules": _rules,
    "rise_share": float,
    "start_factor": float,
    "tail_steps": int,
    "tail_shape": TailShape,
    "tail_factor": lambda value: None if value is None else float(value),
    "tail_end": float,
}
"""From JSON's values to the parameters' types."""


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int):
        return f"{value:,}"
    return "none" if value is None or value == () else str(getattr(value, "value", value))
