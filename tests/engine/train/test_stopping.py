"""The engine ends when it is asked to, by signal or command, at any moment, and saves what it has."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.checkpoint.manifest import verify
from engine.checkpoint.save import save_checkpoint
from engine.model.sampling import draw_samples
from engine.run.commands import send_command
from engine.run.layout import RunDirectory
from engine.run.records import ExitRecord, ProcessRecord
from engine.train import sampler, saver
from engine.train.attempt import run_engine
from engine.train.loop import optimizer_step
from engine.train.meter import StepResult
from engine.train.requests import Requests
from engine.train.training import Training
from tests.engine.train.train_runs import Lab, events, metrics, status, train


def after_step(monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[], Any]) -> None:
    """Have something happen while the engine makes step ``step``."""

    def stepped(training: Training) -> StepResult:
        result = optimizer_step(training)
        if result.step == step:
            act()
        return result

    monkeypatch.setattr("engine.train.loop.optimizer_step", stepped)


def start_engine(run: RunDirectory, *options: str) -> subprocess.Popen[str]:
    """The engine as a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "engine", "train", str(run.path), *options],
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
        env=environment,
    )


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Until ``condition`` holds, while the process lives."""
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_sigterm_saves_and_exits_0_however_often_it_is_sent(lab: Lab) -> None:
    run = lab.run("training.steps=100000", "schedule.kind=constant")
    process = start_engine(run)
    wait_for(lambda: len(metrics(run)) >= 2, process)
    for _ in range(3):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    step = events(run, "stopped")[0]["step"]
    verify(run.checkpoint(step), digests=True)
    assert [point.step for point in metrics(run)] == list(range(1, step + 1))
    assert len(events(run, "saved")) == 1
    assert events(run, "saved")[0]["reason"] == "stop"
    assert [event["reason"] for event in events(run, "stopping")] == ["SIGTERM"]
    assert status(run).state == "stopped"
    assert "Traceback" not in log
    process_record, exit_record = (
        ProcessRecord.read(run.attempt(1).process),
        ExitRecord.read(run.attempt(1).exit),
    )
    assert process_record is not None
    assert process_record.engine_pid == process.pid
    assert exit_record is not None
    assert exit_record.code == 0
    assert "stopped at step" in run.attempt(1).log.read_text()


def test_a_stop_before_the_first_step_saves_nothing_and_exits_0(lab: Lab) -> None:
    run = lab.run()
    requests = Requests()
    requests._note_signal(signal.SIGTERM, None)
    assert run_engine(run.path, attempt=None, lock_fd=None, from_checkpoint=None, requests=requests) == 0
    assert [event["event"] for event in events(run)][-2:] == ["stopping", "stopped"]
    assert run.checkpoint_folders() == []
    assert metrics(run) == []
    assert status(run).state == "stopped"


def test_a_stop_while_caching_is_met_between_two_pictures(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.run("dataset.resolution=72", "dataset.bucket_step=8", "dataset.bucket_max=72")
    requests = Requests()
    encoded = []
    from engine.model.encoders import BaseEncoders  # noqa: PLC0415

    encode = BaseEncoders.encode_images

    def encode_and_stop(self: BaseEncoders, pixels: Any) -> Any:
        encoded.append(len(pixels))
        requests._note_signal(signal.SIGINT, None)
        return encode(self, pixels)

    monkeypatch.setattr(BaseEncoders, "encode_images", encode_and_stop)
    assert run_engine(run.path, attempt=None, lock_fd=None, from_checkpoint=None, requests=requests) == 0
    assert len(encoded) == 1
    assert events(run, "stopping")[0]["reason"] == "SIGINT"
    assert status(run).state == "stopped"


def test_a_stop_while_drawing_ends_the_drawing_and_saves(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.run('samples.prompts=["a", "b"]', "samples.every_steps=2", "samples.steps=5")
    requests = Requests()
    asked = 0

    def draw(*arguments: Any, should_stop: Callable[[], bool], **options: Any) -> Any:
        def should_stop_soon() -> bool:
            nonlocal asked
            asked += 1
            if asked == 7:
                requests._note_signal(signal.SIGTERM, None)
            return should_stop()

        return draw_samples(*arguments, should_stop=should_stop_soon, **options)

    monkeypatch.setattr(sampler, "draw_samples", draw)
    assert run_engine(run.path, attempt=None, lock_fd=None, from_checkpoint=None, requests=requests) == 0
    assert events(run, "sampled")[0]["files"] == ["step-00000002-00.png"]
    assert run.checkpoint_folders() == [run.checkpoint(2)]
    assert status(run).state == "stopped"


def test_commands_are_followed_answered_and_removed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.run('samples.prompts=["a red zorb"]', "samples.every_steps=0")

    def ask() -> None:
        send_command(run, "save")
        send_command(run, "sample")
        send_command(run, "stop", at_step=4)
        send_command(run, "stop", at_step="soon")
        (run.commands / "1-dance.json").write_text(json.dumps({"id": "1-dance", "command": "dance", "arguments": {}}))

    after_step(monkeypatch, 2, ask)
    assert train(run) == 0
    answers = {(event["command"], event["ok"]): event["message"] for event in events(run, "command")}
    assert answers == {
        ("stop", True): "will stop at step 4",
        ("stop", False): "save must be true or false, at_step a number of steps",
        ("dance", False): "unknown command 'dance'",
        ("save", True): "saved",
        ("sample", True): "drawn",
    }
    assert list(run.commands.iterdir()) == []
    assert [(event["reason"], event["step"]) for event in events(run, "saved")] == [("command", 2), ("stop", 4)]
    assert [event["step"] for event in events(run, "sampled")] == [2]
    assert events(run, "stopped")[0]["step"] == 4


def test_a_stop_may_ask_not_to_save(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.run()
    after_step(monkeypatch, 2, lambda: send_command(run, "stop", save=False))
    assert train(run) == 0
    assert events(run, "stopped")[0]["step"] == 2
    assert run.checkpoint_folders() == []


def test_signals_during_a_save_change_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.run()
    requests = Requests()

    def signalled(*arguments: Any, **options: Any) -> Any:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
        return save_checkpoint(*arguments, **options)

    monkeypatch.setattr(saver, "save_checkpoint", signalled)
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    requests.listen_to_signals()
    try:
        after_step(monkeypatch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert run_engine(run.path, attempt=None, lock_fd=None, from_checkpoint=None, requests=requests) == 0
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
            signal.signal(number, handler)
    verify(run.checkpoint(3), digests=True)
    assert len(events(run, "saved")) == len(events(run, "stopped")) == len(events(run, "stopping")) == 1


def test_a_finished_run_is_left_alone(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    from engine.__main__ import main  # noqa: PLC0415

    run = lab.run("training.steps=2", "schedule.warmup_steps=0")
    assert train(run) == 0
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        assert main(["train", str(run.path)]) == 2
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), handlers, strict=True):
            signal.signal(number, handler)
    assert "finished: all 2 steps" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before
