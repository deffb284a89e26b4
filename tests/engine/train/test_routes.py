"""The routes to a child run as the engine takes them: what of the parent's state goes on, to the bit, and what is new."""

from __future__ import annotations

from typing import Any

import pytest
from safetensors.torch import load_file

from engine.checkpoint.describe import describe
from engine.profile.load import read_snapshot
from engine.profile.to_toml import profile_to_toml
from engine.routes.continuing import plan_continuation
from engine.routes.extending import Extension, plan_extension
from engine.routes.plan import ChildPlan
from engine.routes.route import Route
from engine.run.create import Inheritance, create_run
from engine.run.layout import RunDirectory
from engine.run.records import Parent
from engine.train.attempt import run_engine
from engine.train.requests import Requests
from tests.engine.train.train_runs import Lab, arithmetic, events, metrics, same_tensors, state, status, train

HARD = ("training.gradient_accumulation=2", "network.dropout=0.2", "ema.decay=0.9")
TENSORS = ("trainable.safetensors", "optimizer.safetensors", "ema.safetensors")


@pytest.fixture(scope="module")
def parent(lab: Lab) -> RunDirectory:
    """8 steps of a cosine without an interruption, saved after 4 and 8."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("engine.train.attempt.set_up_logging", lambda *_: None)
        run = lab.run(*HARD, "checkpoints.every_steps=4")
        assert train(run) == 0
    return run


def child_of(lab: Lab, plan: ChildPlan) -> RunDirectory:
    """The run of a plan, as the manager makes it."""
    folder = plan.checkpoint.folder
    inherits = (
        Inheritance(checkpoint=folder)
        if plan.route.keeps_state
        else Inheritance(weights=folder / "trainable.safetensors")
    )
    origin = Parent(plan.checkpoint.run_id, folder.name, plan.checkpoint.step, plan.route)
    return create_run(lab.root / "runs", plan.profile, source=None, parent=origin, inherits=inherits)


def extension(parent: RunDirectory, step: int, how: Extension, **options: Any) -> ChildPlan:
    return plan_extension(describe(parent.checkpoint(step)), read_snapshot(parent.profile), steps=4, how=how, **options)


def reschedule(parent: RunDirectory, **options: Any) -> ChildPlan:
    summary = describe(parent.checkpoint(4))
    return plan_continuation(summary, read_snapshot(parent.profile), route=Route.RESCHEDULE, **options)


def test_an_extended_run_trains_the_planned_steps_to_the_bit_and_then_the_added_ones(
    lab: Lab, parent: RunDirectory
) -> None:
    plan = extension(parent, 4, Extension.CONSTANT, lr=1e-3)
    child = child_of(lab, plan)
    assert train(child) == 0
    made = metrics(child)
    assert [point.step for point in made] == list(range(5, 13))
    assert arithmetic(made[:4]) == arithmetic(metrics(parent)[4:])
    assert [point.lr["unet"] for point in made[4:]] == pytest.approx([1e-3] * 4, rel=1e-12)
    for name in TENSORS:
        assert same_tensors(child.checkpoint(8), parent.checkpoint(8), name), name
    assert status(child).total_steps == 12
    assert state(child.checkpoint(12))["images_seen"] == 12 * 4
    (continued,) = events(child, "continued")
    assert (continued["parent_run"], continued["checkpoint"], continued["route"]) == (
        parent.id,
        "step-00000004",
        "extend",
    )


def test_a_finished_run_is_extended_and_the_extension_stopped_and_resumed(lab: Lab, parent: RunDirectory) -> None:
    plan = extension(parent, 8, Extension.LINEAR, lr=5e-3, end_lr=1e-3)
    straight, stopped = child_of(lab, plan), child_of(lab, plan)
    assert train(straight) == 0
    assert train(stopped, stop_at=10) == 0
    assert train(stopped) == 0
    assert arithmetic(metrics(stopped)) == arithmetic(metrics(straight))
    assert same_tensors(stopped.checkpoint(12), straight.checkpoint(12), "trainable.safetensors")
    assert [point.lr["unet"] for point in metrics(straight)] == pytest.approx([5e-3, 4e-3, 3e-3, 2e-3], rel=1e-9)


def test_a_rescheduled_run_keeps_moments_and_data_and_counts_from_0(lab: Lab, parent: RunDirectory) -> None:
    child = child_of(lab, reschedule(parent, lr=2e-3, kind="constant", steps=4))
    assert train(child, stop_at=1) == 0
    (first,) = metrics(child)
    then = metrics(parent)[4]
    # Weights, dropout, noise and pictures of the step are those that a resume would have had; only the rate is new.
    assert (first.step, first.loss, first.grad_norm) == (1, then.loss, then.grad_norm)
    assert first.lr == {"unet": 2e-3}
    assert first.epoch == then.epoch
    stored = state(child.checkpoint(1))
    moments = load_file(child.checkpoint(1) / "optimizer.safetensors")
    assert {float(value) for name, value in moments.items() if name.endswith("/step")} == {5.0}, "AdamW counts on"
    assert (stored["step"], stored["total_steps"], stored["images_seen"]) == (1, 4, 4)
    assert train(child) == 0
    straight = child_of(lab, reschedule(parent, lr=2e-3, kind="constant", steps=4))
    assert train(straight) == 0
    assert arithmetic(metrics(child)) == arithmetic(metrics(straight))
    for name in TENSORS:
        assert same_tensors(child.checkpoint(4), straight.checkpoint(4), name), name


def test_moments_make_the_difference_between_reschedule_and_continue(lab: Lab, parent: RunDirectory) -> None:
    options: dict[str, Any] = {"lr": 2e-3, "kind": "constant", "steps": 2}
    kept = child_of(lab, reschedule(parent, **options))
    new = child_of(lab, plan_continuation(describe(parent.checkpoint(4)), read_snapshot(parent.profile), **options))
    assert train(kept) == 0
    assert train(new) == 0
    assert not same_tensors(kept.checkpoint(2), new.checkpoint(2), "trainable.safetensors")


def test_a_child_whose_profile_does_not_fit_the_state_is_refused(lab: Lab, parent: RunDirectory) -> None:
    plan = reschedule(parent, lr=2e-3)
    child = child_of(lab, plan)
    edit(child, optimizer={"weight_decay": 0.5})
    assert train(child) == 2
    assert "optimizer.weight_decay was not set and is now 0.5" in events(child, "failed")[0]["message"]


def edit(run: RunDirectory, **sections: dict[str, Any]) -> None:
    """Change a run's own profile by hand."""
    profile = read_snapshot(run.profile)
    update = {name: getattr(profile, name).model_copy(update=values) for name, values in sections.items()}
    run.profile.chmod(0o600)
    run.profile.write_text(profile_to_toml(profile.model_copy(update=update)))


def by_hand(run: RunDirectory, *, keep_stored: bool) -> int:
    return run_engine(
        run.path,
        attempt=None,
        lock_fd=None,
        from_checkpoint="step-00000004",
        requests=Requests(),
        keep_stored=keep_stored,
    )


def test_the_engine_refuses_a_resume_that_would_ignore_a_changed_setting(lab: Lab, parent: RunDirectory) -> None:
    run = lab.copy(parent, "edited")
    edit(run, optimizer={"lr": 5e-3}, samples={"seed": 9})
    assert by_hand(run, keep_stored=False) == 2
    failed = events(run, "failed")[-1]
    assert "optimizer.lr was 0.01 and is now 0.005: a resume would ignore that" in failed["message"]
    assert "--keep-stored" in failed["hint"]
    assert by_hand(run, keep_stored=True) == 0
    assert arithmetic(metrics(run, attempt=3)) == arithmetic(metrics(parent)[4:])
    warned = [event["message"] for event in events(run, "warning", attempt=3)]
    assert "optimizer.lr = 0.005 is not applied: the checkpoint's 0.01 goes on" in warned
    trained = state(run.checkpoint(8))["profile"]
    assert (trained["optimizer"]["lr"], trained["samples"]["seed"]) == (0.01, 9)


def test_an_attempt_trains_its_own_profile_and_the_next_one_goes_on_with_it(lab: Lab, parent: RunDirectory) -> None:
    run = lab.run(*HARD)
    assert train(run, stop_at=2) == 0
    second = run.attempt(2).profile
    second.parent.mkdir()
    text = profile_to_toml(read_snapshot(run.profile))
    second.write_text(text.replace("every_steps = 0", "every_steps = 3", 1))
    assert run.profile_of(1) == run.profile
    assert run.profile_of(2) == run.profile_of(7) == run.latest_profile == second
