"""One start of the engine from beginning to end: lock, attempt, checkpoint to start from, training, last word, exit code.

Importing this is cheap and torch-free: signals are heard, and what is wrong with the request is said, before the training
libraries are loaded.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from engine.checkpoint.describe import describe, resume_candidates
from engine.checkpoint.manifest import CheckpointError, verify
from engine.errors import UserError
from engine.profile.load import read_snapshot
from engine.routes.route import Route
from engine.run.attempt import begin_attempt, record_own_exit, record_own_process
from engine.run.commands import CommandBox
from engine.run.errors import RunError
from engine.run.layout import CHECKPOINT_NAME, RunDirectory
from engine.run.lock import RunLock
from engine.run.records import RunRecord
from engine.train.crew import Crew, ProcessLostError
from engine.train.logs import set_up_logging
from engine.train.reporter import Reporter
from engine.train.requests import Requests

log = logging.getLogger(__name__)

OK, DEFECT, USER_ERROR = 0, 1, 2
"""Exit codes."""


@dataclass(frozen=True)
class Start:
    """Where an attempt starts."""

    checkpoint: Path | None
    """None for a fresh start."""
    step: int = 0
    """Steps that are done there."""
    damaged: tuple[str, ...] = ()
    """Newer checkpoints that were passed over, each with the reason."""
    keep_stored: bool = False
    """Whether it was agreed that the checkpoint's values win over edited ones where a resume restores them."""


class RunFinishedError(RunError):
    """There is nothing left to train."""


def run_engine(
    run_path: Path,
    *,
    attempt: int | None,
    lock_fd: int | None,
    from_checkpoint: str | None,
    requests: Requests,
    keep_stored: bool = False,
) -> int:
    """Train the run in ``run_path``; the exit code.

    attempt and lock_fd come from the keeper together; without them the engine is run by hand, takes the lock, begins the
    next attempt and records itself. keep_stored: as in ``Start``. Raises a ``UserError`` for what is wrong before there is an
    attempt to blame.
    """
    run = RunDirectory(run_path.absolute())
    if not run.profile.is_file():
        raise RunError("this is not a run: it has no profile.toml", where=str(run_path))
    if (attempt is None) != (lock_fd is None):
        raise RunError("--attempt and --lock-fd belong together", where=str(run_path))
    if attempt is not None and lock_fd is not None:
        with RunLock.adopt(lock_fd, run.lock):
            set_up_logging()
            return _ended(run, attempt, lambda: _start(run, from_checkpoint, keep_stored), requests, lock_fd)
    with RunLock.acquire(run.lock) as lock:
        start = _start(run, from_checkpoint, keep_stored)
        return _by_hand(run, start, requests, lock.fileno())


def _start(run: RunDirectory, from_checkpoint: str | None, keep_stored: bool) -> Start:
    return replace(choose_start(run, from_checkpoint), keep_stored=keep_stored)


def choose_start(run: RunDirectory, from_checkpoint: str | None) -> Start:
    """The checkpoint to start from: the named one, else the newest whole one on the latest attempt's lineage.

    Compares digests. Raises ``CheckpointError`` if the named one is damaged or every one is, ``RunError`` if the run is
    finished there.
    """
    if from_checkpoint is not None:
        folder = run.checkpoints / from_checkpoint
        if not CHECKPOINT_NAME.match(from_checkpoint) or not folder.is_dir():
            names = ", ".join(entry.name for entry in run.checkpoint_folders()[-5:]) or "none yet"
            raise CheckpointError(
                f"there is no checkpoint {from_checkpoint!r}", where=run.id, hint=f"The run has {names}."
            )
        verify(folder, digests=True)
        return Start(folder, _unfinished_step(run, folder))
    damaged = []
    for folder in resume_candidates(run):
        try:
            verify(folder, digests=True)
        except CheckpointError as error:
            damaged.append(f"{folder.name}: {error.what}")
            continue
        return Start(folder, _unfinished_step(run, folder), tuple(damaged))
    if run.checkpoint_folders():
        raise CheckpointError(
            "none of the run's checkpoints is whole" + (f": {'; '.join(damaged)}" if damaged else ""),
            where=str(run.checkpoints),
            hint=f"Start anew from its profile: sdxl-tui launch {run.profile}",
        )
    record = RunRecord.read(run.record)
    parent = record.parent if record else None
    return Start(None, parent.step if parent and parent.route == Route.EXTEND else 0)


def _unfinished_step(run: RunDirectory, folder: Path) -> int:
    """The step of a checkpoint that there is something left to train from."""
    summary = describe(folder)
    if summary.steps_left == 0:
        raise RunFinishedError(
            f"this run is finished: all {summary.total_steps:,} steps of its schedule are done",
            where=run.id,
            hint=f"To train on, continue from it: sdxl-tui continue {run.id}@{summary.step} --lr LR",
        )
    return summary.step


def _by_hand(run: RunDirectory, start: Start, requests: Requests, lock: int) -> int:
    """An attempt that nobody but this process records."""
    attempt = begin_attempt(run)
    code = DEFECT
    try:
        record_own_process(attempt, sys.orig_argv, start.checkpoint.name if start.checkpoint else None)
        set_up_logging(attempt.log)
        code = _ended(run, attempt.number, lambda: start, requests, lock)
    finally:
        record_own_exit(attempt, code)
    return code


def _ended(run: RunDirectory, attempt: int, find_start: Callable[[], Start], requests: Requests, lock: int) -> int:
    """Train, and turn whatever ends it into events, status, log and the exit code."""
    reporter = Reporter(run, attempt)
    requests.open_box(CommandBox(run), reporter.command, reporter.stopping)
    try:
        start = find_start()
        reporter.state("starting", step=start.step)
        _train(run, attempt, start, reporter, requests, lock=lock)
    except RunFinishedError as error:
        log.error("error: %s", error)  # its last word stays what it was
        return USER_ERROR
    except UserError as error:
        log.error("failed: %s", error)
        reporter.failed(error)
        return USER_ERROR
    except Exception as error:
        log.critical("failed", exc_info=error)
        reporter.failed(error)
        return DEFECT
    finally:
        requests.decline_waiting("the run has ended")
        reporter.close()
    return OK


def _train(run: RunDirectory, attempt: int, start: Start, reporter: Reporter, requests: Requests, *, lock: int) -> None:
    """Train, in as many processes as the profile says; the others load their libraries while this one does."""
    processes = read_snapshot(run.profile_of(attempt)).launch.processes
    if processes == 1:
        from engine.train.session import train_run  # noqa: PLC0415 - seconds of imports, only once all else is well

        train_run(run, attempt, start, reporter, requests)
        return

    def end(error: ProcessLostError) -> None:
        log.error("failed: %s", error)
        reporter.failed(error)
        reporter.close()
        os._exit(USER_ERROR)  # the main thread waits for a device, perhaps for ever

    with Crew(processes, end) as crew:
        crew.start(run, attempt, start.checkpoint.name if start.checkpoint else None, lock)
        from engine.train.session import train_run  # noqa: PLC0415

        train_run(run, attempt, start, reporter, requests, crew=crew)
