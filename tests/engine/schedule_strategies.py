"""Random schedules of every kind, for property tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from engine.schedule import SHAPES, DecayShape, Kind, Schedule, ScheduleError

shares = st.floats(0, 1)


@st.composite
def rules(draw: st.DrawFn, total: int) -> tuple[tuple[int, float], ...]:
    """Rules that ``total`` steps reach."""
    steps = draw(st.sets(st.integers(1, total - 1), max_size=4)) if total > 1 else set[int]()
    return tuple((step, draw(shares)) for step in (0, *sorted(steps)))


@st.composite
def schedules(
    draw: st.DrawFn, kinds: tuple[Kind, ...] = tuple(Kind), *, decays: bool = False, floor: bool = True
) -> Schedule:
    """Any schedule; decays=True keeps at least one step after the warmup, floor=False ends every fall at 0."""
    kind, total = draw(st.sampled_from(kinds)), draw(st.integers(1, 400))
    values: dict[str, st.SearchStrategy[Any]] = {
        "warmup_steps": st.integers(0, total - 1 if decays else total),
        "min_factor": shares if floor else st.just(0.0),
        "cycles": st.integers(1, 8),
        "cycle_growth": st.sampled_from([1.0, 1.0, 2.0, 1.5, 3.0]),
        "power": st.floats(0.1, 5),
        "timescale": st.none() | st.integers(1, 1000),
        "decay_share": shares,
        "decay_shape": st.sampled_from(DecayShape),
        "rules": rules(total),
        "rise_share": st.floats(0.01, 0.99),
        "start_factor": shares,
    }
    shape = {name: draw(values[name]) for name in SHAPES[kind]}
    try:
        return Schedule(kind, total, **shape)
    except ScheduleError as error:  # too many cycles, or too long a decay, for so few steps
        return Schedule(
            kind,
            total,
            **(shape | {error.parameter: {"cycles": 1, "decay_share": 0.0}[error.parameter]} | {"warmup_steps": 0}),
        )
