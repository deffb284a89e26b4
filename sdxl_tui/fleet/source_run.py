"""The newest run that was launched from a profile, and what a resume of it would do with the profile as it reads now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.checkpoint.describe import describe, resume_candidates
from engine.checkpoint.stored_profile import stored_profile
from engine.errors import UserError
from engine.profile.load import parse_profile, read_snapshot
from engine.profile.problems import ProfileError
from engine.profile.schema import Profile
from engine.profile.setting import AtResume
from engine.profile.stages import StageError, stage_profile
from engine.routes.effects import Effect
from engine.routes.moved import BY_CONTENT
from engine.routes.resuming import ResumePlan, plan_resume, routes_for
from engine.run.layout import RUN_ID, RunDirectory
from engine.run.records import RunRecord

MARKS: Final = {AtResume.APPLIED: "+", AtResume.RESTORED: "~", AtResume.FIXED: "!"}
"""What stands beside a changed field: a resume applies it, ignores it, is ruled out by it."""


@dataclass(frozen=True)
class SourceRun:
    """A run as the profile it came from is compared with it."""

    id: str
    stored: Profile
    """What its newest whole checkpoint was trained with; without one, what the run trains."""
    step: int | None
    """Of that checkpoint; None without one."""
    is_finished: bool
    """Nothing is left to resume there."""
    overrides: tuple[str, ...]
    """What changed the profile at the launch, and does so again at a resume."""
    stage: int | None = None
    """Which of the profile's stages it trains; None where it has none."""

    def plan(self, text: str, path: Path) -> ResumePlan | None:
        """What a resume would do with the profile ``text`` at ``path``; None while it has problems.

        Only values are compared: whether a changed path leads to the same content is found out when a resume is asked for.
        """
        try:
            wanted = parse_profile(text, folder=path.absolute().parent, source=path, overrides=self.overrides).profile
            if self.stage is not None:
                wanted = stage_profile(wanted, self.stage)
        except (ProfileError, StageError):
            return None
        return plan_resume(self.stored, wanted)

    def overridden(self, field: str) -> str:
        """The override that wins over what the profile says of a field; empty if there is none."""
        found = (one for one in self.overrides if one.partition("=")[0].strip() == field)
        return next(found, "")


def newest_run_of(profile: Path, runs: Path) -> SourceRun | None:
    """The run in ``runs`` that was launched last from ``profile``, None without one; reads the records of all runs."""
    sought = profile.absolute()
    records = [
        (record.created, folder, record)
        for folder in (runs.iterdir() if runs.is_dir() else ())
        if RUN_ID.fullmatch(folder.name)
        and (record := RunRecord.read(RunDirectory(folder).record)) is not None
        and record.source_profile is not None
        and Path(record.source_profile) == sought
    ]
    for _, folder, record in sorted(records, key=lambda found: found[0], reverse=True):
        run = RunDirectory(folder)
        try:
            checkpoint = next(iter(resume_candidates(run)), None)
            if checkpoint is None:
                return SourceRun(run.id, read_snapshot(run.latest_profile), None, False, record.overrides, record.stage)
            summary = describe(checkpoint)
            return SourceRun(
                run.id, stored_profile(checkpoint), summary.step, not summary.steps_left, record.overrides, record.stage
            )
        except UserError:
            continue  # one that cannot be read says nothing about the profile
    return None


def at_resume(effect: Effect) -> str:
    """What a resume does with a changed field, in a few words: ``ignored at resume: reschedule or continue would apply it``."""
    if effect.at_resume is AtResume.APPLIED:
        return "applied at resume"
    ways = " or ".join(routes_for((effect,))) or "only a new run"
    unless = " unless the same content lies there" if effect.field in BY_CONTENT else ""
    word = "ignored at resume" if effect.at_resume is AtResume.RESTORED else f"rules a resume out{unless}"
    return f"{word}: {ways} would apply it"


def counted(plan: ResumePlan) -> list[tuple[str, AtResume]]:
    """The changes in words by what a resume does with them: ``2 changes a resume applies``, ``1 it ignores``."""
    ways = ((plan.applied, "a resume applies", "applies"), (plan.restored, "a resume ignores", "ignores"))
    parts: list[tuple[str, AtResume]] = []
    for effects, first, then in (*ways, (plan.fixed, "a resume would refuse", "would refuse")):
        if effects:
            number = len(effects)
            words = f"{number} it {then}" if parts else f"{number} change{'s' * (number != 1)} {first}"
            parts.append((words, effects[0].at_resume))
    return parts
