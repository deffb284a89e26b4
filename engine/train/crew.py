"""The other processes of a training on several devices: started, watched and ended by the engine, which is rank 0 of them.

Only rank 0 is known to the keeper, looks at commands and writes files. The others hold the run's lock with it, die with it,
and whatever ends one of them ends the run, in words. What they exchange is ``exchange.py``'s business. Torch-free, so that
all of them load their libraries at the same time.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import engine
from engine.errors import UserError
from engine.run.layout import RunDirectory

PR_SET_PDEATHSIG: Final = 1
NOTICE_SECONDS: Final = 5.0
END_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Place:
    """One process's place among those that train a run together."""

    rank: int
    count: int
    meeting: Path
    """The file at which they find each other (torch's FileStore), in a folder only its owner may enter."""


class ProcessLostError(UserError):
    """One of the processes that train together has ended, and with it the run."""


class Crew:
    """Ranks 1 to N - 1 of a run, seen from rank 0."""

    def __init__(self, count: int, on_lost: Callable[[ProcessLostError], None]) -> None:
        """Nobody is started yet. on_lost: called from a thread if rank 0 has not noticed a loss by itself in time."""
        self._folder = Path(tempfile.mkdtemp(prefix="sdxl-tui-"))
        self.place = Place(0, count, self._folder / "meeting")
        self._processes: list[subprocess.Popen[bytes]] = []
        self._watchers: list[threading.Thread] = []
        self._on_lost = on_lost
        self._lost: ProcessLostError | None = None
        self._loss_is_known = threading.Event()
        self._noticed = threading.Event()
        self._mutex = threading.Lock()

    def start(self, run: RunDirectory, attempt: int, checkpoint: str | None, lock: int) -> None:
        """Start them all; they wait for rank 0 at the meeting."""
        for rank in range(1, self.place.count):
            command = [sys.executable, "-P", "-m", "engine", "follow", str(run.path), "--attempt", str(attempt)]
            command += ["--rank", str(rank), "--processes", str(self.place.count)]
            command += ["--meeting", str(self.place.meeting), "--parent", str(os.getpid())]
            command += [] if checkpoint is None else ["--from", checkpoint]
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                env=_environment(),
                pass_fds=(lock,),
            )
            watcher = threading.Thread(target=self._watch, args=(rank, process), name=f"rank {rank}", daemon=True)
            self._processes.append(process)
            self._watchers.append(watcher)
            watcher.start()

    def loss(self) -> ProcessLostError | None:
        """Which process was lost, if one was: asked when rank 0 has failed. Waits a moment for one that just died."""
        self._noticed.set()
        self._loss_is_known.wait(NOTICE_SECONDS)
        return self._lost

    def close(self) -> None:
        """End those that have not ended by themselves within ten seconds, at once if rank 0 has failed."""
        was_lost = self._noticed.is_set()
        self._noticed.set()
        for process in self._processes:
            if not was_lost:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(END_SECONDS)
            process.kill()
        for watcher in self._watchers:
            watcher.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def abandon(self) -> None:
        """Rank 0 has failed or is not going to train: nobody is to be waited for."""
        self._noticed.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.abandon()
        self.close()

    def _watch(self, rank: int, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        said = process.stdout.read()  # until it ends
        code = process.wait()
        if code == 0:
            return
        error = _lost(rank, self.place.count, code, said)
        with self._mutex:
            self._lost = self._lost or error
        self._loss_is_known.set()
        # A broken connection is an error in rank 0, which then asks. One that waits for a card notices nothing.
        if not self._noticed.wait(NOTICE_SECONDS):
            shutil.rmtree(self._folder, ignore_errors=True)  # nobody comes back to close
            self._on_lost(error)


def _lost(rank: int, count: int, code: int, said: bytes) -> ProcessLostError:
    who = f"process {rank + 1} of {count}"
    record: dict[str, Any] = {}
    with contextlib.suppress(ValueError, IndexError):
        record = json.loads(said.decode(errors="replace").strip().splitlines()[-1])
    if isinstance(record, dict) and isinstance(record.get("what"), str):
        return ProcessLostError(f"{who}: {record['what']}", where=record.get("where"), hint=record.get("hint"))
    if code < 0:
        with contextlib.suppress(ValueError):
            how = f"was killed by {signal.Signals(-code).name}"
            hint = "Out of memory is the usual reason for SIGKILL; dmesg tells. Resume from the last checkpoint."
            return ProcessLostError(f"{who} {how}", where="launch.processes", hint=hint)
    return ProcessLostError(
        f"{who} ended with exit code {code}", where="launch.processes", hint="The log has the details."
    )


def _environment() -> dict[str, str]:
    """The environment of this process, with a search path on which ``-P`` finds this very ``engine`` package."""
    package = str(Path(engine.__file__).resolve().parent.parent)
    entries = [str(Path(entry).absolute()) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    if package not in entries:
        entries.append(package)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(entries)}


def die_with(parent: int) -> None:
    """Have the kernel kill this process when ``parent`` ends; end at once if it has ended already."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
