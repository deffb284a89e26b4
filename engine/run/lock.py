"""``run.lock``: held, by ``flock``, for as long as anything of a run is alive.

The lock belongs to the open file, not to a process: launcher, keeper and engine share one, and the kernel lets go when the
last of them is gone, however it ended. Where a file system has no ``flock``, the pids of the newest attempt stand in.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from engine.run.errors import RunBusy, RunError
from engine.run.layout import RunDirectory
from engine.run.process import any_running
from engine.run.records import ExitRecord, ProcessRecord

UNSUPPORTED: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})
PROBE_SECONDS: Final = 0.1
STARTING_SECONDS: Final = 30.0


class LockState(StrEnum):
    """What a look at a lock found."""

    HELD = "held"
    FREE = "free"
    UNKNOWN = "unknown"
    """The file system has no ``flock``, or the lock file cannot be opened."""


def lock_state(path: Path) -> LockState:
    """Whether anyone holds the lock at ``path``; a missing file is free.

    The look takes a shared lock for a moment. ``RunLock.acquire`` waits such moments out, so looking never costs
    anyone a start.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return LockState.FREE
    except OSError:
        return LockState.UNKNOWN
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    except BlockingIOError:
        return LockState.HELD
    except OSError:
        return LockState.UNKNOWN
    finally:
        os.close(descriptor)
    return LockState.FREE


def is_held(path: Path) -> bool:
    """Whether anything of the run whose lock is at ``path`` is alive on this machine."""
    state = lock_state(path)
    return _alive_by_pid(RunDirectory(path.parent)) if state is LockState.UNKNOWN else state is LockState.HELD


def holders(path: Path) -> list[int]:
    """The pids of the processes that hold the lock at ``path``, as far as they may be looked into (``/proc/PID/fdinfo``)."""
    try:
        wanted = path.stat()
    except OSError:
        return []
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _holds(entry, wanted)]


def _holds(process: Path, lock: os.stat_result) -> bool:
    try:
        for descriptor in (process / "fd").iterdir():
            # Whoever only looks at the lock has the file open too, but not locked for writing.
            if os.path.samestat(descriptor.stat(), lock):
                known = (process / "fdinfo" / descriptor.name).read_text(encoding="ascii", errors="replace")
                return any("FLOCK" in line and "WRITE" in line for line in known.splitlines())
    except OSError:
        return False  # gone meanwhile, or another user's
    return False


class RunLock:
    """The lock on a run, taken. Closing the last descriptor of it lets go; ``close`` closes ours."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self.path = path

    @classmethod
    def acquire(cls, path: Path) -> Self:
        """Take the lock at ``path`` (the file is made if need be).

        Raises ``RunBusy``, naming who, if the run is alive; ``RunError`` if the lock file cannot be opened.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise RunError(f"the lock cannot be opened: {error.strerror}", where=str(path)) from error
        try:
            _take(descriptor, path)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor, path)

    @classmethod
    def adopt(cls, descriptor: int, path: Path) -> Self:
        """The lock as inherited from the keeper. It is not passed on to programs that this process starts.

        Raises ``RunError`` if ``descriptor`` is not the file at ``path``, ``RunBusy`` if someone else holds it.
        """
        try:
            if not os.path.samestat(os.fstat(descriptor), path.stat()):
                raise RunError(f"descriptor {descriptor} is not this run's lock", where=str(path))
        except OSError as error:
            raise RunError(f"descriptor {descriptor} is not this run's lock", where=str(path)) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise _busy(path) from error
        os.set_inheritable(descriptor, False)
        return cls(descriptor, path)

    def fileno(self) -> int:
        """The descriptor that holds the lock."""
        return self._descriptor

    def close(self) -> None:
        """Let go, unless another process has inherited the lock and still lives."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _take(descriptor: int, path: Path) -> None:
    deadline = time.monotonic() + PROBE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                raise _busy(path) from error
            time.sleep(PROBE_SECONDS / 20)
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise RunError(f"the lock cannot be taken: {error.strerror}", where=str(path)) from error
            if _alive_by_pid(RunDirectory(path.parent)):
                raise _busy(path) from error
            return
        else:
            return


def _busy(path: Path) -> RunBusy:
    run = RunDirectory(path.parent)
    attempts = run.existing_attempts()
    process = ProcessRecord.read(attempts[-1].process) if attempts else None
    who = "" if process is None else f" (engine pid {process.engine_pid} on {process.host})"
    return RunBusy(
        f"this run is already running{who}",
        where=run.id,
        hint=f"Stop it first: sdxl-tui stop {run.id}",
    )


def _alive_by_pid(run: RunDirectory) -> bool:
    """Without a lock to ask: the newest attempt has no end yet, and its processes run or are about to."""
    try:
        attempts = run.existing_attempts()
    except OSError:
        return False  # not ours to look into: nothing can be said
    if not attempts or ExitRecord.read(attempts[-1].exit) is not None:
        return False
    process = ProcessRecord.read(attempts[-1].process)
    if process is not None:
        return any_running(process)
    try:
        return time.time() - attempts[-1].path.stat().st_mtime < STARTING_SECONDS
    except OSError:
        return False
