"""The loss of a run in a dozen numbers, for a line of a table: read at a dozen places of its metrics, however long they are."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Final

from engine.run.layout import RunDirectory
from engine.run.records import as_float
from sdxl_tui.fleet.runs import RunSummary

PLACES: Final = 12
BYTES: Final = 4096
"""Read at each place: several lines of the longest."""

Trend = tuple[float | None, ...]


def trend_of(run: RunDirectory, places: int = PLACES) -> Trend:
    """The running average of the loss at ``places`` places, evenly up to the last step; empty where nothing is measured.

    None: not measured there. What a resume trained anew stands beside what it replaced, as in the file.
    """
    try:
        descriptor = os.open(run.metrics, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ()
    try:
        size = os.fstat(descriptor).st_size
        # Not from the very first steps on: an average of few is a matter of chance.
        found = [_loss_at(descriptor, size * at // places, size) for at in range(1, places)]
        return (*found, _last_loss(descriptor, size)) if size else ()
    except OSError:
        return ()
    finally:
        os.close(descriptor)


def _loss_at(descriptor: int, offset: int, size: int) -> float | None:
    """Of the first step whose line is whole behind ``offset``."""
    lines = os.pread(descriptor, min(BYTES, size - offset), offset).split(b"\n")
    return next((loss for line in lines[1:-1] if (loss := _loss(line)) is not None), None)


def _last_loss(descriptor: int, size: int) -> float | None:
    lines = os.pread(descriptor, BYTES, max(0, size - BYTES)).split(b"\n")
    return next((loss for line in reversed(lines[:-1]) if (loss := _loss(line)) is not None), None)


def _loss(line: bytes) -> float | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return as_float(record.get("loss_avg")) if isinstance(record, dict) else None


def _trend_of(run: RunSummary) -> Trend:
    if run.watched is None:
        return trend_of(run.directory)
    from sdxl_tui.fleet.watched.history import watched_trend  # noqa: PLC0415 - few have any

    return watched_trend(run.watched.files, PLACES)


class Trends:
    """The trends of runs that were looked at; an ended one is read once. Used by one thread at a time."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, Trend]] = {}

    def read(self, runs: Iterable[RunSummary]) -> dict[str, Trend]:
        """Those of ``runs``, read again where steps were made since."""
        for run in runs:
            known = self._known.get(run.id)
            if known is None or known[0] != run.step:
                self._known[run.id] = (run.step, _trend_of(run))
        return {run_id: trend for run_id, (_, trend) in self._known.items()}
