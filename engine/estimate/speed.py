"""How long a step takes, from runs of this workspace that trained the same: measured, never guessed."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from engine.profile.load import read_snapshot
from engine.profile.problems import ProfileError
from engine.profile.schema import Profile
from engine.run.json_lines import read_last_json_lines
from engine.run.layout import RunDirectory
from engine.run.metrics import MetricPoint

LATEST_RUNS: Final = 30
LATEST_BYTES: Final = 65_536
FEWEST_STEPS: Final = 5
_PREFIXES: Final = ("model.", "network.", "precision.", "launch.", "loss.")
_FIELDS: Final = (
    "training.batch_size",
    "training.gradient_accumulation",
    "training.gradient_checkpointing",
    "dataset.resolution",
    "dataset.buckets",
    "optimizer.kind",
)
_IRRELEVANT: Final = ("network.start_from", "network.alpha", "precision.save")


@dataclass(frozen=True)
class Speed:
    """A measured speed."""

    seconds_per_step: float
    run: str
    """Where it was measured."""


def measured_speed(runs: Path, profile: Profile, *, without: str = "") -> Speed | None:
    """The median time of the latest steps of the newest run in ``runs`` that has all settings in common which matter.

    without: a run that does not count. None if there is no such run.
    """
    wanted = _what_matters(profile)
    for run in _newest(runs):
        if run.id == without:
            continue
        try:
            is_alike = _trained_by(run.profile, run.profile.stat().st_mtime_ns) == wanted
        except (ProfileError, OSError):
            continue
        if is_alike and (seconds := _seconds(run)) is not None:
            return Speed(seconds, run.id)
    return None


def _newest(runs: Path) -> Iterator[RunDirectory]:
    try:
        with os.scandir(runs) as entries:
            found = [(entry.stat().st_mtime, entry.path) for entry in entries if entry.is_dir()]
    except OSError:
        return
    for _, path in sorted(found, reverse=True)[:LATEST_RUNS]:
        run = RunDirectory(Path(path))
        if run.metrics.exists():
            yield run


def _what_matters(profile: Profile) -> dict[str, Any]:
    return {
        name: value
        for name, value in profile.values().items()
        if name not in _IRRELEVANT and (name in _FIELDS or name.startswith(_PREFIXES))
    }


@lru_cache(maxsize=2 * LATEST_RUNS)
def _trained_by(snapshot: Path, _version: int) -> dict[str, Any]:
    """What matters of a run's snapshot, read once: it is never changed. Raises as ``read_snapshot``."""
    return _what_matters(read_snapshot(snapshot))


def _seconds(run: RunDirectory) -> float | None:
    points = [MetricPoint.from_json(record) for record in read_last_json_lines(run.metrics, tail=LATEST_BYTES)]
    times = [point.step_seconds for point in points if point is not None and point.step_seconds]
    return statistics.median(times) if len(times) >= FEWEST_STEPS else None
