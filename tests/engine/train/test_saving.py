"""Saving beside the training: the loop goes on, what is saved is the moment it was asked for, errors are told."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.checkpoint.manifest import verify
from engine.checkpoint.pins import pin
from engine.checkpoint.save import CheckpointContent, SavedCheckpoint, SaveError, save_checkpoint
from engine.run.commands import send_command
from engine.run.layout import RunDirectory
from engine.train import saver
from engine.train.loop import optimizer_step
from engine.train.meter import StepResult
from engine.train.training import Training
from tests.engine.train.train_runs import Lab, arithmetic, events, metrics, same_tensors, state, status, train

QUICK = ("training.steps=6", "schedule.warmup_steps=0")


def after_steps(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], object]) -> None:
    """Do ``act`` with the number of steps done after each of them, before anything else is looked at."""

    def stepped(training: Training) -> StepResult:
        result = optimizer_step(training)
        act(result.step)
        return result

    monkeypatch.setattr("engine.train.loop.optimizer_step", stepped)


class SlowDisk:
    """Saves begin when they are asked for and go on once ``opens`` is set; ``began`` holds the steps in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opens = threading.Event()
        self.began: list[int] = []
        monkeypatch.setattr(saver, "save_checkpoint", self.save)

    def save(self, folder: Path, content: CheckpointContent, **options: Any) -> SavedCheckpoint:
        """As the engine does, later."""
        self.began.append(content.step)
        assert self.opens.wait(30)
        return save_checkpoint(folder, content, **options)


def happened(run: RunDirectory, *kinds: str) -> list[tuple[str, Any]]:
    return [(event["event"], event.get("checkpoint", event.get("ok"))) for event in events(run, *kinds)]


HARD = ("ema.decay=0.9", "network.dropout=0.2", "training.gradient_accumulation=2")


@pytest.mark.parametrize(
    "how", [HARD, ("optimizer.kind=schedule_free_adamw", "schedule.kind=constant")], ids=["ema", "sf"]
)
def test_what_is_saved_is_the_moment_not_what_training_made_of_it(
    lab: Lab, how: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped, beside = (lab.run(*QUICK, *how, *more) for more in ((), ("checkpoints.every_steps=2",)))
    assert train(stopped, stop_at=2) == 0
    disk = SlowDisk(monkeypatch)
    # The save of step 2 is held until the next is due: it is written from a state that is two steps old by then.
    after_steps(monkeypatch, lambda step: disk.opens.set() if step == 4 else None)
    assert train(beside) == 0
    assert disk.began == [2, 4, 6]
    one, other = stopped.checkpoint(2), beside.checkpoint(2)
    verify(other, digests=True)
    for name in {file.name for file in one.glob("*.safetensors")}:
        assert same_tensors(one, other, name), name
    for part in ("step", "epoch", "images_seen", "loss_avg", "optimizer", "data", "average", "ema", "rng"):
        assert state(one)[part] == state(other)[part], part
    assert train(stopped) == 0
    assert arithmetic(metrics(stopped)) == arithmetic(metrics(beside))


def test_training_goes_on_while_a_checkpoint_is_written(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.run(*QUICK)
    disk = SlowDisk(monkeypatch)
    seen: list[tuple[int, str, bool]] = []

    def act(step: int) -> None:
        if step == 1:
            send_command(run, "save")
        if step == 5:
            disk.opens.set()
        seen.append((step, status(run).state, run.checkpoint(1).exists()))

    after_steps(monkeypatch, act)
    assert train(run) == 0
    assert disk.began == [1, 6]
    assert [step for step, *_ in seen] == [1, 2, 3, 4, 5, 6]
    assert all(said == "training" for _, said, _ in seen)
    assert not any(visible for step, _, visible in seen if step < 5)
    assert [(event["step"], event["reason"]) for event in events(run, "saved")] == [(1, "command"), (6, "finish")]


def test_a_request_is_answered_when_it_is_on_the_disk(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.run(*QUICK)
    disk = SlowDisk(monkeypatch)
    waiting: list[int] = []

    def act(step: int) -> None:
        if step in (1, 3):
            send_command(run, "save")
        if step == 4:
            disk.opens.set()
        waiting.append(len(list(run.commands.iterdir())))

    after_steps(monkeypatch, act)
    assert train(run, stop_at=6) == 0
    assert waiting[:4] == [1, 1, 2, 2], "the first is being written, the second waits for it"
    assert happened(run, "saved", "command")[:2] == [("saved", "step-00000001"), ("command", True)]
    assert len(events(run, "command")) == 2
    assert disk.began[0] == 1 and disk.began[1] in (4, 5, 6)


def test_a_step_of_the_interval_is_never_left_out(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.run(*QUICK, "checkpoints.every_steps=1")
    disk = SlowDisk(monkeypatch)
    after_steps(monkeypatch, lambda step: threading.Timer(0.2, disk.opens.set).start() if step == 2 else None)
    assert train(run) == 0
    assert [event["step"] for event in events(run, "saved")] == [1, 2, 3, 4, 5, 6]


def test_a_refused_save_ends_the_run_where_the_profile_says_so(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.run(*QUICK, "checkpoints.every_steps=2", 'checkpoints.on_save_error="stop"')

    def refuse(folder: Path, content: CheckpointContent, **options: Any) -> SavedCheckpoint:
        if content.step == 4:
            raise SaveError("the disk is full (No space left on device)")
        return save_checkpoint(folder, content, **options)

    monkeypatch.setattr(saver, "save_checkpoint", refuse)
    assert train(run) == 2
    assert [event["step"] for event in events(run, "save_failed")] == [4]
    (failed,) = events(run, "failed")
    assert "on_save_error = stop: the disk is full" in failed["message"] and "Free some space" in failed["hint"]
    assert run.checkpoint_folders() == [run.checkpoint(2)]
    monkeypatch.undo()
    monkeypatch.setattr("engine.train.attempt.set_up_logging", lambda *_: None)
    assert train(run) == 0
    assert events(run, "resumed")[0]["checkpoint"] == "step-00000002"


def test_a_defect_while_writing_is_one_of_the_run(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.run(*QUICK, "checkpoints.every_steps=2")

    def break_down(*_: Any, **__: Any) -> SavedCheckpoint:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(saver, "save_checkpoint", break_down)
    assert train(run) == 1
    assert events(run, "failed")[0]["error"] == "ZeroDivisionError"


def test_a_failing_training_finishes_the_save_that_is_under_way(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.run(*QUICK, "checkpoints.every_steps=2")
    disk = SlowDisk(monkeypatch)

    def act(step: int) -> None:
        if step == 3:
            threading.Timer(0.2, disk.opens.set).start()
            raise MemoryError

    after_steps(monkeypatch, act)
    assert train(run) == 2
    verify(run.checkpoint(2), digests=True)
    assert [kind for kind, _ in happened(run, "saved", "failed")] == ["saved", "failed"]


def test_a_pinned_checkpoint_is_not_replaced_when_its_step_is_reached_again(lab: Lab) -> None:
    run = lab.run(*QUICK, "checkpoints.every_steps=2")
    assert train(run) == 0
    pin(run, "step-00000004")
    before = state(run.checkpoint(4))
    assert train(run, checkpoint="step-00000002", stop_at=5) == 0
    aside = run.checkpoints / "replaced-step-00000004-002"
    verify(aside, digests=True)
    assert state(aside) == before and state(run.checkpoint(4))["attempt"] == 2
    (warning,) = events(run, "warning")
    assert "the earlier one is kept as replaced-step-00000004-002" in warning["message"]


def test_a_disk_that_is_really_full(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """/dev/full refuses every byte: the files of step 4 lead there."""
    run = lab.run(*QUICK, "checkpoints.every_steps=2")
    opened = os.open

    def divert(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        full = ".tmp-4-" in str(path) and flags & os.O_CREAT
        return opened("/dev/full", os.O_WRONLY) if full else opened(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", divert)
    monkeypatch.setattr(saver, "RETRY_SECONDS", 0.0)
    assert train(run) == 0
    (failed,) = events(run, "save_failed")
    assert failed["step"] == 4
    assert os.strerror(errno.ENOSPC) in failed["message"]
    assert run.checkpoint_folders()[0] == run.checkpoint(2)
    verify(run.checkpoint(2), digests=True)
    verify(run.checkpoint(6), digests=True)
    assert [entry for entry in run.checkpoints.iterdir() if entry.name.startswith(".")] == []
