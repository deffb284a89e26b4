"""A recorded process is known again only while boot, container and start time agree, and only then signalled."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from engine.run import keeper
from engine.run.keeper import process_record, process_stat, send_signal, start_of
from engine.run.process import Place, any_running, is_running, is_suspended, place_of, signal_process
from engine.run.records import ProcessRecord
from tests.engine.run.kept_process import SLEEP


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(SLEEP)
    yield process
    process.kill()
    process.wait()


def record_of(pid: int) -> ProcessRecord:
    stored = process_record(pid, None, SLEEP, None)
    fields = {key: value for key, value in stored.items() if key != "format"}
    return ProcessRecord(**{**fields, "argv": tuple(stored["argv"])})


def test_a_process_is_running_until_it_ends_and_a_zombie_is_not(sleeper: subprocess.Popen[bytes]) -> None:
    start = start_of(sleeper.pid)
    assert is_running(sleeper.pid, start)
    sleeper.kill()
    while process_stat(sleeper.pid).state != "Z":  # type: ignore[union-attr]
        time.sleep(0.001)
    assert not is_running(sleeper.pid, start)


def test_a_pid_that_passed_to_another_process_is_neither_running_nor_signalled(
    sleeper: subprocess.Popen[bytes],
) -> None:
    start = start_of(sleeper.pid)
    assert start is not None
    assert not is_running(sleeper.pid, start - 1)
    assert not signal_process(sleeper.pid, start - 1, signal.SIGKILL)
    assert not signal_process(sleeper.pid, None, signal.SIGKILL)
    assert is_running(sleeper.pid, start)
    assert signal_process(sleeper.pid, start, signal.SIGKILL)
    assert sleeper.wait(5) == -signal.SIGKILL
    assert not signal_process(sleeper.pid, start, signal.SIGKILL)


def test_signals_work_where_the_kernel_has_no_pidfd(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_pid: int) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "pidfd_open", refused)
    start = start_of(sleeper.pid)
    assert start is not None
    with pytest.raises(ProcessLookupError):
        send_signal(sleeper.pid, signal.SIGKILL, start + 1)
    send_signal(sleeper.pid, signal.SIGKILL, start)
    assert sleeper.wait(5) == -signal.SIGKILL


def test_a_suspended_process_is_seen(sleeper: subprocess.Popen[bytes]) -> None:
    start = start_of(sleeper.pid)
    assert not is_suspended(sleeper.pid, start)
    sleeper.send_signal(signal.SIGSTOP)
    while not is_suspended(sleeper.pid, start):
        time.sleep(0.001)
    assert is_running(sleeper.pid, start)


def test_places_are_told_apart(sleeper: subprocess.Popen[bytes]) -> None:
    here = record_of(sleeper.pid)
    assert here.init_start is not None
    assert place_of(here) is Place.HERE
    assert place_of(replace(here, boot_id="another")) is Place.BEFORE_REBOOT
    assert place_of(replace(here, pid_namespace="pid:[1]")) is Place.OTHER_CONTAINER
    assert place_of(replace(here, init_start=here.init_start + 1)) is Place.OTHER_CONTAINER
    assert place_of(replace(here, boot_id="another", host="elsewhere")) is Place.OTHER_HOST
    assert place_of(replace(here, pid_namespace="pid:[1]", host="elsewhere")) is Place.OTHER_HOST
    assert place_of(replace(here, host="renamed meanwhile")) is Place.HERE


def test_only_processes_from_here_are_running(sleeper: subprocess.Popen[bytes]) -> None:
    here = record_of(sleeper.pid)
    assert any_running(here)
    assert any_running(replace(here, engine_pid=None, keeper_pid=here.engine_pid, keeper_start=here.engine_start))
    assert not any_running(replace(here, boot_id="another"))
    assert not any_running(replace(here, engine_pid=None))


def test_a_name_with_brackets_and_spaces_does_not_confuse_the_reading() -> None:
    program = "import sys, time; open('/proc/self/comm', 'w').write('a) R 1 (b'); print(flush=True); time.sleep(60)"
    with subprocess.Popen([*("python3", "-I", "-S", "-c"), program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = process_stat(process.pid)
        process.kill()
    assert found is not None
    assert found.parent == os.getpid()
    assert found.state in "RS"


def test_a_session_lists_its_members_without_the_leader() -> None:
    with subprocess.Popen(
        ["/bin/sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE, start_new_session=True
    ) as leader:
        assert leader.stdout is not None
        worker = int(leader.stdout.readline())
        assert keeper.session_members(leader.pid) == [worker]
        os.kill(worker, signal.SIGKILL)
        leader.kill()
