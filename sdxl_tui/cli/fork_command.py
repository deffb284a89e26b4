"""The command ``fork``: several children of one checkpoint, waiting as siblings in the queue."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

from engine.errors import UserError
from sdxl_tui.cli.arguments import EXIT_OK, Commands, add_command, add_overrides_option, rate_or_factor, whole_number
from sdxl_tui.cli.checkpoint_commands import add_checkpoint_argument
from sdxl_tui.cli.checkpoint_place import checkpoint_named
from sdxl_tui.cli.child_commands import RATE_HELP, group_rate, rate_of, run_that_holds
from sdxl_tui.cli.file_starts import refuse
from sdxl_tui.cli.opening import program, workspace_to_read
from sdxl_tui.cli.output import Column, err, out
from sdxl_tui.cli.queueing import add_queue_options, go_on_now, say_refused, turn_of
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count, format_factor, format_lr

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.checkpoint.describe import CheckpointSummary
    from engine.routes.plan import ChildPlan

COLUMNS = (
    Column("CHILD", shortens=True),
    Column("LR", right=True),
    Column("JUMP", right=True),
    Column("SCHEDULE", droppable=1),
    Column("WARMUP", right=True, droppable=2),
    Column("STEPS", right=True),
)


def add_commands(commands: Commands) -> None:
    """Declare it."""
    fork = add_command(
        commands,
        "fork",
        fork_checkpoint,
        summary="try several learning rates or schedules from one checkpoint",
        about="""Make a child run for every combination of the rates, schedules and warmups given, each named by what differs, and
        let them wait in the queue: they train one after another, or at once where there are GPUs for it. Each is what
        'continue' would make; with --keep-moments what 'reschedule' would.

        compare shows two of them side by side. With --dry-run nothing is made.""",
        examples=[
            "sdxl-tui fork latest --lr 1e-4,5e-5,2e-5",
            "sdxl-tui fork demo@20 --lr x1,x0.5 --schedule cosine,constant --steps 200 --dry-run",
            "sdxl-tui fork demo@20 --lr x1,x0.3 --keep-moments --warmup 20",
        ],
        json=True,
    )
    add_checkpoint_argument(fork)
    fork.add_argument("--lr", type=_list_of(rate_or_factor), metavar="LR,LR", help=f"base learning rates: {RATE_HELP}")
    fork.add_argument("--schedule", type=_list_of(str), metavar="KIND,KIND", help="kinds of schedule")
    fork.add_argument(
        "--warmup", type=_list_of(whole_number(0)), metavar="N,N", help="steps in which the rate rises (default: 0)"
    )
    fork.add_argument(
        "--steps", type=whole_number(1), metavar="N", help="steps of each (default: those that were left)"
    )
    fork.add_argument("--group-lr", action="append", default=[], metavar="GROUP=LR", help="as with continue")
    fork.add_argument("--shape", action="append", default=[], metavar="NAME=VALUE", help="as with continue")
    fork.add_argument("--keep-moments", action="store_true", help="keep the optimizer's state, as reschedule does")
    add_overrides_option(fork, "change another field for all of them")
    fork.add_argument("--dry-run", action="store_true", help="show what would be made and make nothing")
    add_queue_options(fork, share=False)


def _list_of(parse: Callable[[str], object]) -> Callable[[str], list[object]]:
    def parse_all(text: str) -> list[object]:
        return [parse(part.strip()) for part in text.split(",")]

    return parse_all


def fork_checkpoint(arguments: argparse.Namespace) -> int:
    """``sdxl-tui fork CHECKPOINT``."""
    from engine.checkpoint.describe import describe  # noqa: PLC0415
    from sdxl_tui.cli.plan_text import plan_as_json, print_left_out  # noqa: PLC0415
    from sdxl_tui.fleet.edits import edits_left_out  # noqa: PLC0415
    from sdxl_tui.fleet.queue.chains import queue_siblings  # noqa: PLC0415

    workspace = workspace_to_read(arguments)
    refuse(arguments.checkpoint, "fork")
    folder = checkpoint_named(arguments.checkpoint, workspace)
    plans = _plans(arguments, describe(folder))
    left = edits_left_out(run_that_holds(folder), folder, plans)
    turn = turn_of(arguments, workspace, always=True)
    assert turn is not None
    runs = [] if arguments.dry_run else queue_siblings(workspace, plans, turn)
    went = go_on_now(workspace) if runs else None
    if arguments.json:
        ids: list[str | None] = [run.id for run in runs]
        ids = ids or [None] * len(plans)
        out().json(
            [
                plan_as_json(plan, left) | {"name": plan.profile.name, "run": run}
                for plan, run in zip(plans, ids, strict=True)
            ]
        )
        return EXIT_OK
    printer = err()
    printer.table(COLUMNS, [_row(plan) for plan in plans])
    for remark in dict.fromkeys(note for plan in plans for note in (*plan.notes, *plan.warnings)):
        printer.paragraph(clean(remark), indent=2)
    print_left_out(printer, left, plans[0])
    for run in runs:
        out().line(run.id)
    if went is None:
        printer.line("Nothing was made (--dry-run).")
    else:
        began = [run.id for run in runs if run.id in went.started]
        printer.line(f"{len(began)} of {len(runs)} started, the others wait.  See: {program(arguments)} queue")
        say_refused(went)
    return EXIT_OK


def _plans(arguments: argparse.Namespace, summary: CheckpointSummary) -> tuple[ChildPlan, ...]:
    from engine.profile.load import read_snapshot  # noqa: PLC0415
    from engine.routes.child import read_shape  # noqa: PLC0415
    from engine.routes.continuing import plan_continuation  # noqa: PLC0415
    from engine.routes.forking import Fork, plan_fork  # noqa: PLC0415
    from engine.routes.route import Route  # noqa: PLC0415

    if not (arguments.lr or arguments.schedule or arguments.warmup):
        raise UserError("nothing to try was given", where="fork", hint="For instance --lr 1e-4,5e-5,2e-5")
    lrs = tuple(rate_of(text, summary) for text in arguments.lr) if arguments.lr else (None,)
    plan = partial(
        plan_continuation,
        summary,
        read_snapshot(run_that_holds(summary.folder).latest_profile),
        group_lrs=dict(group_rate(text, summary) for text in arguments.group_lr),
        steps=arguments.steps,
        shape=read_shape(arguments.shape),
        route=Route.RESCHEDULE if arguments.keep_moments else Route.CONTINUE,
        overrides=arguments.overrides,
    )
    return plan_fork(Fork(lrs, tuple(arguments.schedule or (None,)), tuple(arguments.warmup or (None,))), plan)


def _row(plan: ChildPlan) -> list[str]:
    jump = "from 0" if plan.jump is None else format_factor(plan.jump)
    return [
        clean(plan.profile.name),
        format_lr(plan.new_base_lr),
        jump,
        plan.new.kind.value,
        format_count(plan.new.warmup_steps),
        format_count(plan.steps),
    ]
