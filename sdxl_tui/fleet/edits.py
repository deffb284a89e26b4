"""What has been edited since a checkpoint was trained, found before a resume: the profile it came from, read again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.checkpoint.describe import read_state
from engine.checkpoint.stored_profile import profile_in
from engine.errors import UserError
from engine.profile.load import load_profile, read_snapshot
from engine.profile.problems import ProfileError
from engine.profile.schema import Profile
from engine.profile.stages import StageError, stage_profile, stage_route
from engine.routes.effects import Effect
from engine.routes.left_out import left_out
from engine.routes.moved import Tell, plan_resume_by_content, tell_nobody
from engine.routes.plan import ChildPlan
from engine.routes.resuming import ResumePlan
from engine.run.layout import RunDirectory
from engine.run.records import RunRecord
from sdxl_tui.fleet.overridden import kept_of_launch
from sdxl_tui.terminal.clean import clean

_GENERATIONS: Final = 100


@dataclass(frozen=True)
class Edits:
    """A resume's plan and where the wanted settings come from."""

    plan: ResumePlan
    source: Path | None
    """The profile that was read again; None for the run's own snapshot."""
    remark: str = ""
    """Why the snapshot is trained and no later edit looked at, in a sentence; empty where one was looked for and read."""
    kept: tuple[str, ...] = ()
    """Where the profile says something else than the launch's ``--set``, which stays: a sentence each, safe to print."""

    @property
    def notes(self) -> tuple[str, ...]:
        """All that is to be told beside the effects, safe to print."""
        return (*([clean(self.remark)] if self.remark else []), *self.kept)

    def attempts_profile(self, run: RunDirectory, *, keep_stored: bool) -> Profile | None:
        """What the next attempt trains if that is not what the one before did. Raises ``RouteError`` as the plan does."""
        profile = self.plan.profile(keep_stored=keep_stored)
        return None if profile == read_snapshot(run.latest_profile) else profile


@dataclass(frozen=True)
class LeftOut:
    """Edits of the profile that a run was launched from which a child run of it does not have."""

    effects: tuple[Effect, ...]
    source: Path | None
    """The profile; None where the run has none or it is gone."""
    problem: str = ""
    """Why it cannot be compared, in a line."""
    kept: tuple[str, ...] = ()
    """As of ``Edits``."""


class EditedProfileError(UserError):
    """The profile a run was launched from has problems now."""


def look_for_edits(
    run: RunDirectory,
    checkpoint: Path,
    *,
    profile: Path | None = None,
    overrides: Sequence[str] = (),
    as_launched: bool = False,
    tell: Tell = tell_nobody,
) -> Edits:
    """Compare the checkpoint's settings with those wanted now; reads a few small files, and what a changed path leads to.

    profile: the file that is wanted, by default the one the run was launched from, with what changed it then. overrides:
    further ``section.field=value``. as_launched: look at nothing but the run's own snapshot. tell: hears of comparisons that
    take a while. Raises ``UserError`` if the profile cannot be read or has problems or names nothing that can be trained on,
    ``CheckpointError`` if the checkpoint does not say what it was trained with.
    """
    state = read_state(checkpoint)
    stored = profile_in(state, checkpoint)
    record = RunRecord.read(run.record)
    source, remark = profile, ""
    if source is None and not as_launched:
        source, remark = source_of(record)
    said = () if profile is not None or record is None else record.overrides
    kept: tuple[str, ...] = ()
    try:
        if source is None:
            wanted = load_profile(run.latest_profile, overrides).profile
        else:
            whole = load_profile(source, (*said, *overrides)).profile
            wanted = of_its_stage(whole, record, source)
            kept = kept_overrides(record, source, wanted, said, overrides)
            if profile is None and (way := changed_route(whole, record, source)):
                kept += (f"{way}, and this run stays as it was made",)
    except ProfileError as error:
        if profile is not None or source is None:
            raise
        raise EditedProfileError(
            f"the profile that this run was launched from has problems now:\n{error}",
            hint="Mend it, name another (--profile), or resume with the run's own snapshot: --as-launched.",
        ) from error
    return Edits(plan_resume_by_content(state, stored, wanted, tell), source, remark, kept)


@dataclass(frozen=True)
class EditedSince:
    """What a checkpoint was trained with beside the profile its run was launched from, as that is now."""

    source: Path | None
    """The profile; None where the run has none or it is gone: then nothing was edited that could be left out."""
    stored: Profile | None = None
    wanted: Profile | None = None
    problem: str = ""
    kept: tuple[str, ...] = ()
    """As of ``Edits``."""

    def left_out(self, plans: Sequence[ChildPlan]) -> LeftOut:
        """What was edited and is in none of ``plans``, which go on from the checkpoint."""
        if self.stored is None or self.wanted is None:
            return LeftOut((), self.source, self.problem)
        return LeftOut(left_out(self.stored, self.wanted, plans), self.source, kept=self.kept)


def edited_since(run: RunDirectory, checkpoint: Path) -> EditedSince:
    """Read both; a few small files. A profile with problems is one of the answers.

    A run that was made from another has no profile of its own on the disk: its nearest ancestor's is looked at, for who edits
    that and goes on from the child means it as well.
    """
    record, is_own = RunRecord.read(run.record), True
    for _ in range(_GENERATIONS):
        if record is None or record.source_profile is not None or record.parent is None:
            break
        run, is_own = RunDirectory(run.path.parent / record.parent.run), False
        record = RunRecord.read(run.record)
    source, _ = source_of(record)
    if record is None or source is None:
        return EditedSince(None)
    try:
        stored = profile_in(read_state(checkpoint), checkpoint) if is_own else read_snapshot(run.profile)
        wanted = of_its_stage(load_profile(source, record.overrides).profile, record, source)
        kept = kept_overrides(record, source, wanted, record.overrides)
    except UserError as error:
        reason = error.what.partition("\n")[0]
        return EditedSince(source, problem=f"{source.name} cannot be compared: {reason}")
    return EditedSince(source, stored, wanted, kept=kept)


def edits_left_out(run: RunDirectory, checkpoint: Path, plans: Sequence[ChildPlan]) -> LeftOut:
    """What was edited since ``checkpoint`` was saved and is in none of ``plans``, which go on from it."""
    return edited_since(run, checkpoint).left_out(plans)


def of_its_stage(profile: Profile, record: RunRecord | None, source: Path) -> Profile:
    """What of ``profile`` the run trains: its stage, if it is one of several. Raises ``UserError`` if that is gone."""
    number = None if record is None else record.stage
    if number is None:
        return profile
    try:
        return stage_profile(profile, number)
    except StageError as error:
        raise UserError(
            f"this run trained stage {number} of the profile, which has {len(profile.stages) or 'no'} stages now",
            where=str(source),
            hint="Put the stage back, name another profile (--profile), or resume with the run's own snapshot: --as-launched.",
        ) from error


def changed_route(profile: Profile, record: RunRecord | None, source: Path) -> str:
    """That the run's stage is to begin otherwise now than the run was made to, in a clause safe to print; empty if it is not."""
    if record is None or record.parent is None or record.stage is None or not 2 <= record.stage <= len(profile.stages):
        return ""
    now = stage_route(profile, record.stage)
    if now.value == record.parent.route:
        return ""
    what, before = ("state", "weights alone") if now.keeps_state else ("weights alone", "state")
    return (
        f"stage {record.stage} of {clean(source.name)} begins with the {what} of the stage before it now, "
        f"and this run was made to begin with the {before}"
    )


def kept_overrides(
    record: RunRecord | None, source: Path, wanted: Profile, launched: Sequence[str], said_now: Sequence[str] = ()
) -> tuple[str, ...]:
    """As ``kept_of_launch``, of what of the profile the run trains."""
    return kept_of_launch(
        source,
        wanted,
        launched,
        since=0.0 if record is None else record.created,
        said_now=said_now,
        of_stage=lambda profile: of_its_stage(profile, record, source),
    )


def source_of(record: RunRecord | None) -> tuple[Path | None, str]:
    """The profile that a run was launched from; where there is none (any more), why the run's own is trained."""
    if record is None or record.source_profile is None:
        return None, "the run has a profile of its own, made when it was started from another run"
    source = Path(record.source_profile)
    if source.is_file():
        return source, ""
    return None, f"{source} is gone; the run's own snapshot of it is trained"
