"""A real keeper with a stand-in engine, for the tests of this folder: any program, in a run folder of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from engine.run import keeper
from engine.run.attempt import begin_attempt
from engine.run.keeper import process_stat
from engine.run.layout import AttemptDirectory, RunDirectory
from engine.run.lock import RunLock, holders
from engine.run.records import ExitRecord, ProcessRecord

SLEEP = ("/bin/sleep", "60")


def bare_run(folder: Path, run_id: str = "demo-20261124-101500") -> RunDirectory:
    """A run folder with nothing in it."""
    run = RunDirectory(folder / "runs" / run_id)
    run.path.mkdir(parents=True)
    return run


def python(program: str) -> tuple[str, ...]:
    """The argv of a small Python program that starts fast."""
    return (sys.executable, "-I", "-S", "-c", program)


def until(holds: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for a condition; fail if it does not come."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def is_gone(pid: int | None) -> bool:
    """No process with this pid is alive (a zombie is not)."""
    found = None if pid is None else process_stat(pid)
    return found is None or found.state in "ZX"


def changed_keeper(folder: Path, changes: dict[str, str]) -> str:
    """The path of a copy of the keeper with some of its text replaced."""
    source = Path(keeper.__file__).read_text(encoding="utf-8")
    for old, new in changes.items():
        assert source.count(old) == 1
        source = source.replace(old, new)
    copy = folder / "keeper.py"
    copy.write_text(source, encoding="utf-8")
    return str(copy)


class Kept:
    """A keeper at work, and the records of its attempt."""

    def __init__(self, run: RunDirectory, attempt: AttemptDirectory, process: subprocess.Popen[bytes]) -> None:
        self.run, self.attempt, self.keeper = run, attempt, process

    @property
    def process(self) -> ProcessRecord:
        """Who was started."""
        record = ProcessRecord.read(self.attempt.process)
        assert record is not None
        return record

    @property
    def engine(self) -> int:
        """The stand-in's pid."""
        assert self.process.engine_pid is not None
        return self.process.engine_pid

    def ended(self) -> ExitRecord:
        """How it ended, once the keeper is gone."""
        assert self.keeper.wait(20) == 0
        record = ExitRecord.read(self.attempt.exit)
        assert record is not None
        return record


@contextlib.contextmanager
def kept(run: RunDirectory, argv: Sequence[str], tell: Sequence[str] = ()) -> Iterator[Kept]:
    """Start ``argv`` under a keeper as the manager does; nothing of it is left when the test is over."""
    telling = ("--tell", *tell) if tell else ()
    with RunLock.acquire(run.lock) as lock:
        attempt = begin_attempt(run)
        with attempt.log.open("ab") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", keeper.__file__),
                    *(str(run.path), str(attempt.number), str(lock.fileno()), *telling, "--", *argv),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(lock.fileno(),),
            )
    try:
        until(lambda: attempt.process.exists() or process.poll() is not None)
        yield Kept(run, attempt, process)
    finally:
        for pid in [*holders(run.lock), *keeper.session_members(process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.kill()
        process.wait()
