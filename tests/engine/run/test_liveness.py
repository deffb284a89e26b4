"""The state of a run follows from its lock and its records: every row of the table, with real locks and real processes."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.durable import write_json_atomically
from engine.run import elsewhere
from engine.run.attempt import begin_attempt, record_own_exit, record_own_process
from engine.run.commands import send_command
from engine.run.events import EventLog
from engine.run.keeper import reserve_exit_record, start_of, write_exit_record
from engine.run.layout import AttemptDirectory, RunDirectory
from engine.run.liveness import RunState, assess, running_elsewhere
from engine.run.lock import LockState, RunLock
from engine.run.process import signal_process
from engine.run.records import ProcessRecord, Status
from engine.run.status import StatusWriter
from tests.engine.run.kept_process import SLEEP, bare_run, kept, python, until


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return bare_run(tmp_path)


@pytest.fixture
def begun(run: RunDirectory) -> AttemptDirectory:
    """An attempt of ours, with this test as its engine; its lock is free."""
    attempt = begin_attempt(run)
    record_own_process(attempt, ["engine"], None)
    return attempt


@pytest.fixture
def held(run: RunDirectory) -> Iterator[None]:
    with RunLock.acquire(run.lock):
        yield


def say(run: RunDirectory, state: str, attempt: int = 1, **more: Any) -> None:
    StatusWriter(run, attempt).update(force=True, state=state, **more)


def end(attempt: AttemptDirectory, **how: Any) -> None:
    descriptor = reserve_exit_record(attempt.exit)
    write_exit_record(descriptor, **how)
    os.close(descriptor)


def change_process(attempt: AttemptDirectory, **changes: Any) -> ProcessRecord:
    record = ProcessRecord.read(attempt.process)
    assert record is not None
    changed = replace(record, **changes)
    write_json_atomically(attempt.process, changed.to_json())
    return changed


def test_a_run_that_was_never_started_is_queued(run: RunDirectory) -> None:
    look = assess(run)
    assert (look.state, look.alive, look.attempt, look.reason) == (RunState.QUEUED, False, 0, "never started")


def test_a_folder_that_is_gone_is_no_error(tmp_path: Path) -> None:
    assert assess(RunDirectory(tmp_path / "gone")).state is RunState.QUEUED


@pytest.mark.usefixtures("held")
def test_a_run_is_starting_from_the_moment_its_lock_is_taken(run: RunDirectory) -> None:
    assert (assess(run).state, assess(run).alive) == (RunState.STARTING, True)
    begin_attempt(run)
    assert (assess(run).state, assess(run).alive, assess(run).attempt) == (RunState.STARTING, True, 1)


@pytest.mark.usefixtures("held", "begun")
@pytest.mark.parametrize("state", ["starting", "caching", "training", "saving", "sampling", "paused"])
def test_a_live_run_does_what_its_engine_says(run: RunDirectory, state: str) -> None:
    say(run, state)
    look = assess(run)
    assert (look.state, look.alive, look.reason) == (RunState(state), True, "")


@pytest.mark.usefixtures("held", "begun")
@pytest.mark.parametrize("state", ["finished", "stopped", "failed"])
def test_a_run_has_not_ended_while_its_engine_is_there(run: RunDirectory, state: str) -> None:
    say(run, state)
    assert (assess(run).state, assess(run).alive) == (RunState.SAVING, True)


@pytest.mark.usefixtures("held", "begun")
def test_the_status_of_an_earlier_attempt_says_nothing_about_this_one(run: RunDirectory) -> None:
    say(run, "finished", attempt=1)
    begin_attempt(run)
    look = assess(run)
    assert (look.state, look.attempt) == (RunState.STARTING, 2)
    assert look.status is not None and look.status.state == "finished"


@pytest.mark.usefixtures("held", "begun")
def test_a_run_that_was_asked_to_stop_says_so_until_it_has(run: RunDirectory) -> None:
    say(run, "training")
    EventLog(run.events, 1).write("stopping", reason="command")
    assert (assess(run).state, assess(run).reason) == (RunState.TRAINING, "stopping")


@pytest.mark.usefixtures("held", "begun")
def test_a_run_without_a_step_for_long_says_so(run: RunDirectory) -> None:
    status = Status(1, "training", 5, 10, heartbeat=time.time() - 300, steps_per_second=1.0)
    write_json_atomically(run.status, status.to_json())
    assert assess(run).reason == "no step for 5 min"
    write_json_atomically(run.status, replace(status, steps_per_second=1 / 60).to_json())
    assert assess(run).reason == ""
    write_json_atomically(run.status, replace(status, heartbeat=time.time() + 3600).to_json())
    assert assess(run).reason == ""


def test_a_suspended_engine_is_paused(tmp_path: Path) -> None:
    with kept(bare_run(tmp_path), SLEEP) as at_work:
        os.kill(at_work.engine, signal.SIGSTOP)
        until(lambda: assess(at_work.run).state is RunState.PAUSED)
        assert assess(at_work.run).reason == "suspended by a signal"
        os.kill(at_work.engine, signal.SIGCONT)
        until(lambda: assess(at_work.run).state is RunState.STARTING)


@pytest.mark.parametrize(
    ("how", "state", "reason"),
    [
        ({"cause": "exec_failed", "message": "No such file: /x"}, "failed", "could not be started: No such file: /x"),
        ({"cause": "out_of_memory", "killed_by": 9, "max_rss_kb": 23_100_000}, "killed", "out of memory (peak 23.1 GB)"),
        ({"cause": "killed", "killed_by": 9}, "killed", "killed by SIGKILL"),
        ({"cause": "killed", "killed_by": 11}, "killed", "killed by SIGSEGV"),
        ({"cause": "killed", "killed_by": 15}, "killed", "killed by SIGTERM"),
        ({"cause": "killed", "killed_by": 63}, "killed", "killed by signal 63"),
        ({"cause": "exited", "code": 1}, "failed", "exit code 1"),
        ({"cause": "exited", "code": 137}, "failed", "exit code 137"),
        ({"cause": "exited", "code": 0}, "stopped", "ended without saying why"),
    ],
)  # fmt: skip
def test_an_end_without_the_engines_own_word(
    run: RunDirectory, begun: AttemptDirectory, how: dict[str, Any], state: str, reason: str
) -> None:
    end(begun, **how)
    look = assess(run)
    assert (look.state, look.alive, look.reason) == (state, False, reason)
    assert look.exit is not None and look.exit.cause == how["cause"]


@pytest.mark.parametrize("event", ["finished", "stopped"])
def test_a_clean_exit_is_what_the_engine_called_it(run: RunDirectory, begun: AttemptDirectory, event: str) -> None:
    EventLog(run.events, 1).write(event, step=40)
    record_own_exit(begun, 0)
    assert (assess(run).state, assess(run).alive, assess(run).reason) == (RunState(event), False, "")


def test_where_the_event_was_lost_the_status_counts(run: RunDirectory, begun: AttemptDirectory) -> None:
    say(run, "finished")
    record_own_exit(begun, 0)
    assert assess(run).state is RunState.FINISHED


def test_an_earlier_attempts_events_do_not_count(run: RunDirectory, begun: AttemptDirectory) -> None:
    EventLog(run.events, 1).write("finished", step=40)
    record_own_exit(begun, 0)
    record_own_exit(begin_attempt(run), 0)
    assert assess(run).state is RunState.STOPPED


def test_a_failure_carries_the_engines_message(run: RunDirectory, begun: AttemptDirectory) -> None:
    EventLog(run.events, 1).write("failed", error="CheckpointError", message="state.json is damaged\nmore", where="x")
    begun.log.write_text("Traceback\nSomething: else\n")
    record_own_exit(begun, 2)
    assert (assess(run).state, assess(run).reason) == (RunState.FAILED, "state.json is damaged")


def test_a_failure_without_a_message_quotes_the_end_of_the_log(run: RunDirectory, begun: AttemptDirectory) -> None:
    begun.log.write_bytes(
        b"x" * 10_000 + b"\nTraceback (most recent call last):\nModuleNotFoundError: No module named 'torch'\n\n"
    )
    record_own_exit(begun, 1)
    assert assess(run).reason == "exit code 1: ModuleNotFoundError: No module named 'torch'"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_an_engine_that_ended_before_it_answered_a_stop_was_stopped(
    run: RunDirectory, begun: AttemptDirectory, number: int
) -> None:
    send_command(run, "stop", save=False)
    end(begun, cause="killed", killed_by=number)
    assert (assess(run).state, assess(run).reason) == (RunState.STOPPED, "ended without saving")


def test_a_crash_is_a_crash_also_with_a_stop_waiting(run: RunDirectory, begun: AttemptDirectory) -> None:
    send_command(run, "stop")
    end(begun, cause="killed", killed_by=signal.SIGSEGV)
    assert (assess(run).state, assess(run).reason) == (RunState.KILLED, "killed by SIGSEGV")
    end(begun, cause="out_of_memory", killed_by=signal.SIGKILL)
    assert (assess(run).state, assess(run).reason) == (RunState.KILLED, "out of memory")


@pytest.mark.usefixtures("held")
def test_an_ended_run_with_processes_left_over_is_alive(run: RunDirectory, begun: AttemptDirectory) -> None:
    end(begun, cause="killed", killed_by=9)
    look = assess(run)
    assert (look.state, look.alive, look.reason) == (RunState.KILLED, True, "killed by SIGKILL; processes left over")


def test_engine_and_keeper_killed_together_are_lost(tmp_path: Path) -> None:
    with kept(bare_run(tmp_path), SLEEP) as at_work:
        engine = at_work.engine
        at_work.keeper.kill()
        os.kill(engine, signal.SIGKILL)
        until(lambda: not assess(at_work.run).alive)
        look = assess(at_work.run)
    assert (look.state, look.reason) == (RunState.LOST, "engine and keeper were killed")


def test_without_its_keeper_a_live_engine_is_alive_and_its_end_has_no_code(tmp_path: Path) -> None:
    with kept(bare_run(tmp_path), SLEEP) as at_work:
        at_work.keeper.kill()
        at_work.keeper.wait()
        assert (assess(at_work.run).state, assess(at_work.run).alive) == (RunState.STARTING, True)
        EventLog(at_work.run.events, 1).write("finished", step=40)
        os.kill(at_work.engine, signal.SIGTERM)
        until(lambda: not assess(at_work.run).alive)
        look = assess(at_work.run)
    assert (look.state, look.reason) == (RunState.FINISHED, "exit code unknown: its keeper was killed")


def test_workers_that_hold_on_after_engine_and_keeper_died_are_named(tmp_path: Path) -> None:
    # A fork keeps the lock as a data loader's worker does.
    forking = python("import os, time\nif os.fork() == 0: open('forked', 'w').close()\ntime.sleep(60)")
    with kept(bare_run(tmp_path), forking) as at_work:
        until((at_work.run.path / "forked").exists)
        engine = at_work.engine
        at_work.keeper.kill()
        os.kill(engine, signal.SIGKILL)
        until(lambda: assess(at_work.run).state is RunState.LOST)
        look = assess(at_work.run)
    assert (look.alive, look.reason) == (True, "the engine ended unrecorded; processes left over")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"boot_id": "another"}, "machine rebooted"),
        ({"init_start": -1}, "container restarted"),
        ({"pid_namespace": "pid:[1]"}, "container restarted"),
        ({"boot_id": "another", "host": "pod-b"}, "ran on pod-b, no sign of life"),
    ],
)
def test_what_took_a_run_that_is_lost(
    run: RunDirectory, begun: AttemptDirectory, changes: dict[str, Any], reason: str
) -> None:
    change_process(begun, **changes)
    written(run, ago=4e8)
    look = assess(run)
    assert (look.state, look.alive, look.reason) == (RunState.LOST, False, reason)


def test_a_run_whose_engine_had_its_last_word_is_not_lost_in_a_reboot(
    run: RunDirectory, begun: AttemptDirectory
) -> None:
    change_process(begun, boot_id="another")
    EventLog(run.events, 1).write("finished", step=40)
    written(run, ago=4e8)
    assert assess(run).state is RunState.FINISHED


def test_a_start_that_was_cut_short_is_lost(run: RunDirectory) -> None:
    begin_attempt(run)
    assert (assess(run).state, assess(run).reason) == (RunState.LOST, "its start was cut short")


def test_a_recycled_pid_is_not_taken_for_the_engine(run: RunDirectory, begun: AttemptDirectory) -> None:
    own_start = start_of(os.getpid())
    assert own_start is not None
    record = change_process(begun, engine_start=own_start - 100)
    assert (assess(run).state, assess(run).alive) == (RunState.LOST, False)
    assert not signal_process(record.engine_pid, record.engine_start, signal.SIGKILL)


def written(run: RunDirectory, *, ago: float) -> None:
    """What keeper and engine write was written then."""
    for path in (run.status, *(attempt.exit for attempt in run.existing_attempts())):
        if path.exists():
            os.utime(path, (time.time() - ago,) * 2)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is watched for seconds."""
    monkeypatch.setattr(elsewhere, "WATCH_SECONDS", 0.3)


@pytest.mark.usefixtures("quick")
def test_a_run_at_work_on_another_machine_is_alive_there(run: RunDirectory, begun: AttemptDirectory) -> None:
    change_process(begun, boot_id="another", host="pod-b")
    say(run, "training", step=7)
    look = assess(run)
    assert (look.state, look.alive, look.reason) == (RunState.TRAINING, True, "running on pod-b")
    assert running_elsewhere(run) == "running on pod-b"
    written(run, ago=41)
    assert assess(run).reason == "running on pod-b, last heard of 40 s ago"
    written(run, ago=200)
    assert (assess(run).state, assess(run).alive) == (RunState.LOST, False)
    assert running_elsewhere(run) is None


def test_an_engine_that_says_nothing_is_alive_elsewhere_while_its_keeper_is(
    run: RunDirectory, begun: AttemptDirectory
) -> None:
    change_process(begun, boot_id="another", host="pod-b")
    say(run, "training", step=7)
    written(run, ago=600)
    os.close(reserve_exit_record(begun.exit))
    begun.exit.touch()
    assert (assess(run).state, assess(run).alive) == (RunState.TRAINING, True)


@pytest.mark.parametrize("ahead", [-3000, 3000])
def test_another_machine_whose_clock_differs_is_seen_by_what_changes(
    run: RunDirectory, begun: AttemptDirectory, ahead: int
) -> None:
    change_process(begun, boot_id="another", host="pod-b")
    say(run, "training", step=7)
    written(run, ago=ahead + 5)
    assert not assess(run).alive  # one look cannot tell
    written(run, ago=ahead)
    assert (assess(run).alive, assess(run).reason) == (True, "running on pod-b")


@pytest.mark.usefixtures("quick")
def test_a_dead_run_of_a_container_that_was_made_anew_on_this_kernel_is_lost_at_once(
    run: RunDirectory, begun: AttemptDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel knows every lock of it; only where the disk has none is what is written the only sign."""
    change_process(begun, pid_namespace="pid:[1]", init_start=1, host="the-container-before")
    say(run, "training", step=7)
    look = assess(run)
    assert (look.state, look.alive, running_elsewhere(run)) == (RunState.LOST, False, None)
    monkeypatch.setattr(elsewhere, "lock_state", lambda _: LockState.UNKNOWN)
    assert assess(run).reason == "running on the-container-before"


def test_before_a_start_here_somebody_elsewhere_is_watched_for(run: RunDirectory, begun: AttemptDirectory) -> None:
    change_process(begun, boot_id="another", host="pod-b")
    say(run, "training", step=7)
    written(run, ago=3000)
    beat = threading.Timer(0.5, written, (run,), {"ago": 2995})
    beat.start()
    assert running_elsewhere(run) == "running on pod-b"
    beat.join()


def test_a_start_that_has_not_said_yet_who_it_is_is_somebody_elses_for_half_a_minute(run: RunDirectory) -> None:
    attempt = begin_attempt(run)
    assert running_elsewhere(run) == "being started by someone else"
    with RunLock.acquire(run.lock):
        assert running_elsewhere(run) is None, "the lock says more"
    os.utime(attempt.path, (time.time() - 31,) * 2)
    assert running_elsewhere(run) is None


def test_another_machine_of_our_name_is_not_ourselves_before_a_restart(
    run: RunDirectory, begun: AttemptDirectory
) -> None:
    change_process(begun, boot_id="another")
    say(run, "training", step=7)
    assert assess(run).reason == f"running on another machine named {socket.gethostname()}"
    assert assess(run).alive


@pytest.mark.usefixtures("held")
def test_a_live_run_of_another_container_on_this_disk_is_alive(run: RunDirectory, begun: AttemptDirectory) -> None:
    change_process(begun, pid_namespace="pid:[1]", engine_pid=1, engine_start=1)
    say(run, "training")
    assert (assess(run).state, assess(run).alive, assess(run).reason) == (RunState.TRAINING, True, "")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"code": "x", "signal": true}', b"\xff\xfe", b"[" * 9999]
)
def test_damaged_records_are_no_error(run: RunDirectory, begun: AttemptDirectory, content: bytes) -> None:
    for path in (begun.exit, begun.process, run.status, run.events, begun.log):
        path.write_bytes(content)
    look = assess(run)
    assert (look.alive, look.attempt) == (False, 1)
    assert look.state in (RunState.LOST, RunState.STOPPED)
