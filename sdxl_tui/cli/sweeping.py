"""``launch --sweep``: a profile with several values of a field or two, each combination a run that waits in the queue."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sdxl_tui.cli.arguments import EXIT_OK, UsageError
from sdxl_tui.cli.opening import program
from sdxl_tui.cli.output import Column, err, out
from sdxl_tui.cli.queueing import go_on_now, say_refused, turn_of
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count

if TYPE_CHECKING:
    from sdxl_tui.workspace import Workspace


def add_sweep_options(parser: argparse.ArgumentParser) -> None:
    """``--sweep`` and ``--dry-run``."""
    group = parser.add_argument_group("several at once")
    group.add_argument(
        "--sweep",
        action="append",
        default=[],
        metavar="section.field=value,value",
        help="queue a run for each value, named by it; given twice, for each pair of values of the two fields",
    )
    group.add_argument(
        "--dry-run", action="store_true", help="with --sweep: show what would be queued and make nothing"
    )


def require_sweep_for_dry_run(arguments: argparse.Namespace) -> None:
    """One run is looked at beforehand by ``check``."""
    if arguments.dry_run and not arguments.sweep:
        raise UsageError("--dry-run goes with --sweep", hint=f"For one run: sdxl-tui check {arguments.profile}")


def launch_sweep(arguments: argparse.Namespace, workspace: Workspace, path: Path) -> int:
    """Queue a run for every combination, or only show them."""
    from engine.profile.sweep import read_swept_field, sweep_profile  # noqa: PLC0415
    from sdxl_tui.fleet.launch_warnings import launch_warnings  # noqa: PLC0415
    from sdxl_tui.fleet.queue.chains import queue_profiles  # noqa: PLC0415

    if arguments.wait:
        raise UsageError("--wait follows one run, and a sweep makes several", hint="See them: sdxl-tui queue")
    turn = turn_of(arguments, workspace, always=True)
    assert turn is not None
    swept = [read_swept_field(text) for text in arguments.sweep]
    found = sweep_profile(path, swept, arguments.overrides)
    columns = [Column("RUN", shortens=True), *(Column(field.short.upper(), right=True) for field in swept)]
    printer = err()
    printer.table(
        [*columns, Column("STEPS", right=True)],
        [
            [clean(one.loaded.profile.name), *map(clean, one.values), format_count(one.loaded.profile.planned_steps)]
            for one in found
        ],
    )
    for warning in dict.fromkeys(text for one in found for text in launch_warnings(workspace, one.loaded)):
        printer.line(f"{printer.paint('warning:', 'yellow')} {clean(warning)}")
    if arguments.dry_run:
        printer.line("Nothing was made (--dry-run).")
        return EXIT_OK
    runs = queue_profiles(workspace, [one.loaded for one in found], turn)
    went = go_on_now(workspace)
    for run in runs:
        out().line(run.id)
    out().flush()
    began = sum(run.id in went.started for run in runs)
    printer.line(f"{began} of {len(runs)} started, the others wait.  See: {program(arguments)} queue")
    say_refused(went)
    return EXIT_OK
