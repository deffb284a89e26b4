"""Every optimizer with all that is random: stopped, killed and resumed it gives the bits of a run that went through."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from engine.profile.optimizer_kinds import OPTIMIZERS, OptimizerKind
from engine.run.layout import RunDirectory
from engine.train.loop import optimizer_step
from engine.train.meter import StepResult
from engine.train.training import Training
from tests.engine.train.train_runs import (
    EVERYTHING_RANDOM,
    Lab,
    arithmetic,
    events,
    metrics,
    same_tensors,
    state,
    train,
)

# 3 batches an epoch and 2 a step: step 2 takes one from each side of an epoch's end and leaves off inside the second.
SMALL = ("training.steps=3", "training.gradient_accumulation=2", "schedule.warmup_steps=1")
FILES = ("trainable.safetensors", "optimizer.safetensors", "lora.safetensors")


def run_of(lab: Lab, kind: OptimizerKind, *more: str) -> RunDirectory:
    settings = [f"optimizer.kind={kind.value}", f"optimizer.lr={1.0 if OPTIMIZERS[kind].adaptive else 1e-3}"]
    if kind is OptimizerKind.SCHEDULE_FREE_ADAMW:
        settings.append("schedule.kind=constant")
    return lab.run(*SMALL, *settings, *more)


class Killed(BaseException):
    """Nothing in the engine stops it: what was not saved is lost, as with kill -9."""


def train_and_die(run: RunDirectory, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def stepped(training: Training) -> StepResult:
        result = optimizer_step(training)
        if result.step == after:
            raise Killed
        return result

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr("engine.train.loop.optimizer_step", stepped)
        train(run)


@pytest.mark.parametrize("kind", list(OptimizerKind))
def test_stopped_killed_and_resumed_equals_straight(
    lab: Lab, kind: OptimizerKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    averaged = () if kind is OptimizerKind.SCHEDULE_FREE_ADAMW else ("ema.decay=0.9",)  # it has an average of its own
    straight, broken = (run_of(lab, kind, *EVERYTHING_RANDOM, *averaged) for _ in range(2))
    assert train(straight) == 0
    assert train(broken, stop_at=2) == 0
    assert state(broken.checkpoint(2))["data"]["position"] == 1 and state(broken.checkpoint(2))["epoch"] == 2
    train_and_die(broken, 3, monkeypatch)
    assert train(broken) == 0
    assert [event["step"] for event in events(broken, "resumed")] == [2, 2]
    points = metrics(straight)
    assert arithmetic(metrics(broken, attempt=1)) == arithmetic(points[:2])
    assert metrics(broken, attempt=2) == [], "it died before its step was measured"
    assert arithmetic(metrics(broken, attempt=3)) == arithmetic(points[2:])
    assert [point.d for point in metrics(broken, attempt=3)] == [point.d for point in points[2:]]
    one, other = straight.checkpoint(3), broken.checkpoint(3)
    for name in (*FILES, *(("ema.safetensors",) if averaged else ())):
        assert same_tensors(one, other, name), name
    for part in ("optimizer", "data", "rng", "ema", "average"):
        assert state(one)[part] == state(other)[part], part
    assert_rates_are_told(straight, kind)


def assert_rates_are_told(run: RunDirectory, kind: OptimizerKind) -> None:
    """The LR of metrics and state is the one that was used, with an adaptive optimizer's factor in it."""
    (group,) = state(run.checkpoint(3))["optimizer"]["groups"]
    points = metrics(run)
    if OPTIMIZERS[kind].adaptive:
        assert points[-1].d is not None
        assert group["effective_lr"] == points[-1].lr["unet"] == group["lr"] * points[-1].d
        assert points[0].lr["unet"] == 0.0, "the warmup begins at 0"
    else:
        assert "d" not in group
        assert points[-1].lr["unet"] == group["lr"]


def test_of_schedule_free_the_average_is_handed_out_and_the_trained_weights_are_kept(lab: Lab) -> None:
    """The trained weights y lie between the average x and the sequence z: x = y + (z − y)(1 − 1/β₁)."""
    run = run_of(lab, OptimizerKind.SCHEDULE_FREE_ADAMW)
    assert train(run) == 0
    checkpoint = run.checkpoint(3)
    trained, kept = load_file(checkpoint / "trainable.safetensors"), load_file(checkpoint / "optimizer.safetensors")
    handed_out = load_file(checkpoint / "lora.safetensors")
    averages = {name: y + (kept[f"{name}/z"] - y) * (1 - 1 / 0.9) for name, y in trained.items()}
    by_size = sorted(float(tensor.double().norm()) for tensor in averages.values())
    files = sorted(float(tensor.double().norm()) for name, tensor in handed_out.items() if not name.endswith("alpha"))
    assert files == pytest.approx(by_size, rel=1e-4)
    differ = [not torch.allclose(averages[name], trained[name], rtol=1e-4, atol=1e-7) for name in trained]
    assert all(differ)
