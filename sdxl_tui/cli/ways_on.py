"""The two ways on from a checkpoint: ``resume`` (exactly) and ``continue`` (with a new learning rate)."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from engine.errors import UserError
from sdxl_tui.cli.arguments import (
    EXIT_OK,
    WAIT_EXITS,
    Commands,
    add_command,
    add_wait_option,
    learning_rate,
    whole_number,
)
from sdxl_tui.cli.checkpoint_commands import CHECKPOINT_HELP, add_checkpoint_argument, run_of
from sdxl_tui.cli.opening import program, workspace_to_read
from sdxl_tui.cli.output import Printer, err, out
from sdxl_tui.cli.progress import follow
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count, format_factor, format_lr

if TYPE_CHECKING:
    from pathlib import Path

    from engine.checkpoint.describe import CheckpointSummary
    from engine.continuation import Continuation
    from engine.run.layout import RunDirectory
    from engine.schedule import Schedule


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
        newer checkpoints stay until they are reached. To change the learning rate, use continue.""",
        examples=["sdxl-tui resume latest --wait", "sdxl-tui resume demo@20"],
        exits=WAIT_EXITS,
    )
    resume.add_argument("checkpoint", metavar="RUN|CHECKPOINT", help=f"a run, or {CHECKPOINT_HELP}")
    add_wait_option(resume)
    onward = add_command(
        commands,
        "continue",
        continue_run,
        summary="train on from a checkpoint with a new learning rate",
        about="""Start a child run from a checkpoint's weights with a new learning rate. The optimizer and the schedule
        start anew, so the new rate takes effect at once; the parent run stays as it is.

        Prints what is kept, what is new and by what factor the rate jumps, then the id of the new run.
        With --dry-run nothing is started.""",
        examples=[
            "sdxl-tui continue latest --lr 5e-5 --dry-run",
            "sdxl-tui continue demo@20 --lr 1e-4 --schedule constant --warmup 10 --wait",
            "sdxl-tui continue demo@20 --lr 1e-4 --schedule rex --shape min_factor=0.1",
        ],
        exits=WAIT_EXITS,
        json=True,
    )
    add_checkpoint_argument(onward)
    onward.add_argument(
        "--lr", type=learning_rate, required=True, metavar="LR", help="new base learning rate, 1e-4 or 0.0001"
    )
    onward.add_argument(
        "--schedule",
        metavar="KIND",
        help="kind of schedule, such as constant, cosine or rex: schedule.kind of docs/profile-reference.md "
        "(default: the checkpoint's)",
    )
    onward.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="what shapes the schedule, such as cycles=3 or min_factor=0.1: another field of the profile's [schedule]; "
        "may be given several times (default: the checkpoint's)",
    )
    onward.add_argument(
        "--warmup", type=whole_number(0), metavar="N", help="steps in which the rate rises from 0 (default: 0)"
    )
    onward.add_argument(
        "--steps",
        type=whole_number(1),
        metavar="N",
        help="steps to train (default: those that were left, or all again)",
    )
    onward.add_argument("--dry-run", action="store_true", help="show what would happen and start nothing")
    add_wait_option(onward)


def resume_run(arguments: argparse.Namespace) -> int:
    """``sdxl-tui resume RUN|CHECKPOINT``."""
    from engine.checkpoint.describe import describe, resolve_checkpoint  # noqa: PLC0415
    from sdxl_tui.fleet.launch import resume  # noqa: PLC0415

    folder = resolve_checkpoint(arguments.checkpoint, workspace_to_read(arguments).runs)
    summary = describe(folder)
    run = _run_that_holds(folder)
    resume(run, folder)
    out().line(run.id)
    rates = "  ".join(f"{name} {format_lr(lrs[0])}" for name, lrs in summary.next_lrs(1).items())
    err().line(
        f"Resumed from {summary.name}: step {summary.step + 1} of {summary.total_steps} is next, LR {clean(rates)}."
    )
    return follow(run, program(arguments)) if arguments.wait else EXIT_OK


def _run_that_holds(folder: Path) -> RunDirectory:
    run = run_of(folder)
    if run is None:
        hint = (
            "Resume needs the run's folder around the checkpoint; continue and inspect work on runs of a workspace too."
        )
        raise UserError("the checkpoint does not lie in a run", where=str(folder), hint=hint)
    return run


def continue_run(arguments: argparse.Namespace) -> int:
    """``sdxl-tui continue CHECKPOINT --lr LR``."""
    from engine.checkpoint.describe import describe, resolve_checkpoint  # noqa: PLC0415
    from engine.continuation import plan_continuation, read_shape  # noqa: PLC0415
    from engine.profile.load import read_snapshot  # noqa: PLC0415
    from sdxl_tui.fleet import launch  # noqa: PLC0415

    workspace = workspace_to_read(arguments)
    folder = resolve_checkpoint(arguments.checkpoint, workspace.runs)
    summary = describe(folder)
    plan = plan_continuation(
        summary,
        read_snapshot(_run_that_holds(folder).profile),
        lr=arguments.lr,
        kind=arguments.schedule,
        warmup_steps=arguments.warmup,
        steps=arguments.steps,
        shape=read_shape(arguments.shape),
    )
    if not arguments.json:
        _print_plan(err(), plan, summary)
    child = None if arguments.dry_run else launch.continue_run(workspace, folder, plan)
    if arguments.json:
        out().json(_plan_as_json(plan, summary) | {"run": child.id if child else None})
    elif child:
        out().line(child.id)
    else:
        err().line("Nothing was started (--dry-run).")
    return follow(child, program(arguments)) if child and arguments.wait else EXIT_OK


def _print_plan(printer: Printer, plan: Continuation, summary: CheckpointSummary) -> None:
    printer.line(printer.paint(clean(f"Continue from {summary.run_id}/{summary.name}"), "bold"))
    printer.line()
    printer.fields(
        [
            ("kept", "LoRA weights of the checkpoint"),
            ("new", "optimizer moments, schedule and LR, data position, random state"),
            (
                "stored schedule",
                f"{_schedule(plan.old, plan.old_base_lr)}\nthe checkpoint stands at step {plan.old_step:,}",
            ),
            ("new schedule", _schedule(plan.new, plan.new_base_lr)),
            ("LR at the seam", f"{format_lr(plan.jump_from)} → {format_lr(plan.jump_to)}: {_jump(plan)}"),
        ],
        indent=2,
    )
    for sentence in dict.fromkeys(effect.what_happens for effect in plan.effects):
        printer.line()
        printer.line(f"  Changed, and each {sentence}:")
        changes = [effect for effect in plan.effects if effect.what_happens == sentence]
        printer.fields([(one.field, f"{_value(one.stored)} → {_value(one.new)}") for one in changes], indent=4)
    printer.line()
    for remark in plan.notes:
        printer.paragraph(remark, indent=2)
    if plan.warmup_is_advised:
        printer.line(printer.paint(f"  A warmup would soften the jump: --warmup {plan.suggested_warmup}", "yellow"))
    printer.line()


def _schedule(schedule: Schedule, base_lr: float) -> str:
    shape = ", ".join(f"{name} {text}" for name, text in schedule.shown()[1:])
    steps = format_count(schedule.total_steps)
    return f"{schedule.kind.value} over {steps} steps{f' ({shape})' * bool(shape)}, base LR {format_lr(base_lr)}"


def _jump(plan: Continuation) -> str:
    if plan.jump is None:
        return "up from 0"
    return "unchanged" if plan.jump == 1 else f"{format_factor(plan.jump)} as high"


def _value(value: object) -> str:
    return format_lr(value) if isinstance(value, float) and 0 < value < 0.01 else str(value)


def _plan_as_json(plan: Continuation, summary: CheckpointSummary) -> dict[str, Any]:
    return {
        "route": plan.route,
        "checkpoint": str(summary.folder),
        "old": plan.old.to_json() | {"base_lr": plan.old_base_lr, "step": plan.old_step},
        "new": plan.new.to_json() | {"base_lr": plan.new_base_lr},
        "jump": plan.jump,
        "jump_from": plan.jump_from,
        "jump_to": plan.jump_to,
        "suggested_warmup": plan.suggested_warmup,
        "effects": [
            {"field": effect.field, "stored": effect.stored, "new": effect.new, "what_happens": effect.what_happens}
            for effect in plan.effects
        ],
        "notes": list(plan.notes),
    }
