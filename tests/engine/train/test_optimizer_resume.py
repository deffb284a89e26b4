"""Runs of the engine with every optimizer: stopped inside an epoch and resumed, they give the bits of one that ran through."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from engine.profile.optimizer_kinds import OPTIMIZERS, OptimizerKind
from engine.run.layout import RunDirectory
from tests.engine.train.train_runs import Lab, arithmetic, metrics, same_tensors, state, train

SMALL = ("training.steps=3", "training.gradient_accumulation=2", "network.dropout=0.2", "schedule.warmup_steps=1")


def run_of(lab: Lab, kind: OptimizerKind, *more: str) -> RunDirectory:
    settings = [f"optimizer.kind={kind.value}", f"optimizer.lr={1.0 if OPTIMIZERS[kind].adaptive else 1e-3}"]
    if kind is OptimizerKind.SCHEDULE_FREE_ADAMW:
        settings.append("schedule.kind=constant")
    return lab.run(*SMALL, *settings, *more)


@pytest.mark.parametrize("kind", list(OptimizerKind))
def test_stopped_and_resumed_equals_straight(lab: Lab, kind: OptimizerKind) -> None:
    straight = run_of(lab, kind, "checkpoints.every_steps=2")
    assert train(straight) == 0
    assert len(metrics(straight)) == 3
    resumed = lab.copy(straight, f"{straight.id}-again")
    assert train(resumed, checkpoint="step-00000002") == 0
    assert arithmetic(metrics(resumed, attempt=2)) == arithmetic(metrics(straight)[2:])
    assert metrics(straight)[2].d == metrics(resumed, attempt=2)[0].d
    for name in ("trainable.safetensors", "optimizer.safetensors", "lora.safetensors"):
        assert same_tensors(resumed.checkpoint(3), straight.checkpoint(3), name), name
    stored, again = state(straight.checkpoint(3))["optimizer"], state(resumed.checkpoint(3))["optimizer"]
    assert stored == again
    (group,) = stored["groups"]
    if OPTIMIZERS[kind].adaptive:
        points = metrics(straight)
        assert points[-1].d is not None
        assert group["effective_lr"] == points[-1].lr["unet"] == group["lr"] * points[-1].d
        assert points[0].lr["unet"] == 0.0, "the warmup begins at 0"
    else:
        assert "d" not in group
        assert metrics(straight)[-1].lr["unet"] == group["lr"]


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
