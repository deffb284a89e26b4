"""Beginning an attempt, one start of the engine, and recording one that has no keeper (an engine run by hand)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from engine.durable import sync_directory, write_json_atomically
from engine.run.commands import CommandBox
from engine.run.errors import RunBusy, RunError
from engine.run.keeper import process_record, reserve_exit_record, write_exit_record
from engine.run.layout import AttemptDirectory, RunDirectory


def begin_attempt(run: RunDirectory, *, after: int | None = None) -> AttemptDirectory:
    """Make the folder of the next start, its end record reserved; requests to the one before are dropped.

    The caller holds the run's lock, which does not always reach across a shared disk. after: the newest start that the caller
    knew of when it saw that nobody is at work; making the folder of the next one is what only one of several machines can do.
    Raises ``RunBusy`` if there is a newer one; ``RunError`` if the folder cannot be written: nothing of it is left then, for a
    start without an end would be a run that was lost.
    """
    newest = newest_attempt(run)
    if after is not None and newest != after:
        raise _being_started(run)
    attempt = run.attempt(newest + 1)
    try:
        run.attempts.mkdir(mode=0o700, exist_ok=True)
        attempt.path.mkdir(mode=0o700)
        os.close(reserve_exit_record(attempt.exit))
        sync_directory(run.attempts)
    except FileExistsError as error:
        # Only where the file system has no locks do two starts come this far.
        raise _being_started(run) from error
    except OSError as error:
        shutil.rmtree(attempt.path, ignore_errors=True)
        raise RunError(
            f"the run's folder cannot be written: {error.strerror}",
            where=str(attempt.path),
            hint="Check free space and permissions of the workspace, then start it again.",
        ) from error
    CommandBox(run).clear()
    return attempt


def newest_attempt(run: RunDirectory) -> int:
    """The number of the newest start; 0 if there was none. Raises ``RunError`` if that cannot be read."""
    try:
        return max((attempt.number for attempt in run.existing_attempts()), default=0)
    except OSError as error:
        raise RunError(f"the run's starts cannot be read: {error.strerror}", where=str(run.attempts)) from error


def _being_started(run: RunDirectory) -> RunBusy:
    return RunBusy("this run is being started by someone else", where=run.id)


def record_own_process(attempt: AttemptDirectory, argv: Sequence[str], resumed_from: str | None) -> None:
    """Write ``process.json`` for this very process, an engine without a keeper."""
    write_json_atomically(attempt.process, process_record(os.getpid(), None, argv, resumed_from))


def record_own_exit(attempt: AttemptDirectory, code: int) -> None:
    """Fill ``exit.json`` just before an engine without a keeper exits with ``code``."""
    descriptor = reserve_exit_record(attempt.exit)
    try:
        write_exit_record(descriptor, cause="exited", code=code)
    finally:
        os.close(descriptor)
