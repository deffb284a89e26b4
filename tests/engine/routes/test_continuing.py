"""What a continuation says before it is made: the jump of the rate, the child's profile, the effects of each change."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.checkpoint.summary import CheckpointSummary, NetworkFacts, RateGroup
from engine.errors import UserError
from engine.profile.fields import profile_field, profile_fields
from engine.profile.schema import Profile
from engine.profile.setting import AtResume
from engine.routes.child import read_shape
from engine.routes.continuing import plan_continuation
from engine.routes.effects import effects
from engine.routes.plan import ChildPlan, suggested_warmup
from engine.routes.route import STATE_PARTS, RouteError
from engine.schedule import Kind, Schedule

PARENT = Profile.model_validate(
    {
        "model": {"base": "/base"},
        "dataset": {"sources": [{"path": "/images"}]},
        "training": {"steps": 40},
        "optimizer": {"lr": 1e-4},
    }
)


def checkpoint(
    step: int, schedule: Schedule | None = None, *, base_lr: float = 1e-4, integrity: str = "whole"
) -> CheckpointSummary:
    schedule = schedule or Schedule(Kind.COSINE, 40)
    last = schedule.lr(step - 1, base_lr) if step else None
    return CheckpointSummary(
        folder=Path(f"/runs/demo/checkpoints/step-{step:08d}"),
        run_id="demo",
        step=step,
        total_steps=schedule.total_steps,
        epoch=1,
        created=0.0,
        bytes=1,
        loss=0.1,
        loss_avg=0.1,
        schedule=schedule,
        groups=(RateGroup("unet", base_lr, last, 1, 1, {}),),
        optimizer="adamw",
        network=NetworkFacts("lora", 16, 16.0, 0.0, 1),
        attempt=1,
        elapsed_seconds=1.0,
        images_seen=step,
        base_model="/base",
        versions={},
        device="cpu",
        integrity=integrity,
    )


def plan(step: int, lr: float = 1e-4, **changes: Any) -> ChildPlan:
    return plan_continuation(checkpoint(step), PARENT, lr=lr, **changes)


def test_the_child_trains_the_parents_profile_with_the_new_rate_and_schedule() -> None:
    plan_ = plan(20, 3e-5, kind="constant", warmup_steps=5, steps=100)
    child = plan_.profile
    assert (child.optimizer.lr, child.schedule.kind, child.schedule.warmup_steps, child.training.steps) == (
        3e-5,
        Kind.CONSTANT,
        5,
        100,
    )
    assert plan_.new == Schedule(Kind.CONSTANT, 100, 5)
    assert (plan_.route, plan_.old, plan_.old_step, plan_.old_base_lr) == (
        "continue",
        Schedule(Kind.COSINE, 40),
        20,
        1e-4,
    )
    unchanged = {effect.field for effect in effects(PARENT, child)}
    assert unchanged == {"optimizer.lr", "schedule.kind", "schedule.warmup_steps", "training.steps"}


def test_by_default_it_trains_what_was_left_with_the_same_shape() -> None:
    assert plan(15).new == Schedule(Kind.COSINE, 25)
    assert plan(40).new == Schedule(Kind.COSINE, 40), "a finished run is trained as long again"
    assert plan(0).new == Schedule(Kind.COSINE, 40)


def test_the_jump_starts_at_the_rate_the_last_step_used() -> None:
    used = Schedule(Kind.COSINE, 40).lr(19, 1e-4)
    plan_ = plan(20, 1e-4)
    assert plan_.jump_from == used
    assert (plan_.jump_to, plan_.first_lr) == (1e-4, 1e-4)
    assert plan_.jump == pytest.approx(1e-4 / used)


def test_the_same_rate_on_a_constant_schedule_is_no_jump() -> None:
    plan_ = plan_continuation(checkpoint(20, Schedule(Kind.CONSTANT, 40)), PARENT, lr=1e-4)
    assert (plan_.jump, plan_.suggested_warmup, plan_.warmup_is_advised) == (1.0, None, False)


def test_a_lower_rate_is_a_jump_down_and_needs_no_warmup() -> None:
    plan_ = plan(5, 1e-5)
    assert plan_.jump is not None
    assert plan_.jump < 1
    assert plan_.suggested_warmup is None


def test_a_warmup_softens_the_first_step_and_not_the_jump() -> None:
    plan_ = plan(39, 1e-4, warmup_steps=10, steps=200)
    assert plan_.first_lr == 0.0
    assert plan_.jump_to == 1e-4
    assert plan_.jump == pytest.approx(1e-4 / Schedule(Kind.COSINE, 40).lr(38, 1e-4))
    assert (plan_.suggested_warmup, plan_.warmup_is_advised) == (10, False)
    assert plan(39, 1e-4, steps=200).warmup_is_advised


def test_a_warmup_as_long_as_the_training_never_reaches_the_base() -> None:
    plan_ = plan(20, 1e-4, warmup_steps=10, steps=10)
    assert plan_.jump_to == pytest.approx(9e-5)
    assert any("never reached" in note for note in plan_.notes)


def test_before_the_first_step_the_rate_to_come_is_compared() -> None:
    assert plan(0, 2e-4).jump == pytest.approx(2.0)


def test_from_a_rate_of_zero_there_is_no_factor() -> None:
    warming = checkpoint(0, Schedule(Kind.COSINE, 40, 10))
    plan_ = plan_continuation(warming, PARENT, lr=1e-4)
    assert (plan_.jump_from, plan_.jump) == (0.0, None)
    assert plan_.suggested_warmup == 10


@settings(max_examples=80, deadline=None)
@given(
    step=st.integers(0, 60),
    kind=st.sampled_from(Kind),
    old_warmup=st.integers(0, 60),
    lr=st.floats(1e-7, 1.0),
    steps=st.integers(1, 300),
    warmup=st.integers(0, 300),
)
def test_the_jump_is_what_really_happens_to_the_rate(
    *, step: int, kind: Kind, old_warmup: int, lr: float, steps: int, warmup: int
) -> None:
    """Compared with every single rate of both runs, not with the formula of the plan."""
    old = Schedule(Kind.COSINE, 60, old_warmup)
    steps = max(steps, 2)
    warmup = 0 if kind is Kind.ONE_CYCLE else min(warmup, steps - 1)
    shapes: dict[Kind, dict[str, Any]] = {
        Kind.COSINE_WITH_RESTARTS: {"cycles": 1},
        Kind.PIECEWISE: {"rules": "0:1, 1:0.5"},
        Kind.WARMUP_STABLE_DECAY: {"decay_share": 0.001},
    }
    plan_ = plan_continuation(
        checkpoint(step, old), PARENT, lr=lr, kind=kind, steps=steps, warmup_steps=warmup, shape=shapes.get(kind)
    )
    used = [old.lr(done, 1e-4) for done in range(60)]
    coming = [plan_.new.lr(done, lr) for done in range(steps)]
    assert plan_.jump_from == (used[step - 1] if step else used[0])
    assert plan_.first_lr == coming[0]
    if kind is Kind.PIECEWISE and warmup:
        assert plan_.jump_to == 0.5 * lr, "what the warmup rises to"
        coming = coming[: warmup + 1]
    assert plan_.jump_to == max(coming)
    if plan_.jump is None:
        assert plan_.jump_from == 0
    else:
        assert plan_.jump == max(coming) / plan_.jump_from
    jumps_up = plan_.jump is None or plan_.jump > 1
    assert (plan_.suggested_warmup is not None) == (jumps_up and kind is not Kind.ONE_CYCLE)


RESTARTS = Schedule(Kind.COSINE_WITH_RESTARTS, 100, 5, min_factor=0.1, cycles=4, cycle_growth=1.5)
PIECES = Schedule(Kind.PIECEWISE, 100, rules=((0, 1.0), (20, 0.5), (80, 0.1)))


def test_what_shapes_the_stored_schedule_stays_unless_it_is_changed() -> None:
    stored = checkpoint(40, RESTARTS)
    kept = plan_continuation(stored, PARENT, lr=1e-4)
    assert kept.new == Schedule(Kind.COSINE_WITH_RESTARTS, 60, min_factor=0.1, cycles=4, cycle_growth=1.5)
    assert kept.profile.schedule.over(60) == kept.new
    changed_ = plan_continuation(stored, PARENT, lr=1e-4, shape={"cycles": 2})
    assert changed_.new == Schedule(Kind.COSINE_WITH_RESTARTS, 60, min_factor=0.1, cycles=2, cycle_growth=1.5)
    other = plan_continuation(stored, PARENT, lr=1e-4, kind="polynomial", shape={"power": 2.0}, warmup_steps=6)
    assert other.new == Schedule(Kind.POLYNOMIAL, 60, 6, min_factor=0.1, power=2.0)
    assert plan_continuation(stored, PARENT, lr=1e-4, kind="constant").new == Schedule(Kind.CONSTANT, 60)
    assert plan_continuation(stored, PARENT, lr=1e-4, shape={"warmup_share": 0.1}).new.warmup_steps == 6
    assert plan_continuation(checkpoint(2, RESTARTS), PARENT, lr=1e-4, kind="one_cycle").suggested_warmup is None


def test_rules_that_the_child_does_not_reach_are_left_out_and_that_is_said() -> None:
    plan_ = plan_continuation(checkpoint(40, PIECES), PARENT, lr=1e-4)
    assert plan_.new.rules == ((0, 1.0), (20, 0.5))
    assert "1 of the stored rules are beyond 60 steps and are left out." in plan_.notes
    assert plan_.profile.schedule.rules == "0:1, 20:0.5"
    asked = plan_continuation(checkpoint(40, PIECES), PARENT, lr=1e-4, shape={"rules": "0:0.5, 10:1"})
    assert asked.new.rules == ((0, 0.5), (10, 1.0))
    with pytest.raises(RouteError, match=r"schedule\.rules: has a rule for step 60"):
        plan_continuation(checkpoint(40, PIECES), PARENT, lr=1e-4, shape={"rules": "0:1, 60:0.5"})


def test_the_shape_is_read_from_words() -> None:
    words = ["cycles=3", "min_factor = 0.1", "schedule.decay_shape=sqrt", "rules=0:1,5:0.5"]
    assert read_shape(words) == {"cycles": 3, "min_factor": 0.1, "decay_shape": "sqrt", "rules": "0:1,5:0.5"}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("cycles", "'cycles' is not written as name=value"),
        ("cycles=", "is not written as name=value"),
        ("cycle=3", "no schedule has 'cycle'\n  Did you mean cycles?"),
        ("kind=cosine", "no schedule has 'kind'"),
        ("cycles=0", "schedule.cycles: must be a whole number from 1 to 100, not 0"),
        ("cycles=two", "schedule.cycles: must be a whole number from 1 to 100, not two"),
        ("min_factor=[1]", "schedule.min_factor: must be a number from 0 to 1"),
    ],
)
def test_words_that_give_no_shape_are_refused(word: str, message: str) -> None:
    with pytest.raises(RouteError) as caught:
        read_shape([word])
    assert message in str(caught.value)


@given(st.integers(1, 10_000_000))
def test_the_suggested_warmup_follows_its_rule(steps: int) -> None:
    suggested = suggested_warmup(steps)
    assert suggested <= max(0, steps // 2)
    assert suggested <= 100
    if steps >= 20:
        assert suggested >= 10
    assert Schedule(Kind.COSINE, steps, suggested)
    assert [suggested_warmup(number) for number in (200, 400, 1000, 2000, 5000)] == [10, 20, 50, 100, 100]


def test_the_notes_say_what_the_stored_schedule_had_left() -> None:
    assert "had 20 of 40 steps left, with the LR going from 5.00e-5 to 1.54e-7" in plan(20).notes[0]
    assert "was finished: all 40 steps are done" in plan(40).notes[0]
    warming = plan_continuation(checkpoint(3, Schedule(Kind.COSINE, 40, 10)), PARENT, lr=1e-4)
    assert any("taken in the warmup, at step 3 of 10" in note for note in warming.notes)


def test_the_notes_say_when_the_optimizer_had_another_rate_than_the_profile() -> None:
    plan_ = plan_continuation(checkpoint(20, base_lr=2e-4), PARENT, lr=1e-4)
    assert any("base LR was 2.00e-4, not the profile's 1.00e-4" in note for note in plan_.notes)
    assert plan_.old_base_lr == 2e-4


def test_several_groups_are_noted_and_the_first_one_counts() -> None:
    two = checkpoint(20)
    two = replace(two, groups=(*two.groups, RateGroup("text", 1e-5, 1e-6, 1, 1, {})))
    plan_ = plan_continuation(two, PARENT, lr=1e-4)
    assert plan_.jump_from == two.groups[0].last_lr
    assert any("group unet" in note for note in plan_.notes)


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"lr": 0.0}, "optimizer.lr", "must be a number above 0 and at most 10, not 0.0"),
        ({"lr": -1e-4}, "optimizer.lr", "above 0"),
        ({"lr": 10.1}, "optimizer.lr", "at most 10"),
        ({"lr": math.nan}, "optimizer.lr", "not nan"),
        ({"lr": math.inf}, "optimizer.lr", "not inf"),
        ({"lr": True}, "optimizer.lr", "not True"),
        ({"kind": "spiral"}, "schedule.kind", "must be one of constant, linear, cosine, cosine_with_restarts"),
        ({"steps": 0}, "training.steps", "must be a whole number from 1 to 10,000,000, not 0"),
        ({"steps": -5}, "training.steps", "must be a whole number"),
        ({"warmup_steps": -1}, "schedule.warmup_steps", "must be a whole number from 0"),
        ({"warmup_steps": 30, "steps": 20}, "schedule.warmup_steps", "warmup of 30 steps does not fit into 20 steps"),
        (
            {"shape": {"cycles": 2}},
            "schedule.cycles",
            "is not used by the schedule cosine\n  Remove it, or set schedule.kind",
        ),
        ({"kind": "piecewise"}, "schedule.rules", "is empty, and the schedule piecewise has no other shape"),
        ({"kind": "one_cycle", "warmup_steps": 3}, "schedule.warmup_steps", "is not used by the schedule one_cycle"),
        ({"kind": "cosine_with_restarts", "steps": 2}, "schedule.cycles", "shorter than a step"),
        ({"warmup_steps": 21}, "schedule.warmup_steps", "does not fit into 20 steps\n  Use at most 20."),
    ],
)
def test_what_cannot_be_trained_is_refused_with_its_field(changes: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        plan(20, **changes)
    assert isinstance(caught.value, RouteError)
    assert caught.value.field == field
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{field}: ")


def test_a_damaged_checkpoint_is_not_continued() -> None:
    damaged = checkpoint(20, integrity="lora.safetensors is missing")
    with pytest.raises(RouteError, match=r"step-00000020 is damaged: lora\.safetensors is missing"):
        plan_continuation(damaged, PARENT, lr=1e-4)


def test_the_effects_of_a_continuation_are_that_every_change_takes_effect() -> None:
    found = {effect.field: effect for effect in plan(20, 3e-5).effects}
    assert (found["optimizer.lr"].stored, found["optimizer.lr"].new) == (1e-4, 3e-5)
    assert (found["training.steps"].stored, found["training.steps"].new) == (40, 20)
    assert all(effect.what_happens.startswith("takes effect") for effect in found.values())


CHANGES = [
    ("optimizer.lr", 5e-5, AtResume.RESTORED, "ignored by a resume"),
    ("network.rank", 32, AtResume.FIXED, "rules out an exact resume"),
    ("samples.steps", 30, AtResume.APPLIED, "takes effect from the next step on"),
    ("dataset.sources", [{"path": "/other"}], AtResume.FIXED, "rules out"),
    ("schedule.kind", "constant", AtResume.RESTORED, "ignored"),
    ("name", "other", AtResume.APPLIED, "takes effect"),
]


def changed(path: str, value: Any) -> Profile:
    tables = PARENT.model_dump(by_alias=True)
    section, _, name = path.rpartition(".")
    (tables[section] if section else tables)[name] = value
    return Profile.model_validate(tables)


@pytest.mark.parametrize(("path", "value", "at_resume", "words"), CHANGES)
def test_a_resume_does_with_a_change_what_its_field_declares(
    path: str, value: Any, at_resume: AtResume, words: str
) -> None:
    (effect,) = effects(PARENT, changed(path, value))
    assert (effect.field, effect.at_resume) == (path, at_resume)
    assert words in effect.what_happens
    assert profile_field(path).at_resume is at_resume


def test_without_a_change_there_is_no_effect_and_several_come_in_the_schemas_order() -> None:
    assert effects(PARENT, PARENT) == ()
    wanted = changed("samples.steps", 30)
    wanted = wanted.model_copy(update={"network": wanted.network.model_copy(update={"rank": 4})})
    order = [field.path for field in profile_fields()]
    found = [effect.field for effect in effects(PARENT, wanted)]
    assert found == sorted(found, key=order.index) == ["network.rank", "samples.steps"]


def test_the_table_of_routes_names_each_part_of_the_state() -> None:
    assert [part.name for part in STATE_PARTS] == [
        "LoRA weights",
        "optimizer moments",
        "schedule and LR",
        "data position, random state",
        "average of the weights",
        "step count",
        "where",
    ]
