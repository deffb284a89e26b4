"""Starting a run from its first step: one that never began, or ended before its first checkpoint. With the profile as it is now.

No weights of its own have been kept that an edit could not fit, so every edit of the profile applies, and each is told. A stage
that begins with what the one before it left takes what a child of that route takes, and is refused the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.checkpoint.describe import resume_point
from engine.errors import UserError
from engine.profile.load import LoadedProfile, load_profile, read_snapshot
from engine.profile.preflight import check_inputs
from engine.profile.schema import Profile
from engine.routes.effects import differences, refused
from engine.routes.route import Route
from engine.run.errors import RunBusy, RunError
from engine.run.layout import RunDirectory
from engine.run.liveness import assess
from engine.run.records import Parent, RunRecord
from sdxl_tui.fleet.edits import changed_route, kept_overrides, of_its_stage, source_of
from sdxl_tui.fleet.launch import start
from sdxl_tui.fleet.profile_diff import FieldDifference, Side, diff_profiles, shown_value
from sdxl_tui.terminal.clean import clean

TOLD: Final = 6
"""Edits that are written out."""


@dataclass(frozen=True)
class StartAgain:
    """What a start from the first step would train."""

    run: RunDirectory
    edits: tuple[FieldDifference, ...] = ()
    """What differs from what its last start trained, or from its launch; ``here`` is before, ``there`` now."""
    profile: Profile | None = None
    """What to train if that is something else than before."""
    source: Path | None = None
    """The profile that was read again; None where there is none, or it was not to be looked at."""
    remark: str = ""
    """Why no edit was looked for, in a sentence."""
    as_launched: bool = False
    """No edit counts: ``edits`` takes back what a start before this one had applied."""
    kept: tuple[str, ...] = ()
    """Where the profile says something else than the launch's ``--set``, which stays: a sentence each, safe to print."""

    @property
    def notes(self) -> tuple[str, ...]:
        """All that is to be told beside the edits, safe to print."""
        return (*([clean(self.remark)] if self.remark else []), *self.kept)

    @property
    def edits_text(self) -> str:
        """A line for each edit, safe to print."""
        lines = [
            f"{one.field}: {shown_value(one, one.here)} → {shown_value(one, one.there)}" for one in self.edits[:TOLD]
        ]
        more = len(self.edits) - TOLD
        return "\n".join([*lines, f"and {more} more"] if more > 0 else lines)

    @property
    def trained(self) -> Profile:
        """What it trains. Raises ``ProfileError`` if the run's own copy cannot be read."""
        return self.profile or read_snapshot(self.run.latest_profile)

    def start(self) -> int:
        """Do it; the number of the attempt. Raises as ``launch.start`` does."""
        return start(self.run, profile=self.profile)


def plan_start_again(run: RunDirectory, *, as_launched: bool = False) -> StartAgain:
    """Look at the run and the profile that it was launched from. Nothing is started.

    as_launched: no later edit counts, so that it trains what it was launched with, also where a start before this one trained
    something else.

    Raises ``RunBusy`` if it is alive, ``RunError`` if it has checkpoints, ``UserError`` if its profile has problems now,
    or was edited so that what the run begins with does not fit.
    """
    if assess(run).alive:
        raise RunBusy("is running", where=run.id, hint=f"Stop it first: sdxl-tui stop {run.id}")
    if (checkpoint := resume_point(run)) is not None:
        raise RunError(
            f"has a checkpoint to go on from, {checkpoint.name}",
            where=run.id,
            hint=f"Go on from there: sdxl-tui resume {run.id}. To begin anew, launch its profile.",
        )
    if damaged := len(run.checkpoint_folders()):
        raise RunError(
            f"has no checkpoint that is whole: {damaged} {'is' if damaged == 1 else 'are'} damaged",
            where=run.id,
            hint=f"Nothing of it is trained over. Launch its settings as a new run: sdxl-tui launch {run.latest_profile}",
        )
    before = read_snapshot(run.latest_profile)
    if as_launched:
        return _taken_back(run, before)
    record = RunRecord.read(run.record)
    source, remark = source_of(record)
    if source is None:
        return StartAgain(run, remark=remark)
    overrides = () if record is None else record.overrides
    wanted = _read(source, overrides)
    now = of_its_stage(wanted.profile, record, source)
    if record is not None and record.parent is not None:
        _check_it_fits(run, record, record.parent, wanted, now)
    kept = kept_overrides(record, source, now, overrides)
    found = diff_profiles(Side(run.id, run.latest_profile, before, is_run=True), Side(source.stem, source, now))
    if not found.differences:
        return StartAgain(run, source=source, kept=kept)
    check_inputs(now, wanted)
    return StartAgain(run, found.differences, now, source, kept=kept)


def _taken_back(run: RunDirectory, before: Profile) -> StartAgain:
    """The run as it was launched; ``before`` is what its last start trained."""
    launched = read_snapshot(run.profile)
    found = diff_profiles(Side(run.id, run.latest_profile, before, is_run=True), Side(run.id, run.profile, launched))
    if not found.differences:
        return StartAgain(run, as_launched=True)
    return StartAgain(run, found.differences, launched, run.profile, as_launched=True)


def _check_it_fits(run: RunDirectory, record: RunRecord, parent: Parent, whole: LoadedProfile, now: Profile) -> None:
    """Raises ``UserError`` where the run's stage was edited so that what it begins with, its parent's, cannot be gone on with."""
    ways = (
        f"Change it back, launch the profile anew: sdxl-tui launch {clean(str(whole.source))}\n"
        f"or start this run with what it was launched with: sdxl-tui start {run.id} --as-launched"
    )
    if changed := changed_route(whole.profile, record, whole.source):
        raise UserError(changed, where=run.id, hint=ways)
    try:
        route = Route(parent.route)
    except ValueError:
        return
    launched = read_snapshot(run.profile)
    told = [f"{path} ({why})" for path, _, _ in differences(launched, now) if (why := refused(path, route))]
    if told:
        what = f"was edited since so that it cannot go on from {clean(parent.place)}: {', '.join(told)}"
        raise UserError(what, where=run.id, hint=ways)


def _read(source: Path, overrides: Sequence[str]) -> LoadedProfile:
    try:
        return load_profile(source, overrides)
    except UserError as error:
        raise UserError(
            f"the profile that this run was launched from has problems now:\n{error}",
            hint="Mend it, or start with the run's own copy of it, as it was launched: --as-launched.",
        ) from error
