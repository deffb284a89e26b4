"""Runs that come one after another: a child that begins when its parent has finished, and the parent that has to finish."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.errors import UserError
from engine.run.layout import RunDirectory
from engine.run.liveness import RunState, assess
from sdxl_tui.fleet.queue.changes import Turn, put_in
from sdxl_tui.fleet.queue.record import QueueError, read_queue
from sdxl_tui.terminal.clean import clean
from sdxl_tui.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from engine.checkpoint.summary import CheckpointSummary
    from engine.profile.load import LoadedProfile
    from engine.routes.plan import ChildPlan


@contextlib.contextmanager
def all_or_none() -> Iterator[list[RunDirectory]]:
    """Collects runs that are made together: if one cannot be made or queued, all are gone again."""
    made: list[RunDirectory] = []
    try:
        yield made
    except BaseException:
        for run in made:
            if not assess(run).alive:
                shutil.rmtree(run.path, ignore_errors=True)
        raise


def begin(
    workspace: Workspace,
    loaded: LoadedProfile,
    turn: Turn | None = None,
    *,
    share: bool = False,
    gpus: Sequence[str] = (),
) -> list[RunDirectory]:
    """Make a run of a profile, or of each of its stages; the first is started, or waits as ``turn`` says.

    Each further stage waits in the queue for the one before. share and gpus: as ``start_new``'s. Raises as a launch does;
    nothing is left then.
    """
    from sdxl_tui.fleet.launch import start_new  # noqa: PLC0415

    with all_or_none() as made:
        for run in _runs_of(workspace, loaded):
            made.append(run)
        if turn is not None:
            put_in(workspace, made[0], turn)
        later = Turn(gpus=tuple(gpus)) if turn is None else replace(turn, held=False, first=False)
        for before, run in itertools.pairwise(made):
            put_in(workspace, run, replace(later, after=before.id))
        if turn is None:  # last: what cannot be queued leaves nothing that trains
            start_new(made[0], share=share, gpus=gpus)
    return made


def _runs_of(workspace: Workspace, loaded: LoadedProfile) -> Iterator[RunDirectory]:
    """The runs of a profile, one by one as they are made, none of them started."""
    from engine.profile.preflight import check_inputs  # noqa: PLC0415 - pydantic
    from engine.profile.stages import stage_profile, stage_route  # noqa: PLC0415
    from engine.run.create import create_run  # noqa: PLC0415
    from engine.run.records import Parent  # noqa: PLC0415
    from sdxl_tui.fleet.launch import make_run  # noqa: PLC0415

    whole = loaded.profile
    if not whole.stages:
        yield make_run(workspace, loaded)
        return
    check_inputs(whole, loaded)
    workspace.create()
    parent: Parent | None = None
    for number in range(1, len(whole.stages) + 1):
        own = stage_profile(whole, number)
        if parent is not None:
            parent = replace(parent, route=stage_route(whole, number).value)
        run = create_run(
            workspace.runs,
            own,
            source=loaded.source,
            parent=parent,
            overrides=loaded.overrides,
            stage=number,
            extended=loaded.lineage.parents,
        )
        yield run
        parent = Parent(run.id, "", own.training.steps, "")


def queue_siblings(workspace: Workspace, plans: Sequence[ChildPlan], turn: Turn) -> list[RunDirectory]:
    """Make a run of every plan and put them into the queue in this order; all of them or none. Nothing is started here."""
    from sdxl_tui.fleet.children import make_child  # noqa: PLC0415 - pydantic

    with all_or_none() as made:
        for plan in plans:
            made.append(make_child(workspace, plan))
        for run in reversed(made) if turn.first else made:
            put_in(workspace, run, turn)
        return made


def queue_profiles(workspace: Workspace, profiles: Sequence[LoadedProfile], turn: Turn) -> list[RunDirectory]:
    """Make the runs of every profile, with their stages, and put them into the queue in this order; all of them or none.

    Nothing is started here. Raises as a launch does.
    """
    with all_or_none() as made:
        for loaded in reversed(profiles) if turn.first else profiles:
            made.extend(begin(workspace, loaded, turn))
        return made[::-1] if turn.first else made


def finish_then(workspace: Workspace, parent: RunDirectory, plan: ChildPlan, turn: Turn) -> RunDirectory:
    """Let ``parent`` train its steps to the end and the child of ``plan`` begin then. Nothing is started here.

    plan: made from what ``CheckpointSummary.at_end`` says. Raises ``UserError`` if the parent cannot go on as it was.
    """
    from sdxl_tui.fleet.children import make_waiting_child  # noqa: PLC0415

    with all_or_none() as made:
        child = make_waiting_child(workspace, plan)
        made.append(child)
        goes_on_by_itself = assess(parent).alive or read_queue(workspace).find(parent.id) is not None
        if not goes_on_by_itself:
            put_in(workspace, parent, turn)
        held = turn.held and goes_on_by_itself  # whoever holds the chain holds its first run
        put_in(workspace, child, replace(turn, after=parent.id, first=False, held=held))
        return child


def end_to_wait_for(parent: RunDirectory, checkpoint: Path) -> CheckpointSummary:
    """What ``parent`` will stand at when it has trained the steps that are left after ``checkpoint``, its newest.

    Raises ``UserError`` where nothing is left, it would not go on from there, or its profile was edited since.
    """
    from engine.checkpoint.describe import describe, resume_point  # noqa: PLC0415

    summary = describe(checkpoint)
    if not summary.steps_left or assess(parent).state is RunState.FINISHED:
        raise QueueError("has finished: there is nothing to wait for", where=parent.id)
    newest = resume_point(parent)
    if newest is not None and newest.name != checkpoint.name:
        hint = f"Leave out the step, or resume from this one first: sdxl-tui resume {parent.id}@{summary.step}"
        raise QueueError(
            f"would be finished from {newest.name}, not from {checkpoint.name}", where=parent.id, hint=hint
        )
    if not assess(parent).alive:
        require_no_edits(parent)
    return summary.at_end()


def require_no_edits(run: RunDirectory) -> tuple[str, ...]:
    """Raises ``UserError`` where the profile of ``run`` was edited since: only a resume or a start asks what becomes of that.

    What else is to be told, safe to print: see ``Edits.notes``.
    """
    from engine.checkpoint.describe import resume_point  # noqa: PLC0415
    from sdxl_tui.fleet.edits import look_for_edits  # noqa: PLC0415

    folder = resume_point(run)
    if folder is None:
        return _require_no_edits_of_a_start(run)
    edits = look_for_edits(run, folder)
    if effects := edits.plan.effects:
        fields = ", ".join(effect.field for effect in effects)
        hint = (
            f"See what becomes of them: sdxl-tui effect {run.id}\nApply them: sdxl-tui resume {run.id}\n"
            f"Leave them out: sdxl-tui queue add {run.id} --as-launched"
        )
        raise UserError(f"its profile was edited since ({clean(fields)})", where=run.id, hint=hint)
    return edits.notes


def _require_no_edits_of_a_start(run: RunDirectory) -> tuple[str, ...]:
    """The same of a run that begins at its first step."""
    from sdxl_tui.fleet.start_again import plan_start_again  # noqa: PLC0415

    if assess(run).alive or run.checkpoint_folders():
        return ()  # it is refused where it is put in, or left to the engine
    plan = plan_start_again(run)
    if plan.edits:
        fields = ", ".join(one.field for one in plan.edits)
        hint = f"Apply them: sdxl-tui start {run.id}\nLeave them out: sdxl-tui queue add {run.id} --as-launched"
        raise UserError(f"its profile was edited since ({clean(fields)})", where=run.id, hint=hint)
    return plan.notes
