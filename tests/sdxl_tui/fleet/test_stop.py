"""Ending runs: asked, they save and end; killed, they are gone with all they started; strangers are never touched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.run.commands import CommandBox
from engine.run.errors import RunError
from engine.run.events import read_events
from engine.run.layout import RunDirectory
from engine.run.liveness import RunState, assess
from engine.run.lock import RunLock, is_held
from engine.run.records import Status
from engine.run.status import StatusWriter
from sdxl_tui.fleet import launch
from sdxl_tui.fleet.stop import kill, request_stop, stop_now
from sdxl_tui.workspace import Workspace
from tests.sdxl_tui.fleet.stand_in import engine_of, is_gone, loaded, pids, speaks, standing_in, until

DEAF = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
worker = subprocess.Popen(["sleep", "60"])
if os.fork() == 0:
    os.setsid()  # a worker that made itself independent, with the lock
print(worker.pid, os.getpid(), flush=True)
time.sleep(60)
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    workspace = Workspace(tmp_path / "workspace")
    with standing_in(monkeypatch, workspace):
        yield workspace


@pytest.fixture
def training(workspace: Workspace) -> RunDirectory:
    """A run whose engine takes steps."""
    run = launch.launch(workspace, loaded(workspace.path))
    until(lambda: speaks(run))
    return run


@pytest.fixture
def deaf(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """A run whose engine hears nothing, with a worker in its session and one outside."""
    monkeypatch.setattr(launch, "engine_command", lambda *_: [sys.executable, "-I", "-S", "-c", DEAF])
    run = launch.launch(workspace, loaded(workspace.path))
    until(lambda: len(run.attempt(1).log.read_text().split()) == 4)
    return run


def was_saved(run: RunDirectory) -> bool:
    return (run.checkpoints / "saved").exists()


def test_a_run_that_is_asked_to_stop_saves_and_ends(training: RunDirectory) -> None:
    request_stop(training)
    end = launch.wait(training, 10)
    assert (end.state, end.reason) == (RunState.STOPPED, "")
    assert end.exit is not None and end.exit.code == 0
    assert was_saved(training)


def test_two_who_ask_at_once_get_one_stop(training: RunDirectory) -> None:
    request_stop(training)
    request_stop(training)
    assert launch.wait(training, 10).state is RunState.STOPPED
    assert [event["event"] for event in read_events(training.events)].count("stopped") == 1


def test_without_the_signal_the_command_suffices(training: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdxl_tui.fleet.stop.signal_process", lambda *_: False)
    request_stop(training)
    assert launch.wait(training, 10).state is RunState.STOPPED


def test_without_the_command_the_signal_suffices(training: RunDirectory) -> None:
    training.commands.rmdir()
    training.commands.write_text("a file in the way")
    request_stop(training)
    assert launch.wait(training, 10).state is RunState.STOPPED


def test_a_request_that_reaches_nobody_is_an_error(training: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    training.commands.rmdir()
    training.commands.write_text("a file in the way")
    monkeypatch.setattr("sdxl_tui.fleet.stop.signal_process", lambda *_: False)
    with pytest.raises(RunError, match="cannot be written"):
        request_stop(training)


def test_a_suspended_run_is_woken_to_stop(training: RunDirectory) -> None:
    os.kill(pids(training)[0], signal.SIGSTOP)
    until(lambda: assess(training).state is RunState.PAUSED)
    request_stop(training)
    assert launch.wait(training, 10).state is RunState.STOPPED


def test_a_stop_for_later_is_not_overtaken_by_a_signal(training: RunDirectory) -> None:
    before = Status.read(training.status)
    assert before is not None
    request_stop(training, at_step=before.step + 100)
    end = launch.wait(training, 10)
    assert end.state is RunState.STOPPED
    assert end.status is not None and end.status.step == before.step + 100
    assert "stopping" not in [event["event"] for event in read_events(training.events)]


def test_a_run_that_is_ended_now_does_not_save(training: RunDirectory) -> None:
    end = stop_now(training)
    assert (end.state, end.alive) == (RunState.STOPPED, False)
    assert not was_saved(training)


def test_a_deaf_run_that_is_ended_now_is_killed_after_a_while(deaf: RunDirectory) -> None:
    begun = time.monotonic()
    end = stop_now(deaf, patience=0.3)
    assert time.monotonic() - begun >= 0.3
    assert (end.state, end.alive, end.reason) == (RunState.STOPPED, False, "ended without saving")
    assert end.exit is not None and end.exit.signal == signal.SIGKILL


def test_an_engine_that_only_starts_is_not_waited_for_as_long(
    deaf: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdxl_tui.fleet.stop.STARTING_SECONDS", 0.2)
    assert assess(deaf).state is RunState.STARTING
    begun = time.monotonic()
    assert stop_now(deaf, patience=60).state is RunState.STOPPED
    assert time.monotonic() - begun < 30


def test_a_killed_run_is_gone_with_all_that_it_started(deaf: RunDirectory) -> None:
    end = kill(deaf)
    assert (end.state, end.alive, end.reason) == (RunState.KILLED, False, "killed by SIGKILL")
    assert all(is_gone(int(word)) for word in deaf.attempt(1).log.read_text().split())
    until(lambda: all(is_gone(pid) for pid in pids(deaf)))  # the keeper looks after the queue before it goes


def test_a_suspended_run_can_be_killed_together_with_a_suspended_keeper(training: RunDirectory) -> None:
    for pid in pids(training):
        os.kill(pid, signal.SIGSTOP)
    end = kill(training)
    assert (end.state, end.alive) == (RunState.KILLED, False)


def test_without_its_keeper_a_run_can_be_killed(training: RunDirectory) -> None:
    os.kill(pids(training)[1], signal.SIGKILL)
    end = kill(training)
    assert (end.state, end.alive) == (RunState.LOST, False)


def test_without_its_keeper_a_run_can_be_asked_to_stop(training: RunDirectory) -> None:
    os.kill(pids(training)[1], signal.SIGKILL)
    request_stop(training)
    end = launch.wait(training, 10)
    assert (end.state, end.exit) == (RunState.STOPPED, None)
    assert was_saved(training)


@pytest.mark.parametrize("act", [request_stop, stop_now, kill])
def test_a_run_that_has_ended_is_refused(training: RunDirectory, act: object) -> None:
    kill(training)
    assert callable(act)
    with pytest.raises(RunError, match=r"is not running \(killed\)"):
        act(training)
    assert CommandBox(training).poll() == []


def test_a_process_that_took_over_the_pid_is_never_signalled(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdxl_tui.fleet.stop.KILL_SECONDS", 0.1)
    workspace.create()
    run = RunDirectory(workspace.runs / "demo-1")
    run.attempt(1).path.mkdir(parents=True)
    with subprocess.Popen(["/bin/sleep", "60"]) as stranger, RunLock.acquire(run.lock):
        record = {"engine_pid": stranger.pid, "engine_start": 1, "keeper_pid": stranger.pid, "keeper_start": 1}
        run.attempt(1).process.write_text(json.dumps(record))
        assert assess(run).alive
        request_stop(run)
        kill(run)
        assert stranger.poll() is None
        stranger.kill()


def test_a_run_on_another_machine_is_asked_by_file_and_never_signalled(training: RunDirectory) -> None:
    path = training.attempt(1).process
    stored = json.loads(path.read_text())
    path.write_text(json.dumps(stored | {"boot_id": "another", "host": "pod-b"}))
    with pytest.raises(RunError, match="pod-b"):
        kill(training)
    with pytest.raises(RunError, match="pod-b"):
        stop_now(training)
    assert is_held(training.lock)
    request_stop(training)
    assert launch.wait(training, 10).state is RunState.STOPPED


def test_a_stop_before_the_engine_listens_is_a_stop(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "engine_command", lambda *_: ["/bin/sleep", "60"])
    run = launch.launch(workspace, loaded(workspace.path))
    request_stop(run, save=False)
    end = launch.wait(run, 10)
    assert (end.state, end.reason) == (RunState.STOPPED, "ended without saving")
    monkeypatch.setattr(launch, "engine_command", engine_of(5))
    assert launch.start(run) == 2
    assert launch.wait(run, 10).state is RunState.FINISHED, "the old request does not stop the new attempt"
    status = Status.read(run.status)
    assert status is not None and status.step == 5


def test_a_run_on_a_machine_whose_clock_differs_can_be_asked(workspace: Workspace) -> None:
    run = launch.launch(workspace, loaded(workspace.path))
    os.kill(pids(run)[0], signal.SIGKILL)
    launch.wait(run, 10)
    attempt = run.attempt(1)
    stored = json.loads(attempt.process.read_text()) | {"host": "pod-b", "boot_id": "another"}
    attempt.process.write_text(json.dumps(stored))
    attempt.exit.write_text(" " * 4096)
    StatusWriter(run, 1).update(force=True, state="training", step=7)
    for path in (run.status, attempt.exit):
        os.utime(path, (time.time() - 3000,) * 2)
    assert not assess(run).alive
    beat = threading.Timer(0.5, os.utime, (run.status, (time.time() - 2995,) * 2))
    beat.start()
    request_stop(run)
    beat.join()
    assert [command.command for command in CommandBox(run).poll()] == ["stop"]
