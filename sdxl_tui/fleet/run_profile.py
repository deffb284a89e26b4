"""What a run trains, and how that differs from where it comes from: its parent, its own first start, the file of its launch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.errors import UserError
from engine.profile.load import load_profile, read_snapshot
from engine.run.layout import RunDirectory
from engine.run.records import RunRecord
from sdxl_tui.fleet.edits import kept_overrides, of_its_stage, source_of
from sdxl_tui.fleet.profile_diff import ProfileDiff, Side, diff_profiles, side_of_run


@dataclass(frozen=True)
class Against:
    """The run beside something that it comes from."""

    words: str
    """Of what is compared, safe to print when cleaned."""
    diff: ProfileDiff | None = None
    """None where that cannot be: ``words`` say why."""


@dataclass(frozen=True)
class RunProfile:
    """A run's profile as it trains now."""

    path: Path
    text: str
    compared: tuple[Against, ...]


def read_run_profile(run: RunDirectory) -> RunProfile:
    """Read it, and what it is compared with; some small files. ``ProfileError``, ``OSError``: its own cannot be read."""
    now = side_of_run(run)
    record = RunRecord.read(run.record)
    compared = [*_parent(run, record, now), *_first_start(run, now), *_source(record, now)]
    return RunProfile(now.path, now.path.read_text(encoding="utf-8"), tuple(compared))


def _parent(run: RunDirectory, record: RunRecord | None, now: Side) -> list[Against]:
    if record is None or record.parent is None:
        return []
    parent = RunDirectory(run.path.parent / record.parent.run)
    words = f"Made by {record.parent.route} from {record.parent.place}"
    try:
        return [Against(words, diff_profiles(side_of_run(parent), now))]
    except (UserError, OSError):
        return [Against(f"{words}, whose profile cannot be read any more")]


def _first_start(run: RunDirectory, now: Side) -> list[Against]:
    if now.path == run.profile:
        return []
    try:
        first = Side("first start", run.profile, read_snapshot(run.profile))
    except (UserError, OSError):
        return []
    return [Against("Edited since its first start, and applied at a resume", diff_profiles(first, now))]


def _source(record: RunRecord | None, now: Side) -> list[Against]:
    source, _ = source_of(record)
    if record is None or source is None:
        return []
    try:
        there = of_its_stage(load_profile(source, record.overrides).profile, record, source)
        kept = [Against(one) for one in kept_overrides(record, source, there, record.overrides)]
    except (UserError, OSError):
        return [Against(f"{source.name}, which it was launched from, cannot be compared: it has problems now")]
    diff = diff_profiles(now, Side(source.name, source, there))
    if not diff.differences:
        return kept
    return [Against(f"Edited since in {source.name}: a resume says what becomes of each", diff), *kept]
