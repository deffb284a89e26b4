"""A stand-in for the engine, for the tests of this folder: it takes steps of nothing, and listens like the real one.

The real one is tested with its own rooms; here it would cost ten seconds a start.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.profile.load import LoadedProfile
from engine.profile.schema import Dataset, Model, Profile, Source, Training
from engine.run.keeper import process_stat, session_members
from engine.run.layout import AttemptDirectory, RunDirectory
from engine.run.lock import RunLock, holders
from engine.run.records import ProcessRecord
from sdxl_tui.fleet import launch
from sdxl_tui.workspace import Workspace

PROGRAM = """
import signal, sys, time
from pathlib import Path
from engine.run.commands import CommandBox
from engine.run.events import EventLog
from engine.run.layout import RunDirectory
from engine.run.lock import RunLock
from engine.run.metrics import MetricPoint, MetricsLog
from engine.run.status import StatusWriter

run, attempt, fd, steps = RunDirectory(Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
lock = RunLock.adopt(fd, run.lock)
status, events, box, metrics = StatusWriter(run, attempt), EventLog(run.events, attempt), CommandBox(run), MetricsLog(run.metrics)
print("standing in", flush=True)
events.write("started", step=0, total_steps=steps, device="cpu", versions={})
outcome, save, last = "finished", True, steps
for step in range(1, steps + 1):
    time.sleep(0.01)
    metrics.write(MetricPoint(step, attempt, 0, time.time(), 0.1, 0.1, {"unet": 1e-4}))
    status.update(state="training", step=step, total_steps=steps, loss=0.1, lr={"unet": 1e-4}, device="cpu")
    for command in box.poll():
        events.write("command", **box.acknowledge(command, True))
        if command.command == "stop":
            outcome, save = "stopped", command.arguments.get("save", True)
            last = command.arguments.get("at_step", step)
    if asked:
        events.write("stopping", reason="SIGTERM")
    if asked or step >= last:
        outcome = "stopped" if step < steps else outcome
        break
if save:
    (run.checkpoints / "saved").touch()
events.write(outcome, step=step)
status.update(state=outcome)
"""

PROFILE = Profile(
    name="demo",
    model=Model(base="bundled:demo-base"),
    dataset=Dataset(sources=(Source(path="bundled:demo-images"),)),
    training=Training(steps=2000),
)


def engine_of(steps: int) -> object:
    """A replacement of ``launch.engine_command``: the stand-in takes ``steps`` steps of 10 ms."""

    def command(run: RunDirectory, attempt: AttemptDirectory, lock: RunLock, from_checkpoint: Path | None) -> list[str]:
        words = [
            sys.executable,
            "-P",
            "-c",
            PROGRAM,
            str(run.path),
            str(attempt.number),
            str(lock.fileno()),
            str(steps),
        ]
        return words if from_checkpoint is None else [*words, "--from", from_checkpoint.name]

    return command


def loaded(folder: Path) -> LoadedProfile:
    """The demo's profile, as if it had been read from ``folder``."""
    source = folder / "demo.toml"
    return LoadedProfile(PROFILE, source, "", lambda _path: (str(source), None, None))


def until(holds: object, seconds: float = 15.0) -> None:
    """Wait for a condition; fail if it does not come."""
    assert callable(holds)
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def speaks(run: RunDirectory) -> bool:
    """Its engine has begun to take steps."""
    return run.metrics.exists() and run.status.exists()


def process_of(run: RunDirectory, attempt: int = 1) -> ProcessRecord:
    """Who was started."""
    record = ProcessRecord.read(run.attempt(attempt).process)
    assert record is not None
    return record


def pids(run: RunDirectory, attempt: int = 1) -> tuple[int, int]:
    """(engine, keeper)"""
    record = process_of(run, attempt)
    assert record.engine_pid is not None and record.keeper_pid is not None
    return record.engine_pid, record.keeper_pid


def is_gone(pid: int) -> bool:
    """No living process has this pid."""
    found = process_stat(pid)
    return found is None or found.state in "ZX"


@contextlib.contextmanager
def standing_in(monkeypatch: pytest.MonkeyPatch, workspace: Workspace, steps: int = 2000) -> Iterator[None]:
    """Engines started from here are stand-ins; whatever still runs in ``workspace`` is killed at the end."""
    monkeypatch.setattr(launch, "engine_command", engine_of(steps))
    try:
        yield
    finally:
        for lock in workspace.runs.glob("*/run.lock"):
            found = set(holders(lock))
            for leader in tuple(found):
                found.update(session_members(leader))
            for pid in found - {os.getpid()}:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
