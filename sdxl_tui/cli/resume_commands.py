"""``resume`` and ``effect``: going on exactly, and what becomes of each setting that was edited since."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from engine.errors import UserError
from sdxl_tui.cli.arguments import EXIT_OK, WAIT_EXITS, Commands, add_command, add_overrides_option, add_wait_option
from sdxl_tui.cli.checkpoint_commands import CHECKPOINT_HELP, add_checkpoint_argument
from sdxl_tui.cli.checkpoint_place import checkpoint_named
from sdxl_tui.cli.child_commands import run_that_holds
from sdxl_tui.cli.file_starts import refuse
from sdxl_tui.cli.opening import program, workspace_to_read
from sdxl_tui.cli.output import err, out
from sdxl_tui.cli.progress import follow
from sdxl_tui.cli.run_commands import add_run_argument
from sdxl_tui.fleet.runs import find_run
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_lr

if TYPE_CHECKING:
    from pathlib import Path

    from engine.profile.schema import Profile
    from engine.run.layout import RunDirectory
    from sdxl_tui.fleet.edits import Edits
    from sdxl_tui.workspace import Workspace


def add_commands(commands: Commands) -> None:
    """Declare them."""
    resume = add_command(
        commands,
        "resume",
        resume_run,
        summary="go on exactly where a run stopped",
        about="""Restart a run from a checkpoint with everything restored: weights, optimizer moments, schedule and
        learning rate, data position and random state. It goes on as if it had never stopped.

        A RUN goes on from its newest whole checkpoint. From an older CHECKPOINT, the steps after it are trained again;
        newer checkpoints stay until they are reached.

        The profile that the run was launched from is read again. Edited settings that a resume applies are applied; where it
        would ignore one, or cannot go on, it is refused, with the commands that apply it. No edit is passed over in silence.""",
        examples=[
            "sdxl-tui resume latest --wait",
            "sdxl-tui resume demo@20",
            "sdxl-tui resume latest --set samples.every_steps=50",
            "sdxl-tui resume latest --keep-stored",
        ],
        exits=WAIT_EXITS,
    )
    resume.add_argument("checkpoint", metavar="RUN|CHECKPOINT", help=f"a run, or {CHECKPOINT_HELP}")
    _add_profile_options(resume)
    resume.add_argument(
        "--keep-stored",
        action="store_true",
        help="go on with the checkpoint's values where a resume would ignore edited ones",
    )
    resume.add_argument(
        "--as-launched", action="store_true", help="look at no later edit: train what the run trained before"
    )
    add_wait_option(resume)
    start = add_command(
        commands,
        "start",
        start_run,
        summary="start a run from its first step that has no checkpoint yet",
        about="""Start a run that never began, or that ended before its first checkpoint, from its first step; it keeps its id.

        The profile that it was launched from is read again. No checkpoint is there that an edit could not fit, so all edits
        made since are applied, and each is told. A run of a stage takes those that fit what the stage before it left.""",
        examples=["sdxl-tui start latest --wait", "sdxl-tui start latest --as-launched"],
        exits=WAIT_EXITS,
    )
    add_run_argument(start)
    start.add_argument(
        "--as-launched",
        action="store_true",
        help="no later edit counts, also none that an earlier start applied: train what the run was launched with",
    )
    add_wait_option(start)
    effect = add_command(
        commands,
        "effect",
        show_effect,
        summary="say what becomes of each edited setting at a resume",
        about="""Compare a checkpoint's settings with PROFILE, by default the one its run was launched from, and say of every
        setting that differs what a resume would do with it and which way on would apply it. Nothing is started.""",
        examples=[
            "sdxl-tui effect latest",
            "sdxl-tui effect demo@20 my.toml",
            "sdxl-tui effect latest --set optimizer.lr=5e-5",
        ],
        json=True,
    )
    add_checkpoint_argument(effect)
    effect.add_argument("profile", nargs="?", metavar="PROFILE", help="file or name of a profile")
    add_overrides_option(effect, "change a field besides; may be given several times")


def _add_profile_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--profile", metavar="PROFILE", help="file or name of the profile to go on with (default: the run's source)"
    )
    add_overrides_option(parser, "change a field besides; may be given several times")


def resume_run(arguments: argparse.Namespace) -> int:
    """``sdxl-tui resume RUN|CHECKPOINT``."""
    from engine.checkpoint.describe import CheckpointError, describe  # noqa: PLC0415
    from sdxl_tui.fleet.launch import resume  # noqa: PLC0415

    workspace = workspace_to_read(arguments)
    refuse(arguments.checkpoint, "resume")
    try:
        folder = checkpoint_named(arguments.checkpoint, workspace)
    except CheckpointError as error:
        raise _with_a_way_on(error, workspace, arguments) from None
    summary = describe(folder)
    run = run_that_holds(folder)
    profile = _settled(_edits(arguments, workspace, run, folder), run, folder, arguments.keep_stored)
    resume(run, folder, profile=profile)
    out().line(run.id)
    rates = "  ".join(f"{name} {format_lr(lrs[0])}" for name, lrs in summary.next_lrs(1).items())
    err().line(
        f"Resumed from {summary.name}: step {summary.step + 1} of {summary.total_steps} is next, LR {clean(rates)}."
    )
    return follow(run, program(arguments)) if arguments.wait else EXIT_OK


def _with_a_way_on(error: UserError, workspace: Workspace, arguments: argparse.Namespace) -> UserError:
    """The same; of a run that has no checkpoint it says what can be done with it."""
    from engine.checkpoint.describe import resume_point  # noqa: PLC0415
    from engine.run.liveness import assess  # noqa: PLC0415

    try:
        run = find_run(workspace, arguments.checkpoint)
        if resume_point(run) is not None:
            return error
    except (UserError, OSError):
        return error
    begin, liveness = program(arguments), assess(run)
    hint = f"Start it again from its first step, with its settings: {begin} start {run.id}"
    if run.checkpoint_folders():
        hint = f"Launch its settings as a new run: {begin} launch {run.latest_profile}"
    elif liveness.alive:
        hint = f"It is {liveness.state}. Have one saved: {begin} save {run.id}"
    return UserError(error.what, where=error.where, hint=hint)


def start_run(arguments: argparse.Namespace) -> int:
    """``sdxl-tui start RUN``."""
    from sdxl_tui.fleet.start_again import plan_start_again  # noqa: PLC0415

    run = find_run(workspace_to_read(arguments), arguments.run)
    plan = plan_start_again(run, as_launched=arguments.as_launched)
    printer = err()
    for note in plan.notes:
        printer.line(f"Note: {note}.")
    rate = format_lr(plan.trained.leading_lr)
    number = plan.start()
    if plan.edits:
        back = "Applied by an earlier start, and taken back (as launched):"
        printer.line(back if plan.as_launched else f"Edited since ({clean(str(plan.source))}), and applied:")
        for line in plan.edits_text.splitlines():
            printer.line(f"  {line}")
    out().line(run.id)
    out().flush()
    again = "" if number == 1 else f" (start {number})"
    printer.line(f"It trains from its first step{again}, base LR {rate}.")
    return follow(run, program(arguments)) if arguments.wait else EXIT_OK


def _edits(arguments: argparse.Namespace, workspace: Workspace, run: RunDirectory, folder: Path) -> Edits:
    from engine.profile.shipped import find_profile  # noqa: PLC0415
    from sdxl_tui.fleet.edits import look_for_edits  # noqa: PLC0415

    as_launched = getattr(arguments, "as_launched", False)
    if as_launched and arguments.profile:
        raise UserError("--profile and --as-launched exclude each other", hint="Keep one of the two.")
    profile = find_profile(arguments.profile, workspace.profiles) if arguments.profile else None
    return look_for_edits(
        run, folder, profile=profile, overrides=arguments.overrides, as_launched=as_launched, tell=err().line
    )


def _settled(edits: Edits, run: RunDirectory, folder: Path, keep_stored: bool) -> Profile | None:
    """What the attempt trains, after the table of effects was printed. Raises ``UserError`` where that is to be decided."""
    from engine.routes.route import RouteError  # noqa: PLC0415
    from sdxl_tui.cli.plan_text import print_effects  # noqa: PLC0415

    printer, plan = err(), edits.plan
    for note in edits.notes:
        printer.line(f"Note: {note}.")
    if not plan.effects:
        return None
    printer.line(f"Edited since {folder.name} was saved ({clean(str(edits.source or 'the run itself'))}):")
    print_effects(printer, plan.effects)
    printer.line()
    try:
        return edits.attempts_profile(run, keep_stored=keep_stored)
    except RouteError as error:
        raise UserError(error.what, where=error.where, hint=_ways_on(edits, run.id, _step(folder))) from None


def _ways_on(edits: Edits, run_id: str, step: int) -> str:
    """Every command that decides what an exact resume leaves open."""
    from sdxl_tui.fleet.route_commands import commands_for  # noqa: PLC0415

    plan, checkpoint = edits.plan, f"{run_id}@{step}"
    commands = commands_for(plan.fixed + plan.restored, run_id, step, plan.applied)
    lines = ["To apply what was edited:", *(f"  {command}" for command in commands)]
    if not commands:
        lines = ["To apply what was edited, launch it as a new run."]
    if not plan.fixed:
        lines += ["To go on with the stored values:", f"  sdxl-tui resume {checkpoint} --keep-stored"]
    if edits.source is not None:
        lines += ["To look at no edit at all:", f"  sdxl-tui resume {checkpoint} --as-launched"]
    return "\n".join(lines)


def _step(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


def show_effect(arguments: argparse.Namespace) -> int:
    """``sdxl-tui effect CHECKPOINT [PROFILE]``."""
    from sdxl_tui.cli.plan_text import print_effects  # noqa: PLC0415
    from sdxl_tui.fleet.route_commands import commands_for  # noqa: PLC0415

    workspace = workspace_to_read(arguments)
    folder = checkpoint_named(arguments.checkpoint, workspace)
    run = run_that_holds(folder)
    edits = _edits(arguments, workspace, run, folder)
    plan = edits.plan
    held = plan.fixed + plan.restored
    commands = commands_for(held, run.id, _step(folder), plan.applied) if held else ()
    if arguments.json:
        out().json(
            {
                "checkpoint": str(folder),
                "profile": None if edits.source is None else str(edits.source),
                "effects": [effect.to_json() for effect in plan.effects],
                "resume": "refused" if plan.fixed else "needs --keep-stored" if plan.restored else "possible",
                "commands": list(commands),
                "notes": list(edits.notes),
            }
        )
        return EXIT_OK
    for note in edits.notes:
        err().line(f"Note: {note}.")
    if not plan.effects:
        out().line("Nothing differs: a resume goes on exactly.")
        return EXIT_OK
    print_effects(out(), plan.effects)
    for command in commands:
        out().line(f"  {command}")
    return EXIT_OK
