"""The keeper with real processes: it records every kind of end, passes signals on, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.run import keeper
from engine.run.lock import LockState, lock_state
from engine.run.process import is_suspended
from tests.engine.run.kept_process import SLEEP, bare_run, changed_keeper, is_gone, kept, python, until


@pytest.mark.parametrize("code", [0, 1, 2, 137, 255])
def test_an_exit_code_is_recorded(tmp_path: Path, code: int) -> None:
    with kept(bare_run(tmp_path), ("/bin/sh", "-c", f"exit {code}")) as run:
        record = run.ended()
    assert (record.cause, record.code, record.signal) == ("exited", code, None)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM])
def test_a_fatal_signal_is_told_from_an_exit_code(tmp_path: Path, number: signal.Signals) -> None:
    with kept(bare_run(tmp_path), SLEEP) as run:
        os.kill(run.engine, number)
        record = run.ended()
    assert (record.cause, record.code, record.signal) == ("killed", None, number)


def test_the_end_record_has_its_place_from_the_start_and_is_written_into_it(tmp_path: Path) -> None:
    with kept(bare_run(tmp_path), SLEEP) as run:
        before = run.attempt.exit.stat()
        assert (before.st_size, run.attempt.exit.read_text().strip()) == (keeper.EXIT_RECORD_BYTES, "")
        os.kill(run.engine, signal.SIGKILL)
        record = run.ended()
        after = run.attempt.exit.stat()
    assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size)
    assert record.max_rss_kb is not None and record.max_rss_kb > 100
    assert abs(record.ended - time.time()) < 30


@pytest.mark.parametrize(
    ("program", "error"),
    [("/nowhere/python", "No such file or directory: /nowhere/python (errno 2)"), ("/etc", "(errno 13)")],
)
def test_a_program_that_cannot_be_run_is_reported_with_reason_and_path(
    tmp_path: Path, program: str, error: str
) -> None:
    with kept(bare_run(tmp_path), (program,)) as run:
        record = run.ended()
        assert not run.attempt.process.exists()
    assert record.cause == "exec_failed"
    assert error in record.message


def test_the_process_record_names_this_machine_and_both_processes(tmp_path: Path) -> None:
    with kept(bare_run(tmp_path), SLEEP) as run:
        record = run.process
        assert record.keeper_pid == run.keeper.pid
        assert record.keeper_start == keeper.start_of(run.keeper.pid)
        assert record.engine_start == keeper.start_of(record.engine_pid)
        assert record.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        assert record.argv == SLEEP
        assert record.resumed_from is None


def test_the_checkpoint_that_the_engine_resumes_from_is_recorded(tmp_path: Path) -> None:
    with kept(bare_run(tmp_path), (*python("import time; time.sleep(60)"), "--from", "step-00000020")) as run:
        assert run.process.resumed_from == "step-00000020"


def test_the_engine_has_its_own_group_in_the_keepers_session_and_the_runs_folder(tmp_path: Path) -> None:
    with kept(bare_run(tmp_path), SLEEP) as run:
        found = keeper.process_stat(run.engine)
        assert found is not None
        assert (found.parent, found.group, found.session) == (run.keeper.pid, run.engine, run.keeper.pid)
        assert Path(f"/proc/{run.engine}/cwd").readlink() == run.run.path
        assert Path(f"/proc/{run.engine}/fd/0").readlink() == Path("/dev/null")
        assert Path(f"/proc/{run.engine}/fd/1").readlink() == run.attempt.log
        assert int(Path(f"/proc/{run.engine}/oom_score_adj").read_text()) == keeper.ENGINE_OOM_SCORE
        assert int(Path(f"/proc/{run.keeper.pid}/oom_score_adj").read_text()) < keeper.ENGINE_OOM_SCORE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_to_the_keeper_reaches_the_engine(tmp_path: Path, number: signal.Signals) -> None:
    program = python(
        "import signal, sys, time\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(7))\n"
        "open('ready', 'w').close()\n"
        "time.sleep(60)"
    )
    with kept(bare_run(tmp_path), program) as run:
        until((run.run.path / "ready").exists)
        os.kill(run.keeper.pid, number)
        assert run.ended().code == 7


def test_a_hang_up_ends_neither_keeper_nor_engine(tmp_path: Path) -> None:
    with kept(bare_run(tmp_path), SLEEP) as run:
        os.kill(run.engine, signal.SIGHUP)
        os.kill(run.keeper.pid, signal.SIGHUP)
        time.sleep(0.1)
        assert not is_gone(run.engine)
        assert run.keeper.poll() is None


def test_without_its_keeper_the_engine_goes_on_and_holds_the_lock(tmp_path: Path) -> None:
    with kept(bare_run(tmp_path), SLEEP) as run:
        run.keeper.kill()
        run.keeper.wait()
        time.sleep(0.05)
        assert not is_gone(run.engine)
        assert lock_state(run.run.lock) is LockState.HELD
        os.kill(run.engine, signal.SIGKILL)
        until(lambda: lock_state(run.run.lock) is LockState.FREE)


def test_workers_that_outlive_the_engine_are_given_time_then_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = changed_keeper(tmp_path, {"LEFTOVER_SECONDS = 10.0": "LEFTOVER_SECONDS = 0.6"})
    monkeypatch.setattr(keeper, "__file__", hasty)
    program = ("/bin/sh", "-c", "sleep 0.2 & sleep 60 & echo $! > worker; exit 3")
    with kept(bare_run(tmp_path), program) as run:
        until(lambda: run.attempt.exit.read_text().strip())
        worker = int((run.run.path / "worker").read_text())
        assert not is_gone(worker), "the end is recorded before the workers are dealt with"
        assert lock_state(run.run.lock) is LockState.HELD
        assert run.ended().code == 3
        assert is_gone(worker)
        assert lock_state(run.run.lock) is LockState.FREE


def test_workers_that_end_by_themselves_do_not_hold_the_keeper_up(tmp_path: Path) -> None:
    with kept(bare_run(tmp_path), ("/bin/sh", "-c", "sleep 0.3 & exit 0")) as run:
        begun = time.monotonic()
        run.ended()
        assert 0.1 < time.monotonic() - begun < 5


def test_a_suspended_engine_is_not_taken_for_an_ended_one(tmp_path: Path) -> None:
    with kept(bare_run(tmp_path), SLEEP) as run:
        os.kill(run.engine, signal.SIGSTOP)
        until(lambda: is_suspended(run.engine, run.process.engine_start))
        time.sleep(0.1)
        assert run.keeper.poll() is None
        assert run.attempt.exit.read_text().strip() == ""


def test_the_keeper_needs_nothing_but_the_standard_library_and_little_memory(tmp_path: Path) -> None:
    with kept(bare_run(tmp_path), SLEEP) as run:
        maps = Path(f"/proc/{run.keeper.pid}/maps").read_text()
        resident = int(Path(f"/proc/{run.keeper.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    assert "site-packages" not in maps
    assert resident < 25e6


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-I", "-S", keeper.__file__, str(tmp_path), "1", "0", "sleep", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("usage:")


def test_kills_for_memory_are_read_from_the_nearest_counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = tmp_path / "memory.events"
    events.write_text("low 0\noom 3\noom_kill 2\noom_group_kill 0\n")
    control = tmp_path / "memory.oom_control"
    control.write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n")
    silent = tmp_path / "without"
    silent.write_text("oom_kill_disable 0\n")
    for counters, expected in [
        ([events, control], 2),
        ([tmp_path / "missing", control], 5),
        ([silent, events], 2),
        ([silent], 0),
    ]:
        monkeypatch.setattr(keeper, "_oom_counters", lambda counters=counters: counters)
        assert keeper.oom_kills() == expected


def test_a_sigkill_is_an_out_of_memory_only_if_the_counter_grew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = tmp_path / "memory.events"
    counters = {'return [*counters, Path("/proc/vmstat")]': f"return [Path({str(counter)!r})]"}
    monkeypatch.setattr(keeper, "__file__", changed_keeper(tmp_path, counters))
    for kills, cause in [(4, "killed"), (5, "out_of_memory")]:
        counter.write_text("oom_kill 4\n")
        with kept(bare_run(tmp_path, f"run-{kills}"), SLEEP) as run:
            time.sleep(0.2)
            counter.write_text(f"oom_kill {kills}\n")
            os.kill(run.engine, signal.SIGKILL)
            assert (run.ended().cause, run.ended().signal) == (cause, signal.SIGKILL)


def test_a_kill_for_memory_of_another_program_long_ago_is_not_taken_for_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = tmp_path / "memory.events"
    counter.write_text("oom_kill 4\n")
    changes = {
        'return [*counters, Path("/proc/vmstat")]': f"return [Path({str(counter)!r})]",
        "OOM_SAMPLE_SECONDS = 5.0": "OOM_SAMPLE_SECONDS = 0.1",
    }
    monkeypatch.setattr(keeper, "__file__", changed_keeper(tmp_path, changes))
    with kept(bare_run(tmp_path), SLEEP) as run:
        counter.write_text("oom_kill 5\n")
        time.sleep(1.0)
        os.kill(run.engine, signal.SIGKILL)
        assert run.ended().cause == "killed"


def test_a_keeper_shows_other_machines_that_it_lives_whatever_its_engine_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        keeper, "__file__", changed_keeper(tmp_path, {"OOM_SAMPLE_SECONDS = 5.0": "OOM_SAMPLE_SECONDS = 0.1"})
    )
    with kept(bare_run(tmp_path), SLEEP) as run:
        os.kill(run.engine, signal.SIGSTOP)
        os.utime(run.attempt.exit, (0, 0))
        until(lambda: time.time() - run.attempt.exit.stat().st_mtime < 5)
        os.kill(run.engine, signal.SIGKILL)
        assert run.ended().signal == signal.SIGKILL


def test_an_engine_that_cannot_be_recorded_does_not_run(tmp_path: Path) -> None:
    run = bare_run(tmp_path)
    (run.attempt(1).path / "process.json").mkdir(parents=True)
    (run.attempt(1).path / "process.json" / "in the way").touch()
    lock = os.open(run.lock, os.O_RDWR | os.O_CREAT)
    ticking = python("import time\nwhile True: open('alive', 'a').write('x'); time.sleep(0.01)")
    subprocess.run(
        [sys.executable, "-I", "-S", keeper.__file__, str(run.path), "1", str(lock), "--", *ticking],
        pass_fds=(lock,),
        check=True,
        timeout=20,
    )
    os.close(lock)
    assert json.loads(run.attempt(1).exit.read_text())["cause"] == "exec_failed"
    before = (run.path / "alive").stat().st_size if (run.path / "alive").exists() else 0
    time.sleep(0.1)
    assert ((run.path / "alive").stat().st_size if before else 0) == before
