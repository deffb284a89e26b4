"""The schedule's factors are those of torch's, diffusers' and transformers' schedulers, which are only asked here."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers.optimization as transformers_schedules
from diffusers.optimization import get_scheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.schedule import (
    SETTINGS,
    SHAPES,
    DecayShape,
    Kind,
    Phase,
    Schedule,
    ScheduleError,
    TailShape,
    from_settings,
    settings_of,
)
from tests.engine.schedule_strategies import schedules

torch.set_num_threads(1)

totals = st.integers(1, 400)
base_lrs = st.floats(1e-6, 1.0)
RISING = {Kind.COSINE_WITH_RESTARTS, Kind.PIECEWISE, Kind.ONE_CYCLE}
"""Kinds whose factor may rise after the warmup."""


def optimizer(base_lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base_lr)


def rates(scheduler: Any, stepped: torch.optim.Optimizer, steps: int) -> Iterator[float]:
    """The rate that each optimizer step really uses."""
    for _ in range(steps):
        yield stepped.param_groups[0]["lr"]
        stepped.step()
        scheduler.step()


def used_by(make: Callable[[torch.optim.Optimizer], Any], base_lr: float, steps: int) -> list[float]:
    """The rates of an oracle's scheduler."""
    stepped = optimizer(base_lr)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(rates(make(stepped), stepped, steps))


def ours(schedule: Schedule, base_lr: float) -> list[float]:
    return [schedule.lr(step, base_lr) for step in range(schedule.total_steps)]


def close(rates: list[float], base_lr: float, rel: float = 1e-9) -> Any:
    return pytest.approx(rates, rel=rel, abs=1e-12 * base_lr)


DIFFUSERS = {
    Kind.CONSTANT: "constant_with_warmup",
    Kind.LINEAR: "linear",
    Kind.COSINE: "cosine",
    Kind.COSINE_WITH_RESTARTS: "cosine_with_restarts",
}


@settings(max_examples=60, deadline=None)
@given(schedules((Kind.CONSTANT, Kind.LINEAR, Kind.COSINE), decays=True, floor=False), base_lrs)
def test_every_rate_is_the_one_diffusers_would_use(schedule: Schedule, base_lr: float) -> None:
    counts = {"num_warmup_steps": schedule.warmup_steps, "num_training_steps": schedule.total_steps}
    used = used_by(
        lambda stepped: get_scheduler(DIFFUSERS[schedule.kind], stepped, **counts), base_lr, schedule.total_steps
    )
    assert ours(schedule, base_lr) == close(used, base_lr)


def transformers_of(schedule: Schedule, base_lr: float) -> Callable[[torch.optim.Optimizer], Any]:
    """The scheduler of transformers that has the same shape."""
    warmup, total = schedule.warmup_steps, schedule.total_steps
    match schedule.kind:
        case Kind.CONSTANT:
            return lambda o: transformers_schedules.get_constant_schedule_with_warmup(o, warmup)
        case Kind.COSINE:
            return lambda o: transformers_schedules.get_cosine_with_min_lr_schedule_with_warmup(
                o, warmup, total, min_lr_rate=schedule.min_factor
            )
        case Kind.POLYNOMIAL:
            return lambda o: transformers_schedules.get_polynomial_decay_schedule_with_warmup(
                o, warmup, total, lr_end=schedule.min_factor * base_lr, power=schedule.power
            )
        case Kind.INVERSE_SQRT:
            return lambda o: transformers_schedules.get_inverse_sqrt_schedule(o, warmup, schedule.timescale)
        case _:
            return lambda o: transformers_schedules.get_wsd_schedule(
                o,
                warmup,
                schedule.decay_steps,
                num_training_steps=total,
                decay_type={DecayShape.SQRT: "1-sqrt"}.get(schedule.decay_shape, schedule.decay_shape.value),
                min_lr_ratio=schedule.min_factor,
            )


@settings(max_examples=120, deadline=None)
@given(
    schedules((Kind.CONSTANT, Kind.COSINE, Kind.POLYNOMIAL, Kind.INVERSE_SQRT, Kind.WARMUP_STABLE_DECAY), decays=True),
    base_lrs,
)
def test_every_rate_is_the_one_transformers_would_use(schedule: Schedule, base_lr: float) -> None:
    if schedule.kind is Kind.POLYNOMIAL and schedule.min_factor == 1:
        return  # refused there
    start = 0
    if schedule.kind is Kind.WARMUP_STABLE_DECAY and schedule.min_factor:
        start = schedule.warmup_steps  # its warmup begins at the floor, ours at 0
    used = used_by(transformers_of(schedule, base_lr), base_lr, schedule.total_steps)
    assert ours(schedule, base_lr)[start:] == close(used[start:], base_lr)


@settings(max_examples=60, deadline=None)
@given(totals, st.integers(1, 6), st.integers(0, 50), base_lrs)
def test_equal_cycles_are_those_of_transformers(total: int, cycles: int, warmup: int, base_lr: float) -> None:
    warmup = min(warmup, total - 1)
    if total - warmup < cycles:
        return
    schedule = Schedule(Kind.COSINE_WITH_RESTARTS, total, warmup, cycles=cycles)
    used = used_by(
        lambda o: transformers_schedules.get_cosine_with_hard_restarts_schedule_with_warmup(
            o, warmup, total, num_cycles=cycles
        ),
        base_lr,
        total,
    )
    for step, (rate, theirs) in enumerate(zip(ours(schedule, base_lr), used, strict=True)):
        place = (step - warmup) / (total - warmup) * cycles
        if step > warmup and abs(place - round(place)) < 1e-9:
            # Theirs is 0 where rounding keeps a restart's step in the cycle before.
            assert rate == pytest.approx(base_lr)
            assert theirs == pytest.approx(base_lr) or theirs < 1e-9 * base_lr
        else:
            assert rate == pytest.approx(theirs, rel=1e-9, abs=1e-12 * base_lr)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), st.integers(1, 5), st.integers(1, 3), st.floats(0, 0.9), base_lrs)
def test_growing_cycles_are_torchs_warm_restarts(
    first: int, cycles: int, growth: int, floor: float, base_lr: float
) -> None:
    total = first * sum(growth**cycle for cycle in range(cycles))
    schedule = Schedule(Kind.COSINE_WITH_RESTARTS, total, min_factor=floor, cycles=cycles, cycle_growth=float(growth))
    used = used_by(
        lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(
            o, T_0=first, T_mult=growth, eta_min=floor * base_lr
        ),
        base_lr,
        total,
    )
    assert ours(schedule, base_lr) == close(used, base_lr, rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(totals, st.floats(0, 1), base_lrs)
def test_without_a_warmup_cosine_is_torchs_annealing_to_the_floor(total: int, floor: float, base_lr: float) -> None:
    used = used_by(
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=total, eta_min=floor * base_lr), base_lr, total
    )
    schedule = Schedule(Kind.COSINE, total, min_factor=floor)
    assert ours(schedule, base_lr) == pytest.approx(used, rel=1e-6, abs=1e-9 * base_lr)


@settings(max_examples=30, deadline=None)
@given(totals, st.floats(0.1, 5), base_lrs)
def test_without_a_warmup_linear_and_polynomial_are_torchs(total: int, power: float, base_lr: float) -> None:
    used = used_by(lambda o: torch.optim.lr_scheduler.PolynomialLR(o, total_iters=total, power=power), base_lr, total)
    # torch's goes from rate to rate, and its rounding errors add up where it nears 0.
    assert ours(Schedule(Kind.POLYNOMIAL, total, power=power), base_lr) == pytest.approx(used, rel=1e-6)
    used = used_by(
        lambda o: torch.optim.lr_scheduler.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=total),
        base_lr,
        total,
    )
    assert ours(Schedule(Kind.LINEAR, total), base_lr) == pytest.approx(used, rel=1e-6, abs=1e-9 * base_lr)


@settings(max_examples=60, deadline=None)
@given(st.integers(5, 400), st.floats(0.05, 0.95), st.floats(0.01, 0.9), st.floats(0.001, 1), base_lrs)
def test_one_cycle_is_torchs(total: int, rise: float, start: float, end: float, base_lr: float) -> None:
    if not 1e-6 < rise * total - 1 < total - 1 - 1e-6:
        return  # torch divides by zero
    schedule = Schedule(Kind.ONE_CYCLE, total, min_factor=end * start, rise_share=rise, start_factor=start)
    used = used_by(
        lambda o: torch.optim.lr_scheduler.OneCycleLR(
            o,
            max_lr=base_lr,
            total_steps=total,
            pct_start=rise,
            cycle_momentum=False,
            div_factor=1 / start,
            final_div_factor=1 / end,
        ),
        base_lr,
        total - 1,
    )
    assert ours(schedule, base_lr)[:-1] == close(used, base_lr)
    assert schedule.factor(total - 1) == pytest.approx(end * start)


@settings(max_examples=40, deadline=None)
@given(schedules((Kind.PIECEWISE,)), base_lrs)
def test_piecewise_is_diffusers(schedule: Schedule, base_lr: float) -> None:
    starts = [step for step, _ in schedule.rules[1:]]
    factors = [factor for _, factor in schedule.rules]
    pieces = [f"{factor!r}:{until}" for factor, until in zip(factors, starts, strict=False)]
    text = ",".join([*pieces, repr(factors[-1])])
    used = used_by(lambda o: get_scheduler("piecewise_constant", o, step_rules=text), base_lr, schedule.total_steps)
    warmup = schedule.warmup_steps
    assert ours(schedule, base_lr)[warmup:] == used[warmup:]
    after = schedule.factor(warmup)
    assert [schedule.factor(step) for step in range(warmup)] == [step / warmup * after for step in range(warmup)]


@given(totals, st.floats(0, 1))
def test_rex_is_the_papers_formula(total: int, floor: float) -> None:
    schedule = Schedule(Kind.REX, total, min_factor=floor)
    for step in range(total + 1):
        z = step / total
        profile = (1 - z) / (1 / 2 + 1 / 2 * (1 - z))
        assert schedule.factor(step) == pytest.approx(floor + (1 - floor) * profile)


@settings(max_examples=30, deadline=None)
@given(schedules(), base_lrs)
def test_torchs_lambda_scheduler_drives_an_optimizer_to_the_same_rates(schedule: Schedule, base_lr: float) -> None:
    stepped = optimizer(base_lr)
    driven = torch.optim.lr_scheduler.LambdaLR(stepped, schedule.factor)
    used = list(rates(driven, stepped, schedule.total_steps + 3))
    assert used == [schedule.lr(step, base_lr) for step in range(schedule.total_steps + 3)]


@settings(max_examples=30, deadline=None)
@given(schedules((Kind.CONSTANT,)))
def test_the_warmup_is_torchs_linear_one_from_zero(schedule: Schedule) -> None:
    used = [schedule.factor(step) for step in range(schedule.total_steps)]
    for step, factor in enumerate(used):
        assert factor == (step / schedule.warmup_steps if step < schedule.warmup_steps else 1.0)


@given(schedules(), st.integers(-5, 1000))
def test_the_factor_is_total_and_between_zero_and_one(schedule: Schedule, step: int) -> None:
    assert 0.0 <= schedule.factor(step) <= 1.0 + 1e-15


@given(schedules())
def test_factors_rise_in_the_warmup_and_after_it_only_in_kinds_that_say_so(schedule: Schedule) -> None:
    factors = [schedule.factor(step) for step in range(schedule.total_steps + 3)]
    rise, fall = factors[: schedule.warmup_steps], factors[schedule.warmup_steps :]
    assert rise == sorted(rise)
    if schedule.kind not in RISING:
        assert fall == sorted(fall, reverse=True)


@given(schedules(decays=True), st.integers(0, 50))
def test_past_the_end_the_factor_stays_what_it_was_there(schedule: Schedule, beyond: int) -> None:
    end = schedule.factor(schedule.total_steps)
    assert schedule.factor(schedule.total_steps + beyond) == end
    if "min_factor" in SHAPES[schedule.kind] and not (schedule.kind is Kind.ONE_CYCLE and schedule.total_steps < 5):
        assert end == pytest.approx(schedule.min_factor, abs=1e-15)


@given(schedules(), st.integers(0, 500))
def test_the_phase_agrees_with_the_curve(schedule: Schedule, step: int) -> None:
    phase, rise = schedule.phase(step), schedule.factor(step + 1) - schedule.factor(step)
    if step >= schedule.total_steps:
        assert phase is Phase.FINISHED
        assert schedule.share_done(step) == 1.0
    elif step < schedule.warmup_steps:
        assert phase is Phase.WARMUP
    elif schedule.kind is Kind.PIECEWISE:
        assert phase is Phase.CONSTANT
    elif rise > 1e-12:
        assert phase is Phase.RISE or schedule.part(step) != schedule.part(step + 1)
    elif rise < -1e-12 and schedule.kind is not Kind.ONE_CYCLE:
        assert phase is Phase.DECAY
    assert 0.0 <= schedule.share_done(step) <= 1.0


@given(schedules())
def test_the_first_rise_ends_at_the_highest_rate(schedule: Schedule) -> None:
    if schedule.kind in {Kind.PIECEWISE, Kind.COSINE_WITH_RESTARTS}:
        return
    factors = [schedule.factor(step) for step in range(schedule.total_steps)]
    assert schedule.factor(min(schedule.risen_at, schedule.total_steps - 1)) == max(factors)


@given(schedules())
def test_the_stored_form_reads_back_equal(schedule: Schedule) -> None:
    assert Schedule.from_json(schedule.to_json()) == schedule
    assert from_settings(settings_of(schedule), schedule.total_steps) == schedule


@given(schedules())
def test_what_is_shown_and_stored_is_what_the_kind_has(schedule: Schedule) -> None:
    own = ["total_steps", *SHAPES[schedule.kind]]
    assert list(schedule.parameters()) == own
    assert list(schedule.to_json()) == ["kind", *own]
    assert [name for name, _ in schedule.shown()] == [name.replace("_", " ") for name in own]


def test_a_stored_form_from_before_the_parameters_reads() -> None:
    stored = {"kind": "cosine", "total_steps": 40, "warmup_steps": 3}
    assert Schedule.from_json(stored) == Schedule(Kind.COSINE, 40, 3)
    assert Schedule.from_json({"kind": "constant", "total_steps": 5}) == Schedule(Kind.CONSTANT, 5)


def test_halfway_down_a_cosine_the_rate_is_half() -> None:
    assert Schedule(Kind.COSINE, 40).lr(20, 1e-4) == pytest.approx(5e-5)
    assert Schedule(Kind.COSINE, 50, 10).lr(30, 1e-4) == pytest.approx(5e-5)
    assert Schedule(Kind.COSINE, 50, 10).lr(5, 1e-4) == pytest.approx(5e-5)
    assert math.isclose(Schedule(Kind.COSINE, 4).factor(1), 0.8535533905932737)


def test_parts_of_a_curve_are_counted() -> None:
    cycles = Schedule(Kind.COSINE_WITH_RESTARTS, 80, 10, cycles=3, cycle_growth=2.0)
    assert [cycles.part(step) for step in (9, 10, 19, 20, 39, 40, 79, 80)] == [
        *("", "cycle 1 of 3", "cycle 1 of 3", "cycle 2 of 3", "cycle 2 of 3", "cycle 3 of 3", "cycle 3 of 3", ""),
    ]
    pieces = Schedule(Kind.PIECEWISE, 20, rules=((0, 1.0), (5, 0.5)))
    assert [pieces.part(step) for step in (0, 4, 5, 20)] == ["piece 1 of 2", "piece 1 of 2", "piece 2 of 2", ""]
    assert Schedule(Kind.COSINE, 20).part(3) == ""


def test_a_share_of_the_steps_is_a_warmup() -> None:
    asked = SETTINGS | {"kind": "linear", "warmup_share": 0.1}
    assert from_settings(asked, 205) == Schedule(Kind.LINEAR, 205, 20)


@pytest.mark.parametrize(("total", "warmup"), [(0, 0), (-1, 0), (10, 11), (10, -1)])
def test_what_is_no_schedule_is_refused(total: int, warmup: int) -> None:
    with pytest.raises(ScheduleError):
        Schedule(Kind.COSINE, total, warmup)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    "parameter",
    [
        {"warmup_steps": 2},
        {"min_factor": 0.5},
        {"cycles": 2},
        {"cycle_growth": 2.0},
        {"power": 2.0},
        {"timescale": 9},
        {"decay_share": 0.5},
        {"decay_shape": DecayShape.SQRT},
        {"rules": ((0, 1.0), (5, 0.5))},
        {"rise_share": 0.5},
        {"start_factor": 0.5},
    ],
    ids=lambda parameter: next(iter(parameter)),
)
def test_a_parameter_changes_the_curve_or_is_refused(kind: Kind, parameter: dict[str, Any]) -> None:
    """Nothing is passed over in silence."""
    (name,) = parameter
    rules: dict[str, Any] = {"rules": ((0, 1.0),)} if kind is Kind.PIECEWISE else {}
    if name not in SHAPES[kind]:
        with pytest.raises(ScheduleError, match=f"{name} is not used by the schedule {kind}"):
            Schedule(kind, 20, **(rules | parameter))
        return
    plain, shaped = Schedule(kind, 20, **rules), Schedule(kind, 20, **(rules | parameter))
    assert [plain.factor(step) for step in range(20)] != [shaped.factor(step) for step in range(20)]


@pytest.mark.parametrize(
    ("kind", "parameters", "blamed"),
    [
        (Kind.COSINE, {"min_factor": 1.1}, "min_factor"),
        (Kind.COSINE, {"min_factor": -0.1}, "min_factor"),
        (Kind.COSINE, {"min_factor": math.nan}, "min_factor"),
        (Kind.COSINE_WITH_RESTARTS, {"cycles": 0}, "cycles"),
        (Kind.COSINE_WITH_RESTARTS, {"cycles": 21}, "cycles"),
        (Kind.COSINE_WITH_RESTARTS, {"cycles": 5, "cycle_growth": 3.0}, "cycles"),
        (Kind.POLYNOMIAL, {"power": 0.0}, "power"),
        (Kind.INVERSE_SQRT, {"timescale": 0}, "timescale"),
        (Kind.WARMUP_STABLE_DECAY, {"decay_share": 0.6, "warmup_steps": 10}, "decay_share"),
        (Kind.PIECEWISE, {}, "rules"),
        (Kind.PIECEWISE, {"rules": ((1, 1.0),)}, "rules"),
        (Kind.PIECEWISE, {"rules": ((0, 1.0), (5, 0.5), (5, 0.2))}, "rules"),
        (Kind.PIECEWISE, {"rules": ((0, 1.5),)}, "rules"),
        (Kind.PIECEWISE, {"rules": ((0, 1.0), (20, 0.5))}, "rules"),
        (Kind.ONE_CYCLE, {"rise_share": 2.0}, "rise_share"),
    ],
)
def test_parameters_that_make_no_curve_are_refused_by_name(kind: Kind, parameters: dict[str, Any], blamed: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        Schedule(kind, 20, **parameters)
    assert caught.value.parameter == blamed


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"kind": "spiral", "total_steps": 10},
        {"kind": "cosine"},
        {"kind": "cosine", "total_steps": "many"},
        {"kind": "cosine", "total_steps": None},
        {"kind": ["cosine"], "total_steps": 10},
        {"kind": "cosine", "total_steps": 10, "warmup_steps": 11},
        {"kind": "cosine", "total_steps": math.inf},
        {"kind": "cosine", "total_steps": math.nan},
        {"kind": "cosine", "total_steps": 10, "power": 2.0},
        {"kind": "cosine", "total_steps": 10, "tilt": 2.0},
        {"kind": "piecewise", "total_steps": 10, "rules": "0:1"},
        {"kind": "piecewise", "total_steps": 10, "rules": [[0]]},
        {"kind": "warmup_stable_decay", "total_steps": 10, "decay_shape": "round"},
    ],
)
def test_a_stored_form_that_describes_none_is_refused(stored: dict[str, Any]) -> None:
    with pytest.raises(ScheduleError):
        Schedule.from_json(stored)


TAILS = st.fixed_dictionaries(
    {
        "tail_steps": st.integers(1, 100),
        "tail_shape": st.sampled_from(TailShape),
        "tail_factor": st.none() | st.floats(0, 1),
        "tail_end": st.floats(0, 1),
    }
).map(lambda tail: tail | {"tail_end": 0.0} if tail["tail_shape"] is TailShape.CONSTANT else tail)


@settings(max_examples=100, deadline=None)
@given(schedules(), TAILS)
def test_a_tail_leaves_the_curve_as_it_is_and_follows_it(curve: Schedule, tail: dict[str, Any]) -> None:
    longer = replace(curve, total_steps=curve.total_steps + tail["tail_steps"], **tail)
    assert [longer.factor(step) for step in range(curve.total_steps)] == [
        curve.factor(step) for step in range(curve.total_steps)
    ]
    held = curve.factor(curve.total_steps - 1) if tail["tail_factor"] is None else tail["tail_factor"]
    factors = [longer.factor(step) for step in range(curve.total_steps, longer.total_steps)]
    assert factors[0] == pytest.approx(held, rel=1e-12, abs=1e-12)
    end = held if tail["tail_shape"] is TailShape.CONSTANT else tail["tail_end"]
    assert longer.factor(longer.total_steps) == pytest.approx(end, abs=1e-12)
    assert all(min(held, end) - 1e-12 <= factor <= max(held, end) + 1e-12 for factor in factors)
    assert longer.without_tail() == curve
    assert Schedule.from_json(longer.to_json()) == longer
    assert from_settings(settings_of(longer), longer.total_steps) == longer
    assert {longer.phase(step) for step in range(curve.total_steps, longer.total_steps)} == {Phase.TAIL}
    assert longer.phase(longer.total_steps) is Phase.FINISHED


@pytest.mark.parametrize(
    ("changes", "parameter"),
    [
        ({"tail_steps": 10}, "tail_steps"),
        ({"tail_steps": -1}, "tail_steps"),
        ({"tail_factor": 0.5}, "tail_factor"),
        ({"tail_shape": TailShape.LINEAR}, "tail_shape"),
        ({"tail_steps": 2, "tail_end": 0.5}, "tail_end"),
        ({"tail_steps": 2, "tail_factor": 1.5}, "tail_factor"),
        ({"tail_steps": 8, "warmup_steps": 3}, "warmup_steps"),
    ],
)
def test_a_tail_that_makes_no_sense_is_refused_by_name(changes: dict[str, Any], parameter: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        Schedule(Kind.COSINE, 10, **changes)
    assert caught.value.parameter == parameter
