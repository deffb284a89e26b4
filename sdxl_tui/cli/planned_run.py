"""Carrying out a plan that has been shown: the run is made and started or queued, or with ``--dry-run`` only tried."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from sdxl_tui.cli.arguments import EXIT_OK
from sdxl_tui.cli.opening import program
from sdxl_tui.cli.output import err, out
from sdxl_tui.cli.progress import follow
from sdxl_tui.cli.queueing import start_or_queue
from sdxl_tui.terminal.clean import clean

if TYPE_CHECKING:
    from engine.routes.plan import ChildPlan, FilePlan
    from engine.run.layout import RunDirectory
    from sdxl_tui.fleet.children import ResizeReport
    from sdxl_tui.fleet.edits import LeftOut
    from sdxl_tui.workspace import Workspace

    Told = Callable[[ResizeReport], None]


def carry_out(
    arguments: argparse.Namespace,
    workspace: Workspace,
    plan: ChildPlan | FilePlan,
    *,
    given: Callable[[Told], AbstractContextManager[object]],
    make: Callable[[Told], RunDirectory],
    left: LeftOut | None = None,
) -> int:
    """Do what ``plan`` says, say what a resize has kept and what came of it, and follow the run with ``--wait``; the exit code.

    given: what the run would be given, for a dry run. make: makes the run. left: edits that it does not have.
    """
    from sdxl_tui.cli.plan_text import plan_as_json  # noqa: PLC0415

    reports: list[ResizeReport] = []
    if arguments.dry_run:
        run = None
        with given(reports.append):
            pass  # what would be given to it is made, looked at and thrown away
    else:
        run = start_or_queue(arguments, workspace, lambda: make(reports.append))
    for report in reports:
        err().line(clean(report.sentence))
    if arguments.json:
        kept = [{"modules": one.modules, "least": one.least, "worst": one.worst} for one in reports]
        out().json(plan_as_json(plan, left) | {"resized": kept[0] if kept else None, "run": run.id if run else None})
    elif run:
        out().line(run.id)
    else:
        err().line("Nothing was started (--dry-run).")
    return follow(run, program(arguments)) if run and arguments.wait else EXIT_OK
