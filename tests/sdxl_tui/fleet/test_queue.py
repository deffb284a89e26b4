"""The queue: one run per device, each started once, by whoever ends, whatever is killed meanwhile."""

from __future__ import annotations

import errno
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.run.layout import RunDirectory
from engine.run.liveness import RunState, assess
from engine.run.lock import RunLock
from engine.run.records import ExitRecord
from sdxl_tui.fleet import launch
from sdxl_tui.fleet.devices import Needs, claim
from sdxl_tui.fleet.queue import going_on
from sdxl_tui.fleet.queue.changes import Turn, hold, let_go, move, pause, put_in, release, take_out
from sdxl_tui.fleet.queue.look import look_at, why_it_waits
from sdxl_tui.fleet.queue.record import Entry, Queue, QueueError, queue_file, read_queue
from sdxl_tui.fleet.runs import list_runs
from sdxl_tui.fleet.stop import request_stop
from sdxl_tui.workspace import Workspace
from tests.sdxl_tui.fleet.stand_in import engine_of, loaded, speaks, standing_in, until

ROOT = Path(__file__).parents[3]
GOING_ON = """
import sys; from pathlib import Path
from tests.sdxl_tui.fleet import stand_in
from sdxl_tui.fleet import launch
from sdxl_tui.fleet.queue.going_on import go_on
from sdxl_tui.workspace import Workspace
steps = int(sys.argv[2])
launch.engine_command = stand_in.engine_of(steps)
launch.go_on_command = lambda workspace: [sys.executable, "-c", Path(sys.argv[3]).read_text(), str(workspace), *sys.argv[2:]]
print(*go_on(Workspace(Path(sys.argv[1]))).started, flush=True)
"""

Lined = Callable[..., RunDirectory]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """Engines are stand-ins of 30 steps, also those that a keeper starts when its run has ended."""
    workspace = Workspace(tmp_path / "workspace")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))
    with standing_in(monkeypatch, workspace, steps=30):
        use(monkeypatch, tmp_path, steps=30)
        yield workspace


def use(monkeypatch: pytest.MonkeyPatch, folder: Path, steps: int) -> None:
    """Let engines take ``steps`` steps from now on, whoever starts them."""
    program = folder / "going_on.py"
    program.write_text(GOING_ON)
    monkeypatch.setattr(launch, "engine_command", engine_of(steps))
    monkeypatch.setattr(launch, "go_on_command", lambda workspace: command(workspace, program, steps))


def command(workspace: Path, program: Path, steps: int) -> list[str]:
    return [sys.executable, "-c", program.read_text(), str(workspace), str(steps), str(program)]


@pytest.fixture
def lined(workspace: Workspace) -> Lined:
    """Makes a run and puts it into the queue."""

    def line_up(**turn: object) -> RunDirectory:
        run = launch.make_run(workspace, loaded(workspace.path))
        put_in(workspace, run, Turn(**turn))  # type: ignore[arg-type]
        return run

    return line_up


def starts(run: RunDirectory) -> int:
    """How often an engine was really started for it."""
    return sum(attempt.process.exists() for attempt in run.existing_attempts())


def is_finished(run: RunDirectory) -> bool:
    return assess(run).state is RunState.FINISHED


def ended_at(run: RunDirectory) -> float:
    record = ExitRecord.read(run.attempt(1).exit)
    assert record is not None
    return record.ended


def test_whoever_ends_starts_the_next_one_and_no_two_train_at_once(workspace: Workspace, lined: Lined) -> None:
    runs = [lined() for _ in range(3)]
    assert going_on.go_on(workspace).started == [runs[0].id]
    assert [one.why for one in look_at(workspace)[1]] == ["next in the queue", "2nd in the queue"]
    until(lambda: is_finished(runs[2]), 30)
    assert [starts(run) for run in runs] == [1, 1, 1]
    for earlier, later in itertools.pairwise(runs):
        assert ended_at(earlier) <= later.attempt(1).process.stat().st_mtime
    assert read_queue(workspace).entries == ()


def test_a_run_of_another_workspace_is_waited_for_by_a_process_of_its_own(
    workspace: Workspace, lined: Lined, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(going_on, "STRANGERS_SECONDS", 0.2)
    run, later = lined(), lined()
    elsewhere = claim(Needs(0), (), "a run of another workspace")
    assert going_on.go_on(workspace).waits_for_strangers
    waiter = threading.Thread(target=going_on.go_on_until_devices_are_free, args=(workspace,))
    waiter.start()
    time.sleep(0.6)
    assert not assess(run).alive
    elsewhere.close()
    waiter.join(20)
    assert not waiter.is_alive()
    until(lambda: is_finished(run), 30)
    until(lambda: is_finished(later), 30)  # which the end of the first one started


def test_a_run_of_this_workspace_needs_nobody_who_waits(workspace: Workspace, lined: Lined) -> None:
    lined(), lined()
    assert not going_on.go_on(workspace).waits_for_strangers


def test_of_many_who_go_on_at_once_each_run_is_started_by_one(
    workspace: Workspace, lined: Lined, tmp_path: Path
) -> None:
    runs = [lined() for _ in range(3)]
    words = command(workspace.path, tmp_path / "going_on.py", 30)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    racers = [subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    said = " ".join(racer.communicate(timeout=60)[0] for racer in racers).split()
    assert said.count(runs[0].id) == 1
    until(lambda: all(is_finished(run) for run in runs), 40)
    assert [starts(run) for run in runs] == [1, 1, 1]


def test_killed_at_any_moment_going_on_starts_every_run_once(
    workspace: Workspace, lined: Lined, tmp_path: Path
) -> None:
    runs = [lined() for _ in range(4)]
    words = command(workspace.path, tmp_path / "going_on.py", 30)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    chance = random.Random(7)
    for _ in range(6):
        victim = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.1, 0.6))
        victim.send_signal(signal.SIGKILL)
        victim.wait()

    def go_on_until_done() -> bool:
        going_on.go_on(workspace)
        return all(is_finished(run) for run in runs)

    until(go_on_until_done, 40)
    assert [starts(run) for run in runs] == [1, 1, 1, 1]


def test_a_run_waits_for_another_one_to_finish_and_no_longer_if_released(workspace: Workspace, lined: Lined) -> None:
    first = lined()
    second = lined(after=first.id, priority=5)
    going_on.go_on(workspace)
    until(lambda: speaks(first))
    request_stop(first)
    until(lambda: not assess(first).alive)
    assert going_on.go_on(workspace).started == []
    assert why_it_waits(workspace, second.id) == f"after {first.id}, which was stopped"
    release(workspace, second.id)
    assert going_on.go_on(workspace).started == [second.id]


def test_a_run_cannot_wait_for_one_that_waits_for_it(workspace: Workspace, lined: Lined) -> None:
    first = lined()
    lined(after=first.id)
    second = read_queue(workspace).entries[1].run
    stopped = launch.make_run(workspace, loaded(workspace.path))
    put_in(workspace, stopped, Turn(after=second))
    take_out(workspace, stopped.id)
    assert not stopped.path.exists(), "a run that never started is nothing but a copy of its profile"
    with pytest.raises(QueueError, match="waits for it"):
        take_out(workspace, first.id)
    with pytest.raises(QueueError, match="in the queue already"):
        put_in(workspace, first, Turn(after=second))


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE])
def test_a_run_whose_starts_cannot_be_read_is_never_deleted(
    workspace: Workspace, lined: Lined, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A disk that gives an error says nothing about whether the run was ever started."""
    run = lined()
    run.attempt(1).path.mkdir(parents=True)
    (run.checkpoint(10) / "weights").mkdir(parents=True)
    scandir = os.scandir

    def failing(path: Any = ".") -> Any:
        if path == run.attempts:
            raise OSError(number, os.strerror(number))
        return scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", failing)
        assert assess(run).attempt == 0, "what a look at it makes of the error"
        with pytest.raises(QueueError, match="cannot be told whether it ever started"):
            take_out(workspace, run.id)
    assert run.checkpoint(10).is_dir()
    assert [entry.run for entry in read_queue(workspace).entries] == [run.id]


def test_a_run_that_has_only_checkpoints_or_is_being_started_is_taken_out_but_stays(
    workspace: Workspace, lined: Lined
) -> None:
    copied, starting = lined(), lined()
    copied.checkpoint(10).mkdir(parents=True)
    assert not take_out(workspace, copied.id)
    with RunLock.acquire(starting.lock):
        assert not take_out(workspace, starting.id)
    assert copied.checkpoint(10).is_dir() and starting.profile.is_file()
    assert read_queue(workspace).entries == ()


def test_a_failed_run_is_tried_again_as_often_as_was_said(
    workspace: Workspace, lined: Lined, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "engine_command", lambda *_: [sys.executable, "-c", "raise SystemExit(1)"])
    run = lined(retries=2)
    for expected in (1, 2, 3, 3):
        going_on.go_on(workspace)
        until(lambda: not assess(run).alive)
        assert starts(run) == expected
    assert read_queue(workspace).entries == ()
    assert assess(run).state is RunState.FAILED


def test_what_cannot_be_started_is_held_and_says_why(
    workspace: Workspace, lined: Lined, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "engine_command", lambda *_: ["/no/such/python"])
    run, other = lined(), lined()
    went = going_on.go_on(workspace)
    assert set(went.refused) == {run.id, other.id} and "No such file" in went.refused[run.id]
    assert "could not be started: " in why_it_waits(workspace, run.id)
    assert starts(run) == 0 and run.path.is_dir()


def test_after_a_restart_of_the_machine_nothing_starts_by_itself(workspace: Workspace, lined: Lined) -> None:
    run = lined()
    path = queue_file(workspace)
    stored = json.loads(path.read_text())
    stored["boot"]["boot_id"] = "another boot"
    path.write_text(json.dumps(stored))
    assert going_on.go_on(workspace).started == []
    assert why_it_waits(workspace, run.id) == "waits since before the restart"
    later = lined()
    assert going_on.go_on(workspace).started == [] and starts(later) == 0
    let_go(workspace)
    assert going_on.go_on(workspace).started == [run.id]


def test_a_paused_queue_and_a_held_run_wait(workspace: Workspace, lined: Lined) -> None:
    first, second = lined(held=True), lined()
    pause(workspace)
    assert going_on.go_on(workspace).started == []
    let_go(workspace)
    assert going_on.go_on(workspace).started == [second.id]
    hold(workspace, first.id)
    assert why_it_waits(workspace, first.id) == "held"


def test_the_list_of_runs_says_what_each_waits_for(workspace: Workspace, lined: Lined) -> None:
    first, second = lined(), lined()
    assert {run.id: (run.state, run.reason) for run in list_runs(workspace)} == {
        first.id: (RunState.QUEUED, "next in the queue"),
        second.id: (RunState.QUEUED, "2nd in the queue"),
    }
    queue_file(workspace).write_text('{"format": 1, "entries": [')
    assert {run.reason for run in list_runs(workspace)} == {"the queue cannot be read: see sdxl-tui queue"}
    with pytest.raises(QueueError, match="Move that file away"):
        going_on.go_on(workspace)


def test_a_stopped_run_put_back_is_resumed_from_the_queue(workspace: Workspace, lined: Lined) -> None:
    run = lined()
    going_on.go_on(workspace)
    until(lambda: speaks(run))
    request_stop(run)
    until(lambda: not assess(run).alive)
    before = list_runs(workspace)
    put_in(workspace, run, Turn(held=True))
    assert [(one.state, one.reason) for one in list_runs(workspace, before)] == [(RunState.QUEUED, "held")]
    release(workspace, run.id)
    assert going_on.go_on(workspace).started == [run.id]
    until(lambda: is_finished(run) and not assess(run).alive)
    assert starts(run) == 2
    with pytest.raises(QueueError, match="has finished"):
        put_in(workspace, run, Turn())


ENTRIES = st.lists(st.integers(-2, 2), min_size=1, max_size=8)


@given(priorities=ENTRIES, which=st.integers(0, 7), to=st.integers(-2, 12))
def test_priorities_stay_in_order_wherever_a_run_is_moved(priorities: list[int], which: int, to: int) -> None:
    queue = Queue()
    for number, priority in enumerate(priorities):
        queue = queue.with_entry(Entry(f"run-{number}", 0.0, priority=priority))
    moved = f"run-{which % len(priorities)}"
    after = queue.moved(moved, to)
    placed = [entry.priority for entry in after.entries]
    assert placed == sorted(placed, reverse=True)
    assert [entry.run for entry in after.entries].index(moved) == max(0, min(to, len(priorities) - 1))
    others = [entry for entry in queue.entries if entry.run != moved]
    assert [entry for entry in after.entries if entry.run != moved] == others


def test_a_run_is_moved_by_word_and_by_number(workspace: Workspace, lined: Lined) -> None:
    runs = [lined() for _ in range(4)]
    assert move(workspace, runs[3].id, "first") == 1
    assert move(workspace, runs[3].id, "down") == 2
    assert move(workspace, runs[0].id, "last") == 4
    assert move(workspace, runs[2].id, "2") == 2
    assert [entry.run for entry in read_queue(workspace).entries] == [runs[n].id for n in (3, 2, 1, 0)]
    with pytest.raises(QueueError, match="is no place"):
        move(workspace, runs[0].id, "0")


def test_the_queue_is_stored_and_read_back(workspace: Workspace, lined: Lined) -> None:
    run = lined(priority=3, retries=1, gpus=("GPU-1",), held=True)
    entry = read_queue(workspace).find(run.id)
    assert entry is not None
    assert replace(entry, added=0.0) == Entry(run.id, 0.0, priority=3, held=True, gpus=("GPU-1",), retries=1)


def test_a_run_that_waits_on_another_machine_says_where(workspace: Workspace, lined: Lined) -> None:
    run = lined()
    here = queue_file(workspace)
    here.rename(here.with_name("pod-b.json"))
    (summary,) = list_runs(workspace)
    assert (summary.waits, summary.reason) == ("", "waits in the queue of pod-b")
    assert summary.id == run.id
    here.with_name("pod-b.json").write_text("{")
    (summary,) = list_runs(workspace, [summary])
    assert summary.reason == "never started"
