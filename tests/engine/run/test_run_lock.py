"""The lock on a run: one winner, inherited, undisturbed by lookers, and a stand-in where a disk has no locks."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.run.attempt import begin_attempt
from engine.run.errors import RunBusy, RunError
from engine.run.lock import LockState, RunLock, holders, is_held, lock_state
from tests.engine.run.kept_process import SLEEP, bare_run, kept, until


def test_a_lock_is_held_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    assert lock_state(path) is LockState.FREE
    with RunLock.acquire(path):
        assert lock_state(path) is LockState.HELD
        with pytest.raises(RunBusy):
            RunLock.acquire(path)
    assert lock_state(path) is LockState.FREE
    RunLock.acquire(path).close()


def test_whoever_is_refused_is_told_who_runs(tmp_path: Path) -> None:
    with kept(bare_run(tmp_path), SLEEP) as run, pytest.raises(RunBusy) as refused:
        RunLock.acquire(run.run.lock)
    assert str(run.process.engine_pid) in str(refused.value)
    assert run.process.host in str(refused.value)


def test_looking_at_a_lock_never_keeps_anyone_from_taking_it(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    path.touch()
    enough = threading.Event()

    def look() -> None:
        while not enough.is_set():
            lock_state(path)

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(50):
            RunLock.acquire(path).close()
    finally:
        enough.set()
        for looker in lookers:
            looker.join()


def test_lookers_do_not_take_each_other_for_a_holder(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    path.touch()
    descriptor = os.open(path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    assert lock_state(path) is LockState.FREE
    os.close(descriptor)


def test_an_inherited_lock_outlives_its_taker_and_ends_with_the_heir(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    lock = RunLock.acquire(path)
    with subprocess.Popen(SLEEP, pass_fds=(lock.fileno(),)) as heir:
        assert sorted(holders(path)) == sorted([os.getpid(), heir.pid])
        lock.close()
        assert lock_state(path) is LockState.HELD
        assert holders(path) == [heir.pid]
        heir.send_signal(signal.SIGKILL)
    assert lock_state(path) is LockState.FREE
    assert holders(path) == []


def test_whoever_only_looks_is_no_holder(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    path.touch()
    descriptor = os.open(path, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    assert holders(path) == []
    os.close(descriptor)


def test_an_adopted_lock_is_not_passed_on_to_programs(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    first = RunLock.acquire(path)
    os.set_inheritable(first.fileno(), True)
    adopted = RunLock.adopt(os.dup(first.fileno()), path)
    first.close()
    assert lock_state(path) is LockState.HELD
    assert not os.get_inheritable(adopted.fileno())
    adopted.close()
    assert lock_state(path) is LockState.FREE


def test_a_descriptor_of_something_else_is_not_adopted(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    path.touch()
    other = os.open("/dev/null", os.O_RDONLY)
    with pytest.raises(RunError, match="not this run's lock"):
        RunLock.adopt(other, path)
    os.close(other)
    with pytest.raises(RunError, match="not this run's lock"):
        RunLock.adopt(other, path)


def test_a_lock_that_someone_else_holds_is_not_adopted(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    with RunLock.acquire(path):
        stranger = os.open(path, os.O_RDWR)
        with pytest.raises(RunBusy):
            RunLock.adopt(stranger, path)
        os.close(stranger)


def test_of_eight_that_race_for_a_lock_one_wins(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    program = (
        "import sys, time; from pathlib import Path; from engine.run.lock import RunLock, RunBusy\n"
        "sys.stdin.read()\n"
        "try: lock = RunLock.acquire(Path(sys.argv[1])); print('won', flush=True); time.sleep(1)\n"
        "except RunBusy: print('busy', flush=True)"
    )
    read_end, write_end = os.pipe()
    racers = [
        subprocess.Popen([sys.executable, "-c", program, str(path)], stdin=read_end, stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    os.close(read_end)
    os.close(write_end)  # the starting shot
    results = sorted(racer.communicate()[0].strip() for racer in racers)
    assert results == ["busy"] * 7 + ["won"]


@pytest.fixture
def no_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)


@pytest.mark.usefixtures("no_flock")
def test_without_flock_the_recorded_processes_decide(tmp_path: Path) -> None:
    run = bare_run(tmp_path)
    assert not is_held(run.lock)
    with kept(run, SLEEP) as at_work:
        assert lock_state(run.lock) is LockState.UNKNOWN
        assert is_held(run.lock)
        with pytest.raises(RunBusy):
            RunLock.acquire(run.lock)
        os.kill(at_work.engine, signal.SIGKILL)
        at_work.ended()
        assert not is_held(run.lock)
        RunLock.acquire(run.lock).close()


@pytest.mark.usefixtures("no_flock")
def test_without_flock_a_start_that_is_under_way_counts_for_a_while(tmp_path: Path) -> None:
    run = bare_run(tmp_path)
    run.lock.touch()
    attempt = begin_attempt(run)
    assert is_held(run.lock)
    os.utime(attempt.path, (0, 0))
    assert not is_held(run.lock)


def test_a_lock_that_cannot_be_opened_is_an_error_for_a_person(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be opened"):
        RunLock.acquire(tmp_path / "missing" / "run.lock")
    (tmp_path / "run.lock").mkdir()
    with pytest.raises(RunError, match="cannot be opened"):
        RunLock.acquire(tmp_path / "run.lock")


def test_an_end_that_is_recorded_frees_the_lock_soon(tmp_path: Path) -> None:
    with kept(bare_run(tmp_path), ("/bin/true",)) as run:
        run.ended()
        until(lambda: not is_held(run.run.lock))
