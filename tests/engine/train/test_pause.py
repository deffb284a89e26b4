"""A paused run waits, hears stop and save, and goes on to the bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from engine.run.commands import send_command
from engine.run.layout import RunDirectory
from engine.run.liveness import RunState, assess
from engine.train import pause
from engine.train.loop import optimizer_step
from engine.train.meter import StepResult
from engine.train.training import Training
from tests.engine.train.train_runs import Lab, arithmetic, events, metrics, same_tensors, state, status, train


def pausing(
    monkeypatch: pytest.MonkeyPatch, run: RunDirectory, at: int, looks: list[Callable[[], object]]
) -> list[str]:
    """Pause after step ``at``; each look of the waiting engine does the next of ``looks``. Returns the states it sees."""
    seen: list[str] = []

    def stepped(training: Training) -> StepResult:
        result = optimizer_step(training)
        if result.step == at and not seen:
            send_command(run, "pause")
        return result

    def sleep(_: float) -> None:
        seen.append(status(run).state)
        looks[min(len(seen), len(looks)) - 1]()

    monkeypatch.setattr("engine.train.loop.optimizer_step", stepped)
    monkeypatch.setattr(pause.wait_while_paused, "__kwdefaults__", {"sleep": sleep})
    return seen


def test_a_paused_run_goes_on_to_the_bit(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    how = ("network.dropout=0.2", "training.steps=4", "ema.decay=0.9")
    straight, paused = lab.run(*how), lab.run(*how)
    assert train(straight) == 0
    states: list[RunState] = []
    seen = pausing(
        monkeypatch,
        paused,
        2,
        [lambda: states.append(assess(paused).state), lambda: None, lambda: send_command(paused, "unpause")],
    )
    assert train(paused) == 0
    assert seen == ["paused"] * 3
    assert states == [RunState.PAUSED]
    assert arithmetic(metrics(paused)) == arithmetic(metrics(straight))
    for name in ("trainable.safetensors", "optimizer.safetensors", "ema.safetensors"):
        assert same_tensors(paused.checkpoint(4), straight.checkpoint(4), name)
    assert state(paused.checkpoint(4))["rng"] == state(straight.checkpoint(4))["rng"]
    assert [event["event"] for event in events(paused, "paused", "unpaused")] == ["paused", "unpaused"]
    assert [(event["step"], event["reason"]) for event in events(paused, "saved")] == [(2, "pause"), (4, "finish")]
    assert status(paused).state == "finished"


def test_a_paused_run_saves_and_stops_when_asked(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.run()
    seen = pausing(
        monkeypatch,
        run,
        1,
        [
            lambda: send_command(run, "save"),
            lambda: send_command(run, "pause"),
            lambda: send_command(run, "stop"),
        ],
    )
    assert train(run) == 0
    assert seen == ["paused"] * 3
    assert events(run, "stopped")[0]["step"] == 1
    answers = [(event["command"], event["ok"], event["message"]) for event in events(run, "command")]
    assert answers == [
        ("pause", True, "pausing"),
        ("save", True, "saved"),
        ("pause", False, "it is paused already"),
        ("stop", True, "stopping"),
    ]
    assert train(run, stop_at=3) == 0
    assert [point.step for point in metrics(run, attempt=2)] == [2, 3]


def test_unpause_without_a_pause_is_answered(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.run()

    def stepped(training: Training) -> StepResult:
        result = optimizer_step(training)
        send_command(run, "unpause")
        return result

    monkeypatch.setattr("engine.train.loop.optimizer_step", stepped)
    assert train(run, stop_at=1) == 0
    assert {(event["ok"], event["message"]) for event in events(run, "command")} == {(False, "it is not paused")}


def test_a_run_waits_while_something_else_fills_the_card(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run, tries = lab.run(), []

    def full(training: Any, *, begins: bool) -> None:
        tries.append(begins)
        if tries == [True, False]:
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(pause, "move_for_pause", full)
    messages: list[str] = []
    pausing(
        monkeypatch,
        run,
        1,
        [lambda: send_command(run, "unpause"), lambda: messages.append(status(run).message)],
    )
    assert train(run, stop_at=2) == 0
    assert tries == [True, False, True, False], "to the host, not to the card, to the host again, and to the card"
    assert events(run, "unpaused")
    assert events(run, "stopped")[0]["step"] == 2
    assert status(run).message == ""


def test_everything_of_a_training_moves_and_its_parameters_stay_the_same_objects(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = lab.run("ema.decay=0.9")
    looked = []

    def stepped(training: Training) -> StepResult:
        result = optimizer_step(training)
        if result.step == 2:
            before = [id(parameter) for parameter in training.optimizer.parameters]
            values = training.adapter.state_dict()
            kept = {name: value.clone() for name, value in values.items()}
            pause.move(training, torch.device("cpu"))
            assert [id(parameter) for parameter in training.optimizer.parameters] == before
            assert all(torch.equal(kept[name], value) for name, value in training.adapter.state_dict().items())
            pause.move(training, torch.device("meta"))
            tensors = [*training.unet.parameters(), *training.unet.buffers()]
            tensors += [
                t for s in training.optimizer.inner.state.values() for t in s.values() if isinstance(t, torch.Tensor)
            ]
            assert training.ema is not None
            tensors += training.ema.tensors().values()
            assert {tensor.device.type for tensor in tensors} == {"meta"}
            looked.append(len(tensors))
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr("engine.train.loop.optimizer_step", stepped)
    with pytest.raises(KeyboardInterrupt):
        train(run)
    assert looked
