"""Ranks 1 to N - 1 of a training on several devices: they assemble the same training as rank 0 and make every step with it.

They write no file of the run and look at no command. What drives dropout is seeded anew before each step, from seed, rank and
step, so a checkpoint needs to hold nothing of them.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import time
from pathlib import Path
from typing import Final

from engine.errors import UserError
from engine.run.layout import RunDirectory
from engine.train.crew import Place, die_with
from engine.train.logs import set_up_logging

OK, DEFECT, USER_ERROR = 0, 1, 2
BLAME_SECONDS: Final = 3.0
"""Who fails because another was lost says so later than that one's end is known."""

log = logging.getLogger(__name__)


def run_follower(run_path: Path, attempt: int, checkpoint: str | None, place: Place, parent: int) -> int:
    """Train beside rank 0, whose pid is ``parent``; the exit code. On failure the reason is a JSON line on standard output."""
    die_with(parent)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # rank 0 decides
    report = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints belongs into the log
    set_up_logging()
    run = RunDirectory(run_path.absolute())
    try:
        _train(run, attempt, None if checkpoint is None else run.checkpoints / checkpoint, place)
    except UserError as error:
        _say(report, {"what": error.what, "where": error.where, "hint": error.hint})
        return USER_ERROR
    except Exception as error:
        time.sleep(BLAME_SECONDS)
        log.critical("process %d of %d failed", place.rank + 1, place.count, exc_info=error)
        _say(report, {"what": str(error) or type(error).__name__, "where": None, "hint": "The log has the details."})
        return DEFECT
    return OK


def _say(descriptor: int, record: dict[str, str | None]) -> None:
    with contextlib.suppress(OSError):
        os.write(descriptor, json.dumps(record).encode())


def _train(run: RunDirectory, attempt: int, checkpoint: Path | None, place: Place) -> None:
    from engine.train.session import train_beside  # noqa: PLC0415 - seconds of imports

    train_beside(run, attempt, checkpoint, place)
