"""A stopped and resumed training gives the very bits of one that ran straight through; every part of the state is needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.data.order import BatchOrder
from engine.model.adapter import Adapter
from engine.run.layout import RunDirectory
from engine.train import rng
from engine.train.average import LossAverage
from engine.train.optimizer import NamedOptimizer
from tests.engine.train.train_runs import Lab, arithmetic, events, metrics, same_tensors, state, status, train

# 6 pictures in batches of 2 are 3 batches an epoch; 2 of them a step: step 3 ends with epoch 2, step 4 in the middle of epoch 3.
HARD = ("training.gradient_accumulation=2", "network.dropout=0.2")
TENSORS = ("trainable.safetensors", "optimizer.safetensors", "lora.safetensors")
PARTS_OF_STATE = ("step", "epoch", "images_seen", "loss", "loss_avg", "schedule", "optimizer", "data", "average", "rng")


@pytest.fixture(scope="module")
def straight(lab: Lab, module_patch: None) -> RunDirectory:
    """8 steps without an interruption, no samples."""
    run = lab.run(*HARD, "checkpoints.every_steps=4")
    assert train(run) == 0
    return run


@pytest.fixture(scope="module")
def module_patch() -> Any:
    """Keep the streams for runs that a module's tests share."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("engine.train.attempt.set_up_logging", lambda *_: None)
        yield


def assert_same_checkpoint(one: Path, other: Path) -> None:
    for name in TENSORS:
        assert same_tensors(one, other, name), name
    for part in PARTS_OF_STATE:
        assert state(one)[part] == state(other)[part], part


@pytest.mark.parametrize("stop_at", [3, 4], ids=["at an epoch's end", "inside an epoch"])
def test_stopped_and_resumed_equals_straight(lab: Lab, straight: RunDirectory, stop_at: int) -> None:
    samples = ('samples.prompts=["a red zorb"]', "samples.every_steps=2")
    run = lab.run(*HARD, *samples)
    assert train(run, stop_at=stop_at) == 0
    assert [point.step for point in metrics(run)] == list(range(1, stop_at + 1))
    assert train(run) == 0
    assert arithmetic(metrics(run)) == arithmetic(metrics(straight))
    assert_same_checkpoint(run.checkpoint(8), straight.checkpoint(8))
    # A stop forgoes the samples of its step.
    assert [event["step"] for event in events(run, "sampled")] == [step for step in (2, 4, 6, 8) if step != stop_at]
    assert events(run, "resumed")[0]["checkpoint"] == f"step-{stop_at:08d}"
    assert status(run).state == "finished"


def test_resuming_from_an_older_checkpoint_trains_the_same_steps_again(lab: Lab, straight: RunDirectory) -> None:
    run = lab.copy(straight, "again")
    assert train(run, checkpoint="step-00000004") == 0
    assert arithmetic(metrics(run, attempt=2)) == arithmetic(metrics(straight)[4:])
    assert_same_checkpoint(run.checkpoint(8), straight.checkpoint(8))
    assert state(run.checkpoint(8))["attempt"] == 2


def skip_tensors(restore: Callable[..., None]) -> Callable[..., None]:
    """An optimizer's restore that forgets the moments."""
    return lambda self, described, tensors: restore(self, described, {})


DROPPED: dict[str, tuple[Any, str, Callable[[Any], Any]]] = {
    "rng": (rng, "restore", lambda _: lambda *_: []),
    "rng of dropout": (torch, "set_rng_state", lambda _: lambda *_: None),
    "optimizer": (NamedOptimizer, "restore", skip_tensors),
    "order": (BatchOrder, "load_state_dict", lambda _: lambda *_: None),
    "weights": (Adapter, "load_state_dict", lambda _: lambda *_: None),
    "average": (LossAverage, "load_state_dict", lambda _: lambda *_: None),
}


@pytest.mark.parametrize("part", DROPPED)
def test_without_any_one_part_of_the_state_the_result_differs(
    lab: Lab, straight: RunDirectory, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, name, without = DROPPED[part]
    monkeypatch.setattr(where, name, without(getattr(where, name)))
    run = lab.copy(straight, f"without-{part.replace(' ', '-')}")
    assert train(run, checkpoint="step-00000004", stop_at=6, save=False) == 0
    assert arithmetic(metrics(run, attempt=2)) != arithmetic(metrics(straight)[4:6])


def test_a_stop_right_after_a_resume_saves_nothing_and_loses_nothing(lab: Lab, straight: RunDirectory) -> None:
    run = lab.copy(straight, "stopped-at-once")
    before = state(run.checkpoint(4))
    assert train(run, checkpoint="step-00000004", stop_at=4) == 0
    assert state(run.checkpoint(4)) == before
    assert events(run, "stopped", attempt=2)[0]["step"] == 4
    assert not events(run, "saved", attempt=2)


DRAWS = (
    "loss.multires_iterations=3",
    "loss.input_perturbation=0.1",
    "loss.input_perturbation_random=true",
    "loss.timestep_distribution=logit_normal",
    "loss.min_snr_gamma=5",
    "loss.kind=huber",
)
OFFSET = ("loss.noise_offset=0.1", "loss.noise_offset_random=true", "loss.adaptive_noise_scale=0.1")


@pytest.mark.parametrize("drawn", [DRAWS, OFFSET], ids=["multires", "offset"])
def test_every_way_to_draw_noise_is_resumed_exactly(lab: Lab, drawn: tuple[str, ...]) -> None:
    once, twice = lab.run(*drawn, "training.steps=4"), lab.run(*drawn, "training.steps=4")
    assert train(once) == 0
    assert train(twice, stop_at=2) == 0
    assert train(twice) == 0
    assert arithmetic(metrics(once)) == arithmetic(metrics(twice))
    assert_same_checkpoint(once.checkpoint(4), twice.checkpoint(4))
