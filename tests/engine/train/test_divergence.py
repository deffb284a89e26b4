"""A step that is not finite is dropped where the profile says so: weights, optimizer and average stay, all else moves on."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.train.objective.loss import Objective
from tests.engine.train.train_runs import Lab, arithmetic, events, metrics, same_tensors, state, train

SKIP = ("training.on_nonfinite=skip", "ema.decay=0.5", "schedule.warmup_steps=0", "checkpoints.every_steps=1")


@pytest.fixture
def diverge(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``diverge({3})``: the loss of the third draw is NaN. Draws are told apart by their noise, so a resume meets the same."""
    compute_loss, compute_draw = Objective.loss, Objective.draw

    def at(draws: Collection[int], bad_noise: dict[int, float]) -> None:
        calls = 0

        def draw(self: Objective, *arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            drawn = compute_draw(self, *arguments)
            if calls in draws and calls not in bad_noise:
                bad_noise[calls] = drawn.noise.flatten()[0].item()
            return drawn

        def loss(self: Objective, unet: Any, batch: Any, drawn: Any, **how: Any) -> torch.Tensor:
            found = compute_loss(self, unet, batch, drawn, **how)
            return found * float("nan") if drawn.noise.flatten()[0].item() in bad_noise.values() else found

        monkeypatch.setattr(Objective, "draw", draw)
        monkeypatch.setattr(Objective, "loss", loss)

    return at


def test_a_dropped_step_changes_nothing_and_the_run_goes_on(lab: Lab, diverge: Any) -> None:
    diverge({3}, {})
    run = lab.run(*SKIP, "training.steps=5")
    assert train(run) == 0
    two, three, four = (run.checkpoint(step) for step in (2, 3, 4))
    for name in ("trainable.safetensors", "optimizer.safetensors", "ema.safetensors"):
        assert same_tensors(two, three, name), name
        assert not same_tensors(three, four, name), name
    assert state(three)["ema"]["updates"] == 2
    assert state(three)["dropped"] == {"steps": 1, "in_a_row": 1}
    assert state(four)["dropped"] == {"steps": 1, "in_a_row": 0}
    assert (
        state(two)["data"]["position"] != state(three)["data"]["position"]
        or state(two)["data"]["epoch"] != state(three)["data"]["epoch"]
    )
    assert state(two)["rng"]["noise"] != state(three)["rng"]["noise"]
    (event,) = events(run, "nonfinite")
    assert (event["step"], event["what"], event["dropped"]) == (3, "loss", True)
    points = metrics(run)
    assert [point.loss is None for point in points] == [False, False, True, False, False]
    assert points[2].loss_avg == points[1].loss_avg
    assert points[3].lr["unet"] < points[2].lr["unet"], "the schedule moves on"


def test_no_good_checkpoint_gives_way_to_those_of_a_row_of_dropped_steps(lab: Lab, diverge: Any) -> None:
    diverge({4, 5, 6}, {})
    run = lab.run(*SKIP, "training.steps=6", "checkpoints.keep_last=2")
    assert train(run) == 0
    assert [folder.name for folder in run.checkpoint_folders()] == [f"step-{step:08d}" for step in (2, 3, 4, 5, 6)]
    again = lab.run(*SKIP, "training.steps=8", "checkpoints.keep_last=2")
    diverge({4, 5}, {})
    assert train(again) == 0
    assert [folder.name for folder in again.checkpoint_folders()] == ["step-00000007", "step-00000008"]


def test_a_resume_meets_the_same_dropped_steps(lab: Lab, diverge: Any) -> None:
    bad: dict[int, float] = {}
    diverge({3, 4}, bad)
    straight = lab.run(*SKIP, "training.steps=6")
    assert train(straight) == 0
    resumed = lab.copy(straight, "resumed-between-dropped")
    assert train(resumed, checkpoint="step-00000003") == 0
    assert arithmetic(metrics(resumed, attempt=2)) == arithmetic(metrics(straight)[3:])
    for name in ("trainable.safetensors", "optimizer.safetensors", "ema.safetensors"):
        assert same_tensors(straight.checkpoint(6), resumed.checkpoint(6), name)
    assert state(resumed.checkpoint(4))["dropped"] == {"steps": 2, "in_a_row": 2}


def test_too_many_in_a_row_end_the_run_also_across_a_resume(lab: Lab, diverge: Any) -> None:
    diverge({3, 4, 5}, {})
    run = lab.run(*SKIP, "training.nonfinite_limit=3")
    assert train(run, stop_at=4) == 0
    assert train(run) == 2
    (failed,) = events(run, "failed")
    assert "3 steps in a row, the last one 5" in failed["message"]
    assert "training.nonfinite_limit" in failed["hint"]
    assert run.checkpoint_folders()[-1] == run.checkpoint(4)
    assert all(tensor.isfinite().all() for tensor in load_file(run.checkpoint(4) / "trainable.safetensors").values())


def test_without_a_bad_step_skipping_changes_nothing(lab: Lab) -> None:
    plain, skipping = lab.run("training.steps=3"), lab.run("training.steps=3", "training.on_nonfinite=skip")
    assert train(plain) == 0
    assert train(skipping) == 0
    assert arithmetic(metrics(plain)) == arithmetic(metrics(skipping))
