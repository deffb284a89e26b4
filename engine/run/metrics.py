"""``metrics.jsonl``: one line per optimizer step, written by the engine, followed by charts and tables."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from engine.run.json_lines import POLL_BYTES, JsonLines, JsonLinesWriter, parse_line
from engine.run.records import as_float, as_int, as_rates

SYNC_SECONDS: Final = 5.0


class MetricPoint(NamedTuple):
    """What was measured in one optimizer step. None: not measured, or not finite (an event then names it)."""

    step: int
    """Optimizer steps done with this one."""
    attempt: int
    epoch: int
    time: float
    """Unix seconds."""
    loss: float | None
    loss_avg: float | None
    lr: dict[str, float]
    """By parameter group, the rate that this very step used; of an adaptive optimizer d · LR."""
    grad_norm: float | None = None
    """Before clipping."""
    step_seconds: float | None = None
    images_per_second: float | None = None
    memory_mb: float | None = None
    d: float | None = None
    """The factor that an adaptive optimizer found."""

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> MetricPoint | None:
        """The point in one line's object; None if it names no step, or is a validation's."""
        step = as_int(record.get("step"))
        if step is None or "validation_loss" in record:
            return None
        return cls(
            step,
            as_int(record.get("attempt")) or 1,
            as_int(record.get("epoch")) or 0,
            as_float(record.get("time")) or 0.0,
            as_float(record.get("loss")),
            as_float(record.get("loss_avg")),
            as_rates(record.get("lr")),
            as_float(record.get("grad_norm")),
            as_float(record.get("step_seconds")),
            as_float(record.get("images_per_second")),
            as_float(record.get("memory_mb")),
            as_float(record.get("d")),
        )

    @classmethod
    def from_line(cls, line: bytes) -> MetricPoint | None:
        """The point in one line; None if it is no such line."""
        try:
            record = parse_line(line)
        except (ValueError, RecursionError):
            return None
        return None if record is None else cls.from_json(record)


class ValidationPoint(NamedTuple):
    """What was measured on the held-out images: a line of its own among those of the steps."""

    step: int
    """Optimizer steps done by then; 0 is the base."""
    attempt: int
    time: float
    """Unix seconds."""
    validation_loss: float | None

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> ValidationPoint | None:
        """The point in one line's object; None if it is another kind of line."""
        step = as_int(record.get("step"))
        if step is None or "validation_loss" not in record:
            return None
        loss, moment = as_float(record.get("validation_loss")), as_float(record.get("time"))
        return cls(step, as_int(record.get("attempt")) or 1, moment or 0.0, loss)


class MetricsLog:
    """Appends points to ``path``; synced every five seconds. Never raises for the disk's sake: ``lost`` counts."""

    def __init__(self, path: Path) -> None:
        self._writer = JsonLinesWriter(path)
        self._synced = time.monotonic()

    @property
    def lost(self) -> int:
        """Points that the disk did not take."""
        return self._writer.lost

    def write(self, point: MetricPoint | ValidationPoint) -> None:
        """Append one point; values that are not finite become null."""
        self._writer.write(point._asdict())
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Bring all points to the disk; called before a checkpoint becomes visible."""
        self._writer.sync()
        self._synced = time.monotonic()

    def close(self) -> None:
        """Sync and close the file."""
        self.sync()
        self._writer.close()


class MetricsReader:
    """Follows a ``metrics.jsonl``: each ``poll`` returns the points added since the one before."""

    def __init__(self, path: Path, *, budget: int = POLL_BYTES) -> None:
        self._lines = JsonLines(path, budget=budget)
        self.validations: list[ValidationPoint] = []
        """Those that the last poll found."""

    @property
    def restarted(self) -> bool:
        """The last poll found another file under the name: points returned earlier are void."""
        return self._lines.restarted

    @property
    def caught_up(self) -> bool:
        """The last poll reached the end; if False, the next one has more at once."""
        return self._lines.caught_up

    @property
    def path(self) -> Path:
        """The file."""
        return self._lines.path

    @property
    def unreadable(self) -> int:
        """Lines so far that were no JSON."""
        return self._lines.unreadable

    def poll(self) -> list[MetricPoint]:
        """The points added since the last poll in the order they were written; at most ``budget`` bytes of them."""
        records = self._lines.poll()
        validations = (ValidationPoint.from_json(record) for record in records)
        self.validations = [point for point in validations if point is not None]
        points = (MetricPoint.from_json(record) for record in records)
        return [point for point in points if point is not None]


def newest_attempt_wins(points: Iterable[MetricPoint]) -> list[MetricPoint]:
    """The points on the lineage of the newest attempt, one per step, by step.

    An attempt replaces everything older from its own first step on: after a resume from step 20 of a run that had
    reached 26, the old steps 21 to 26 are gone from the first new point on, not one by one.
    """
    by_attempt: dict[int, dict[int, MetricPoint]] = {}
    for point in points:
        by_attempt.setdefault(point.attempt, {})[point.step] = point
    kept: list[MetricPoint] = []
    first_newer: int | None = None
    for attempt in sorted(by_attempt, reverse=True):
        steps = by_attempt[attempt]
        kept += (point for step, point in steps.items() if first_newer is None or step < first_newer)
        first = min(steps)
        first_newer = first if first_newer is None else min(first, first_newer)
    return sorted(kept)
