"""The schedule's factors are those of torch's and diffusers' schedulers, which are only asked here."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from diffusers.optimization import get_scheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.schedule import Kind, Phase, Schedule, ScheduleError

torch.set_num_threads(1)

totals = st.integers(1, 400)


@st.composite
def schedules(draw: st.DrawFn, kinds: tuple[Kind, ...] = tuple(Kind), *, decays: bool = False) -> Schedule:
    """Any schedule; decays=True keeps at least one step after the warmup."""
    total = draw(totals)
    return Schedule(draw(st.sampled_from(kinds)), total, draw(st.integers(0, total - 1 if decays else total)))


def optimizer(base_lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base_lr)


def rates(scheduler: Any, stepped: torch.optim.Optimizer, steps: int) -> Iterator[float]:
    """The rate that each optimizer step really uses."""
    for _ in range(steps):
        yield stepped.param_groups[0]["lr"]
        stepped.step()
        scheduler.step()


@settings(max_examples=60, deadline=None)
@given(schedules(decays=True), st.floats(1e-6, 1.0))
def test_every_rate_is_the_one_diffusers_would_use(schedule: Schedule, base_lr: float) -> None:
    stepped = optimizer(base_lr)
    name = {Kind.CONSTANT: "constant_with_warmup", Kind.COSINE: "cosine"}[schedule.kind]
    oracle = get_scheduler(
        name, stepped, num_warmup_steps=schedule.warmup_steps, num_training_steps=schedule.total_steps
    )
    used = list(rates(oracle, stepped, schedule.total_steps))
    ours = [schedule.lr(step, base_lr) for step in range(schedule.total_steps)]
    assert ours == pytest.approx(used, rel=1e-9, abs=1e-15 * base_lr)


@settings(max_examples=30, deadline=None)
@given(schedules(), st.floats(1e-6, 1.0))
def test_torchs_lambda_scheduler_drives_an_optimizer_to_the_same_rates(schedule: Schedule, base_lr: float) -> None:
    stepped = optimizer(base_lr)
    driven = torch.optim.lr_scheduler.LambdaLR(stepped, schedule.factor)
    used = list(rates(driven, stepped, schedule.total_steps + 3))
    assert used == [schedule.lr(step, base_lr) for step in range(schedule.total_steps + 3)]


@settings(max_examples=30, deadline=None)
@given(totals, st.floats(1e-6, 1.0))
def test_without_a_warmup_cosine_is_torchs_annealing_to_zero(total: int, base_lr: float) -> None:
    stepped = optimizer(base_lr)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = torch.optim.lr_scheduler.CosineAnnealingLR(stepped, T_max=total)
        used = list(rates(oracle, stepped, total))
    schedule = Schedule(Kind.COSINE, total)
    assert [schedule.lr(step, base_lr) for step in range(total)] == pytest.approx(used, rel=1e-6, abs=1e-9 * base_lr)


@settings(max_examples=30, deadline=None)
@given(schedules((Kind.CONSTANT,)))
def test_the_warmup_is_torchs_linear_one_from_zero(schedule: Schedule) -> None:
    used = [schedule.factor(step) for step in range(schedule.total_steps)]
    for step, factor in enumerate(used):
        assert factor == (step / schedule.warmup_steps if step < schedule.warmup_steps else 1.0)


@given(schedules(), st.integers(-5, 1000))
def test_the_factor_is_total_and_between_zero_and_one(schedule: Schedule, step: int) -> None:
    assert 0.0 <= schedule.factor(step) <= 1.0


@given(schedules((Kind.COSINE,)))
def test_cosine_rises_in_the_warmup_and_never_after_it(schedule: Schedule) -> None:
    factors = [schedule.factor(step) for step in range(schedule.total_steps + 3)]
    rise, fall = factors[: schedule.warmup_steps], factors[schedule.warmup_steps :]
    assert rise == sorted(rise)
    assert fall == sorted(fall, reverse=True)


@given(schedules(decays=True), st.integers(0, 50))
def test_past_the_end_the_factor_stays_what_it_was_there(schedule: Schedule, beyond: int) -> None:
    end = schedule.factor(schedule.total_steps)
    assert end == pytest.approx(0.0 if schedule.kind is Kind.COSINE else 1.0, abs=1e-15)
    assert schedule.factor(schedule.total_steps + beyond) == end


@given(schedules(), st.integers(0, 500))
def test_the_phase_agrees_with_the_curve(schedule: Schedule, step: int) -> None:
    phase = schedule.phase(step)
    if step >= schedule.total_steps:
        assert phase is Phase.FINISHED
        assert schedule.share_done(step) == 1.0
    elif schedule.factor(step + 1) > schedule.factor(step):
        assert phase is Phase.WARMUP
    elif schedule.factor(step + 1) < schedule.factor(step):
        assert phase is Phase.DECAY
    assert 0.0 <= schedule.share_done(step) <= 1.0


@given(schedules())
def test_the_stored_form_reads_back_equal(schedule: Schedule) -> None:
    assert Schedule.from_json(schedule.to_json()) == schedule


def test_halfway_down_a_cosine_the_rate_is_half() -> None:
    assert Schedule(Kind.COSINE, 40).lr(20, 1e-4) == pytest.approx(5e-5)
    assert Schedule(Kind.COSINE, 50, 10).lr(30, 1e-4) == pytest.approx(5e-5)
    assert Schedule(Kind.COSINE, 50, 10).lr(5, 1e-4) == pytest.approx(5e-5)
    assert math.isclose(Schedule(Kind.COSINE, 4).factor(1), 0.8535533905932737)


@pytest.mark.parametrize(("total", "warmup"), [(0, 0), (-1, 0), (10, 11), (10, -1)])
def test_what_is_no_schedule_is_refused(total: int, warmup: int) -> None:
    with pytest.raises(ScheduleError):
        Schedule(Kind.COSINE, total, warmup)


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
    ],
)
def test_a_stored_form_that_describes_none_is_refused(stored: dict[str, Any]) -> None:
    with pytest.raises(ScheduleError):
        Schedule.from_json(stored)
