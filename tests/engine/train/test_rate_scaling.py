"""Scaling the LR of a live run: from the next step on, recorded everywhere, kept by a resume; bad factors are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.checkpoint.describe import describe
from engine.run.commands import send_command
from engine.run.layout import RunDirectory
from engine.schedule import Kind, Schedule
from tests.engine.train.train_runs import Lab, arithmetic, events, metrics, same_tensors, state, train

SETTINGS = ("training.steps=6", "schedule.kind=linear", "schedule.warmup_steps=0", "optimizer.lr=1e-3")


def after_step(monkeypatch: pytest.MonkeyPatch, step: int, act: Any) -> None:
    """Do something once ``step`` steps are done, before the engine looks for commands."""
    from engine.train import loop  # noqa: PLC0415

    made = loop.optimizer_step

    def step_then_act(training: Any, *arguments: Any) -> Any:
        result = made(training, *arguments)
        if result.step == step:
            act()
        return result

    monkeypatch.setattr(loop, "optimizer_step", step_then_act)


def planned(step: int, base_lr: float) -> float:
    return Schedule(Kind.LINEAR, 6).lr(step, base_lr)


def test_the_next_step_and_all_later_ones_use_the_scaled_rate(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.run(*SETTINGS, "checkpoints.every_steps=2")
    with monkeypatch.context() as patch:
        after_step(patch, 2, lambda: send_command(run, "scale_lr", factor=0.5))
        assert train(run, stop_at=4) == 0
    used = [point.lr["unet"] for point in metrics(run)]
    assert used == [planned(step, base) for step, base in enumerate((1e-3, 1e-3, 5e-4, 5e-4))]
    (event,) = events(run, "lr_scaled")
    assert (event["step"], event["factor"], event["base_lr"]) == (2, 0.5, {"unet": 5e-4})
    (answer,) = events(run, "command")
    assert (answer["command"], answer["ok"]) == ("scale_lr", True)
    assert answer["message"] == "from step 3 on the base LR is unet 0.0005"
    assert list(run.commands.iterdir()) == []
    before, after = describe(run.checkpoint(2)), describe(run.checkpoint(4))
    assert (before.groups[0].base_lr, after.groups[0].base_lr) == (1e-3, 5e-4)
    assert after.next_lrs(1) == {"unet": (planned(4, 5e-4),)}
    # A resume goes on with it, a resume from before it without it.
    straight = lab.copy(run, f"{run.id}-before")
    assert train(run) == 0
    assert [point.lr["unet"] for point in metrics(run, attempt=2)] == [planned(4, 5e-4), planned(5, 5e-4)]
    assert train(straight, checkpoint="step-00000002", stop_at=3) == 0
    assert metrics(straight, attempt=2)[0].lr["unet"] == planned(2, 1e-3)


def test_a_scaled_run_resumes_to_the_bit(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = lab.run(*SETTINGS, "checkpoints.every_steps=3")
    with monkeypatch.context() as patch:
        after_step(patch, 1, lambda: send_command(straight, "scale_lr", factor=3))
        assert train(straight) == 0
    again = lab.copy(straight, f"{straight.id}-again")
    assert train(again, checkpoint="step-00000003") == 0
    assert arithmetic(metrics(again, attempt=2)) == arithmetic(metrics(straight)[3:])
    assert same_tensors(again.checkpoint(6), straight.checkpoint(6), "trainable.safetensors")
    assert state(again.checkpoint(6))["optimizer"] == state(straight.checkpoint(6))["optimizer"]


def test_factors_that_make_no_rate_are_refused_and_change_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.run(*SETTINGS, "training.steps=2")

    def ask() -> None:
        for factor in (0, -1, "2", True, None, 1e6, 1e-323):
            send_command(run, "scale_lr", factor=factor)
        _write(run, '{"id": "9-scale_lr", "command": "scale_lr", "arguments": {"factor": NaN}}')

    after_step(monkeypatch, 1, ask)
    assert train(run) == 0
    answers = events(run, "command")
    assert len(answers) == 8
    assert not any(answer["ok"] for answer in answers)
    messages = {answer["message"] for answer in answers}
    assert "factor must be a number above 0" in messages
    assert "the base LR of unet would be 1e+03, not above 0 and at most 10" in messages
    assert "the base LR of unet would be 0, not above 0 and at most 10" in messages
    assert events(run, "lr_scaled") == []
    assert metrics(run)[1].lr["unet"] == Schedule(Kind.LINEAR, 2).lr(1, 1e-3)


def _write(run: RunDirectory, text: str) -> None:
    (run.commands / "9-scale_lr.json").write_text(text)


def test_after_the_last_step_there_is_nothing_to_scale_and_that_is_answered(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the answer would say that a rate was changed which no checkpoint has."""
    run = lab.run(*SETTINGS, "training.steps=2")
    after_step(monkeypatch, 2, lambda: send_command(run, "scale_lr", factor=0.5))
    assert train(run) == 0
    (answer,) = events(run, "command")
    assert answer["ok"] is False
    assert state(run.checkpoint(2))["optimizer"]["groups"][0]["base_lr"] == 1e-3
    assert json.dumps(events(run, "lr_scaled")) == "[]"


def test_an_adaptive_optimizer_is_scaled_too(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.run(*SETTINGS, "training.steps=3", "optimizer.kind=prodigy", "optimizer.lr=1.0")
    after_step(monkeypatch, 1, lambda: send_command(run, "scale_lr", factor=0.5))
    assert train(run) == 0
    (group,) = state(run.checkpoint(3))["optimizer"]["groups"]
    assert group["base_lr"] == 0.5
    last = metrics(run)[-1]
    assert last.d is not None
    assert last.lr["unet"] == last.d * Schedule(Kind.LINEAR, 3).lr(2, 0.5)
