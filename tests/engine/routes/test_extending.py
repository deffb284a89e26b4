"""Extending: what the rate does in the steps that are added is chosen, shown, and warned about where it is next to nothing."""

from __future__ import annotations

from typing import Any

import pytest

from engine.routes.continuing import plan_continuation
from engine.routes.extending import Extension, plan_extension
from engine.routes.route import Route, RouteError
from engine.schedule import Kind, Schedule, TailShape
from tests.engine.routes.test_continuing import PARENT, checkpoint

CONSTANT = Schedule(Kind.CONSTANT, 40)


def extended(step: int, how: Extension, schedule: Schedule | None = None, **options: Any) -> Any:
    return plan_extension(checkpoint(step, schedule), PARENT, steps=10, how=how, **options)


@pytest.mark.parametrize("step", [0, 20, 40])
@pytest.mark.parametrize("how", [how for how in Extension if how is not Extension.STRETCH])
def test_the_planned_steps_keep_their_rates_and_the_count_goes_on(step: int, how: Extension) -> None:
    plan = extended(step, how)
    assert (plan.route, plan.first_step, plan.steps, plan.new.total_steps) == (Route.EXTEND, step, 50 - step, 50)
    old = checkpoint(step).schedule
    assert [plan.new.lr(at, plan.new_base_lr) for at in range(40)] == [old.lr(at, 1e-4) for at in range(40)]
    assert plan.profile.training.steps == 50
    assert plan.profile.schedule.over(50) == plan.new


def test_hold_keeps_the_last_rate_that_was_planned_and_warns_where_that_is_nothing() -> None:
    plan = extended(40, Extension.HOLD)
    last = Schedule(Kind.COSINE, 40).lr(39, 1e-4)
    assert [plan.new.lr(at, 1e-4) for at in range(40, 50)] == [last] * 10
    assert "next to nothing" in plan.warnings[0]
    assert extended(40, Extension.HOLD, CONSTANT).warnings == ()


def test_a_tail_of_a_given_rate_needs_no_warning_and_ends_where_it_is_said() -> None:
    plan = extended(20, Extension.LINEAR, lr=5e-5, end_lr=1e-5)
    assert plan.warnings == ()
    assert plan.new.lr(40, 1e-4) == pytest.approx(5e-5)
    assert plan.new.lr(50, 1e-4) == pytest.approx(1e-5)
    assert plan.new.tail_shape is TailShape.LINEAR


def test_a_stretched_curve_moves_the_rate_at_the_seam_and_says_by_how_much() -> None:
    plan = extended(20, Extension.STRETCH)
    assert plan.new == Schedule(Kind.COSINE, 50)
    assert plan.jump_to == Schedule(Kind.COSINE, 50).lr(20, 1e-4)
    assert plan.jump is not None
    assert plan.jump > 1


def test_a_constant_tail_can_be_held_on_and_another_one_cannot_grow_a_second() -> None:
    tailed = Schedule(Kind.COSINE, 40, tail_steps=10, tail_factor=0.2)
    assert extended(40, Extension.HOLD, tailed).new == Schedule(Kind.COSINE, 50, tail_steps=20, tail_factor=0.2)
    with pytest.raises(RouteError, match="has a tail already"):
        extended(40, Extension.LINEAR, tailed)


@pytest.mark.parametrize(
    ("how", "options", "said"),
    [
        (Extension.HOLD, {"lr": 1e-5}, "an LR has no use"),
        (Extension.STRETCH, {"lr": 1e-5}, "an LR has no use"),
        (Extension.CONSTANT, {"end_lr": 1e-5}, "a last LR has no use"),
        (Extension.CONSTANT, {"lr": 2e-4}, "above the base LR"),
        (Extension.LINEAR, {"lr": -1.0}, "must be a number above 0"),
    ],
)
def test_what_makes_no_sense_is_refused(how: Extension, options: dict[str, Any], said: str) -> None:
    with pytest.raises(RouteError, match=said):
        extended(20, how, **options)


def test_continuing_at_the_rate_where_a_finished_curve_stands_is_warned_about() -> None:
    stood = Schedule(Kind.COSINE, 40).lr(39, 1e-4)
    plan = plan_continuation(checkpoint(40), PARENT, lr=stood / 20)
    assert "These steps will change next to nothing" in plan.warnings[0]
    assert plan_continuation(checkpoint(40), PARENT, lr=1e-4).warnings == ()
