"""``--finish-first``: let the stored schedule end before a child begins under a new one."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from sdxl_tui.cli.arguments import EXIT_OK
from sdxl_tui.cli.checkpoint_commands import run_of
from sdxl_tui.cli.opening import program
from sdxl_tui.cli.output import err, out
from sdxl_tui.cli.progress import follow
from sdxl_tui.cli.queueing import go_on_now, say_what_began, turn_of
from sdxl_tui.terminal.numbers import format_count, format_duration

if TYPE_CHECKING:
    from pathlib import Path

    from engine.checkpoint.describe import CheckpointSummary
    from engine.profile.schema import Profile
    from engine.routes.plan import ChildPlan
    from sdxl_tui.workspace import Workspace


def add_finish_first_option(parser: argparse.ArgumentParser) -> None:
    """``--finish-first``."""
    parser.add_argument(
        "--finish-first",
        action="store_true",
        help="let the run train the steps that are left of its schedule, then begin: both wait in the queue",
    )


def finish_first(
    arguments: argparse.Namespace,
    workspace: Workspace,
    checkpoint: Path,
    planner: Callable[[CheckpointSummary, Profile, argparse.Namespace], ChildPlan],
) -> int:
    """``continue`` and ``reschedule`` with ``--finish-first``."""
    from engine.checkpoint.describe import describe  # noqa: PLC0415
    from engine.profile.load import read_snapshot  # noqa: PLC0415
    from sdxl_tui.cli.plan_text import plan_as_json, print_left_out, print_plan  # noqa: PLC0415
    from sdxl_tui.fleet.edits import edits_left_out  # noqa: PLC0415
    from sdxl_tui.fleet.queue.chains import end_to_wait_for, finish_then  # noqa: PLC0415

    parent = run_of(checkpoint)
    assert parent is not None
    turn = turn_of(arguments, workspace, always=True)
    assert turn is not None
    end = end_to_wait_for(parent, checkpoint)
    plan = planner(end, read_snapshot(parent.latest_profile), arguments)
    not_taken = edits_left_out(parent, checkpoint, (plan,))
    summary = describe(checkpoint)
    if not arguments.json:
        left = f"{format_count(summary.steps_left)} steps" if summary.steps_left > 1 else "1 step"
        took = summary.elapsed_seconds / summary.step if summary.step else 0.0
        about = f", about {format_duration(took * summary.steps_left)}" if took else ""
        err().line(f"First {parent.id} trains the {left} that are left of its schedule{about}. Then:")
        print_plan(err(), plan)
        print_left_out(err(), not_taken, plan)
    child = None if arguments.dry_run else finish_then(workspace, parent, plan, turn)
    if child is not None:
        went = go_on_now(workspace)
    if arguments.json:
        out().json(
            plan_as_json(plan, not_taken)
            | {
                "resized": None,
                "run": child.id if child else None,
                "after": parent.id,
                "steps_before": summary.steps_left,
            }
        )
    elif child is None:
        err().line("Nothing was started (--dry-run).")
    else:
        out().line(child.id)
        out().flush()
        say_what_began(went, workspace, child, program(arguments))
    return follow(child, program(arguments)) if child and arguments.wait else EXIT_OK
