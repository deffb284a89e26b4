"""Several children of one checkpoint: one for every combination, each named by what its siblings do not share."""

from __future__ import annotations

from functools import partial

import pytest

from engine.routes.continuing import plan_continuation
from engine.routes.forking import Fork, plan_fork
from engine.routes.route import Route, RouteError
from tests.engine.routes.test_continuing import PARENT, checkpoint

PLAN = partial(plan_continuation, checkpoint(20), PARENT)


def test_every_combination_is_planned_and_named_by_what_differs() -> None:
    plans = plan_fork(Fork(lrs=(1e-4, 9.000000000000001e-5), kinds=("cosine", "constant"), warmups=(5,)), PLAN)
    assert [plan.profile.name for plan in plans] == [
        "lora-lr1e-4-cosine",
        "lora-lr1e-4-constant",
        "lora-lr9e-5-cosine",
        "lora-lr9e-5-constant",
    ]
    assert [(plan.new_base_lr, plan.new.kind.value, plan.new.warmup_steps) for plan in plans] == [
        (1e-4, "cosine", 5),
        (1e-4, "constant", 5),
        (9.000000000000001e-5, "cosine", 5),
        (9.000000000000001e-5, "constant", 5),
    ]


def test_what_is_left_open_is_as_one_continuation_would_have_it() -> None:
    plans = plan_fork(Fork(warmups=(0, 10)), partial(PLAN, route=Route.RESCHEDULE, steps=30))
    assert [plan.profile.name for plan in plans] == ["lora-warmup0", "lora-warmup10"]
    alone = PLAN(steps=30)
    assert {(plan.new_base_lr, plan.new.kind, plan.steps, plan.route) for plan in plans} == {
        (alone.new_base_lr, alone.new.kind, 30, Route.RESCHEDULE)
    }


def test_a_long_name_keeps_what_differs() -> None:
    parent = PARENT.model_copy(update={"name": "x" * 64})
    plans = plan_fork(Fork(lrs=(1e-4, 5e-5)), partial(plan_continuation, checkpoint(20), parent))
    assert [plan.profile.name for plan in plans] == ["x" * 57 + "-lr1e-4", "x" * 57 + "-lr5e-5"]


@pytest.mark.parametrize(
    ("fork", "what"),
    [
        (Fork(lrs=(1e-4,)), "makes one child only"),
        (Fork(lrs=(1e-4, 1e-4)), "lora-lr1e-4 would be made twice"),
        (Fork(lrs=tuple(1e-6 * n for n in range(1, 66))), "would make 65 children, and 64 are the most"),
        (Fork(lrs=(1e-4, 11.0)), "the LR"),
    ],
)
def test_what_makes_no_fork_is_said(fork: Fork, what: str) -> None:
    with pytest.raises(RouteError, match=what):
        plan_fork(fork, PLAN)
