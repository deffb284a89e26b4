"""The keeper: the small process that starts a run's engine, holds its lock, waits, and records how it ended.

Only a parent learns an exit status, and the manager may be gone by then. Run as ``python -I -S keeper.py RUN_DIR ATTEMPT
LOCK_FD [THEN...] [--tell TELL...] -- [NAME=VALUE...] ARGV...`` in its own session, standard library only, with its output
going to the attempt's ``engine.log``. THEN is the command it becomes once everything of the attempt is gone (with it the queue
goes on). TELL is run with the run's id and a word more when something happens that a person may want to hear of, for nobody
else is there for certain. NAME=VALUE is set for the engine alone.

The readings of ``/proc`` that tell a process from its successor under the same pid live here, because nothing outside the
standard library can be imported; ``process.py`` builds on them. Formats: docs/files.md.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import json
import os
import re
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

FORMAT = 1
EXIT_RECORD_BYTES = 4096
LEFTOVER_SECONDS = 10.0
OOM_SAMPLE_SECONDS = 5.0
ENGINE_OOM_SCORE = 300
PR_SET_CHILD_SUBREAPER = 36
TELL = "--tell"
NEWS_BYTES = 1 << 20
NEWS = {b'"event":"sampled"': "first-sample", b'"event":"nonfinite"': "nan"}
"""What stands in a line of ``events.jsonl``, and the word for it; told once per attempt."""
ENDED = "ended"
"""The word for an attempt of which nothing is left."""
_SETTING = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*=")


class ProcessStat(NamedTuple):
    """Of ``/proc/PID/stat``: state letter, parent, process group, session, start in clock ticks since boot."""

    state: str
    parent: int
    group: int
    session: int
    start: int


def process_stat(pid: int | str) -> ProcessStat | None:
    """What ``/proc/PID/stat`` says, or None if there is no such process (or no ``/proc``)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name (field 2) may hold spaces and brackets; what follows its last bracket starts at field 3.
    fields = text[text.rfind(b")") + 2 :].split()
    return ProcessStat(fields[0].decode(), int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]))


def boot_id() -> str:
    """The kernel's random id of this boot (the host's, also inside a container); empty where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def pid_namespace() -> str:
    """The name of the pid namespace this process lives in, ``pid:[4026531836]``; empty where there is none."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def start_of(pid: int | None) -> int | None:
    """When ``pid`` started, in clock ticks since boot; None if it is not there."""
    found = None if pid is None else process_stat(pid)
    return found.start if found else None


def process_record(
    engine: int | None, keeper: int | None, argv: Sequence[str], resumed_from: str | None
) -> dict[str, Any]:
    """The content of ``process.json`` for processes that were just started on this machine."""
    return {
        "format": FORMAT,
        "keeper_pid": keeper,
        "keeper_start": start_of(keeper),
        "engine_pid": engine,
        "engine_start": start_of(engine),
        "boot_id": boot_id(),
        "pid_namespace": pid_namespace(),
        "init_start": start_of(1),
        "host": socket.gethostname(),
        "began": time.time(),
        "argv": list(argv),
        "resumed_from": resumed_from,
    }


def reserve_exit_record(path: Path) -> int:
    """A descriptor of ``exit.json``, filled with blanks: overwriting them needs no space on a disk that is full by then."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        if os.fstat(descriptor).st_size < EXIT_RECORD_BYTES:
            os.pwrite(descriptor, b" " * EXIT_RECORD_BYTES, 0)
            os.fsync(descriptor)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def write_exit_record(
    descriptor: int,
    *,
    cause: str,
    code: int | None = None,
    killed_by: int | None = None,
    message: str = "",
    max_rss_kb: int | None = None,
) -> None:
    """Overwrite the reserved ``exit.json`` in place and sync it."""
    record = {
        "format": FORMAT,
        "code": code,
        "signal": killed_by,
        "cause": cause,
        "message": message[:1000],
        "max_rss_kb": max_rss_kb,
        "ended": time.time(),
    }
    os.pwrite(descriptor, json.dumps(record).encode().ljust(EXIT_RECORD_BYTES - 1) + b"\n", 0)
    os.fsync(descriptor)


def oom_kills() -> int:
    """How many processes were killed for memory so far: in this cgroup if it counts them, else on the machine."""
    counts = (_oom_count(path) for path in _oom_counters())
    return next((count for count in counts if count is not None), 0)


def _oom_counters() -> list[Path]:
    """Files with an ``oom_kill`` line, nearest first: cgroup v2, cgroup v1, the whole machine."""
    root = Path("/sys/fs/cgroup")
    counters = []
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines():
            number, controllers, path = line.split(":", 2)
            below = path.lstrip("/")
            if number == "0":
                counters += [root / below / "memory.events", root / "memory.events"]
            elif "memory" in controllers.split(","):
                counters += [root / "memory" / below / "memory.oom_control", root / "memory" / "memory.oom_control"]
    return [*counters, Path("/proc/vmstat")]


def _oom_count(path: Path) -> int | None:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return None
    counts = (int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return next(counts, None)


class StartError(OSError):
    """The engine could not be started, or not be recorded."""


class Messenger:
    """Runs ``command`` with the run's id and a word; never waits for it and never fails."""

    def __init__(self, run: Path, command: Sequence[str]) -> None:
        self._run, self._command = run, list(command)
        self._events = run / "events.jsonl"
        self._told: set[str] = set()
        self._offset = 0
        with contextlib.suppress(OSError):
            self._offset = self._events.stat().st_size

    def look(self) -> None:
        """Tell what the engine has written since the last look."""
        if not self._command or len(self._told) == len(NEWS):
            return
        for line in self._new_lines().splitlines():
            for mark, word in NEWS.items():
                if mark in line and word not in self._told:
                    self._told.add(word)
                    self.tell(word)

    def _new_lines(self) -> bytes:
        """Whole lines only; of a line that is longer than any event nothing."""
        try:
            with self._events.open("rb") as file:
                file.seek(self._offset)
                found = file.read(NEWS_BYTES)
        except OSError:
            return b""
        whole = found.rfind(b"\n") + 1 or (len(found) if len(found) == NEWS_BYTES else 0)
        self._offset += whole
        return found[:whole]

    def tell(self, word: str) -> None:
        """Start the command in a session of its own, without a lock and with its words going nowhere."""
        if not self._command:
            return
        with contextlib.suppress(OSError):
            if os.fork() == 0:
                try:
                    os.setsid()
                    nowhere = os.open(os.devnull, os.O_RDWR)
                    for descriptor in range(3):
                        os.dup2(nowhere, descriptor)
                    become([*self._command, self._run.name, word])
                finally:
                    os._exit(127)


class Keeper:
    """Starts the engine of one attempt and stays until it and what it left behind are gone."""

    def __init__(self, run: Path, attempt: Path, lock: int, words: Sequence[str], messenger: Messenger) -> None:
        self._messenger = messenger
        settings = list(itertools.takewhile(_SETTING.match, words))
        self.run, self.attempt, self.lock, self.argv = run, attempt, lock, list(words[len(settings) :])
        self.environment = {name: value for name, _, value in (word.partition("=") for word in settings)}
        self._engine: int | None = None
        self._asked: int | None = None
        self._wakeup, write_end = os.pipe()
        for descriptor in (self._wakeup, write_end):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for asked in (signal.SIGTERM, signal.SIGINT):
            signal.signal(asked, self._forward)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])

    def _forward(self, number: int, _frame: object) -> None:
        """Pass a stop request on; one that comes before there is an engine is passed on once there is."""
        self._asked = number
        if self._engine is not None:
            with contextlib.suppress(ProcessLookupError):
                send_signal(self._engine, number)

    def keep(self) -> bool:
        """Run the engine to its end and record it; False if it could not be started."""
        exit_record = reserve_exit_record(self.attempt / "exit.json")
        with contextlib.suppress(OSError, AttributeError):
            # Orphans of the engine become our children, so that they can be waited for.
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        try:
            engine = self._start()
        except StartError as error:
            message = f"{error.strerror}: {error.filename} (errno {error.errno})"
            write_exit_record(exit_record, cause="exec_failed", message=message)
            return False
        status, peak, out_of_memory = self._wait(engine, exit_record)
        if os.WIFSIGNALED(status):
            cause = "out_of_memory" if out_of_memory else "killed"
            write_exit_record(exit_record, cause=cause, killed_by=os.WTERMSIG(status), max_rss_kb=peak)
        else:
            write_exit_record(exit_record, cause="exited", code=os.WEXITSTATUS(status), max_rss_kb=peak)
        self._end_leftovers()
        return True

    def _start(self) -> int:
        """Fork, exec and record the engine; its pid."""
        report, report_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._become_engine(report_end)
        os.close(report_end)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        # A successful exec closes the other end: then there is nothing to read.
        failure = os.read(report, 16)
        os.close(report)
        if failure:
            os.waitpid(pid, 0)
            raise StartError(int(failure), os.strerror(int(failure)), self.argv[0])
        try:
            self._record_process(pid)
        except OSError as error:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise StartError(error.errno, error.strerror, error.filename or "process.json") from error
        self._engine = pid
        if self._asked is not None:
            os.kill(pid, self._asked)
        return pid

    def _become_engine(self, report: int) -> NoReturn:
        """In the child: default signals (but no hang-up), own process group, the lock, then the engine's program."""
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            os.setpgid(0, 0)
            os.chdir(self.run)
            os.set_inheritable(self.lock, True)
            _offer_to_oom_killer()
            os.execvpe(self.argv[0], self.argv, {**os.environ, **self.environment})
        except OSError as error:
            os.write(report, str(error.errno or errno.EIO).encode())
        finally:
            os._exit(127)

    def _record_process(self, engine: int) -> None:
        resumed_from = self.argv[self.argv.index("--from") + 1] if "--from" in self.argv[:-1] else None
        record = process_record(engine, os.getpid(), self.argv, resumed_from)
        path, beside = self.attempt / "process.json", self.attempt / f".process.json.{os.getpid()}.tmp"
        with beside.open("w", encoding="utf-8") as file:
            json.dump(record, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        folder = os.open(self.attempt, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(folder)
        os.close(folder)

    def _wait(self, engine: int, exit_record: int) -> tuple[int, int, bool]:
        """The engine's wait status, its peak memory in KiB, and whether it was killed for memory.

        The counters are sampled while waiting, so that a kill for memory hours ago is not taken for the cause. The record
        to come is touched: on another machine that shares the disk nothing else tells that we are here.
        """
        before = latest = oom_kills()
        while True:
            pid, status, peak = self._reap(OOM_SAMPLE_SECONDS)
            if pid != engine:  # what happened just before the end is told with the end
                self._messenger.look()
            if pid == engine:
                self._engine = None
                killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
                return status, peak, killed and oom_kills() > before
            if pid == 0:
                before, latest = latest, oom_kills()
                with contextlib.suppress(OSError):
                    os.utime(exit_record)

    def _reap(self, seconds: float) -> tuple[int, int, int]:
        """The next child that ends within ``seconds`` as (pid, wait status, peak KiB); pid 0 if none does.

        Raises ``ChildProcessError`` when there is no child.
        """
        deadline = time.monotonic() + seconds
        while True:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            remaining = deadline - time.monotonic()
            if pid or remaining <= 0:
                return pid, status, usage.ru_maxrss
            if select.select([self._wakeup], [], [], remaining)[0]:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wakeup, 4096)

    def _end_leftovers(self) -> None:
        """Give what the engine left behind ten seconds to end by itself, then kill what is still in our session.

        What made a session of its own is not ours to kill: it keeps the lock if it holds it, and the run shows it.
        """
        deadline = time.monotonic() + LEFTOVER_SECONDS
        while time.monotonic() < deadline:
            try:
                self._reap(0.1)
            except ChildProcessError:
                if not session_members(os.getpid()):
                    return
                time.sleep(0.1)
        for pid in session_members(os.getpid()):
            with contextlib.suppress(OSError):
                send_signal(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while self._reap(0.5)[0]:
                pass


def session_members(leader: int) -> list[int]:
    """The living processes of the session of ``leader``, without it. No other session has this id while it lives."""
    with os.scandir("/proc") as entries:
        pids = [int(entry.name) for entry in entries if entry.name.isdecimal()]
    stats = ((pid, process_stat(pid)) for pid in pids if pid != leader)
    return [pid for pid, found in stats if found and found.session == leader and found.state not in "ZX"]


def send_signal(pid: int, number: int, start: int | None = None) -> None:
    """Signal ``pid``; with ``start``, only if it is the process that started then.

    The pidfd is opened before the check, so that the pid cannot pass to another process in between. Raises
    ``ProcessLookupError`` when that process is gone, ``PermissionError`` when it is somebody else's.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError) as error:
        if isinstance(error, ProcessLookupError):
            raise
        descriptor = None  # no pidfd here (old kernel, strict sandbox)
    try:
        if start is not None and start_of(pid) != start:
            raise ProcessLookupError(errno.ESRCH, "the pid belongs to another process", str(pid))
        if descriptor is None:
            os.kill(pid, number)
        else:
            signal.pidfd_send_signal(descriptor, number)
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _offer_to_oom_killer() -> None:
    """Raise this process's OOM score, so that neither sshd nor the keeper is killed for the engine's memory."""
    path = Path("/proc/self/oom_score_adj")
    with contextlib.suppress(OSError, ValueError):
        path.write_text(str(max(ENGINE_OOM_SCORE, int(path.read_text(encoding="ascii")))), encoding="ascii")


def become(command: Sequence[str]) -> None:
    """Go on as ``command``, with every lock let go. Returns if there is no such program."""
    os.chdir("/")
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    for descriptor in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        with contextlib.suppress(OSError):
            if descriptor > 2:
                os.close(descriptor)
    with contextlib.suppress(OSError):
        os.execvp(command[0], list(command))


def main(arguments: Sequence[str]) -> int:
    """``RUN_DIR ATTEMPT LOCK_FD [THEN...] [--tell TELL...] -- [NAME=VALUE...] ARGV...``"""
    own = list(itertools.takewhile(lambda word: word != "--", arguments))
    argv = arguments[len(own) + 1 :]
    if len(own) < 3 or not argv:
        usage = "RUN_DIR ATTEMPT LOCK_FD [THEN...] [--tell TELL...] -- [NAME=VALUE...] ARGV..."
        print(f"usage: keeper.py {usage}", file=sys.stderr)
        return 2
    then = list(itertools.takewhile(lambda word: word != TELL, own[3:]))
    folder, messenger = Path(own[0]).absolute(), Messenger(Path(own[0]).absolute(), own[3 + len(then) + 1 :])
    keeper = Keeper(folder, folder / "attempts" / f"{int(own[1]):03d}", int(own[2]), argv, messenger)
    if keeper.keep():
        messenger.tell(ENDED)
        if then:
            become(then)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
