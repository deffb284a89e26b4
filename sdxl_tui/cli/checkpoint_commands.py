"""The commands that look at checkpoints: ``checkpoints`` and ``inspect``. What they print is in ``checkpoint_text``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from engine.run.layout import RunDirectory
from engine.run.records import RunRecord
from sdxl_tui.cli.arguments import EXIT_OK, Commands, add_command, whole_number
from sdxl_tui.cli.checkpoint_place import checkpoint_named
from sdxl_tui.cli.opening import program, workspace_to_read
from sdxl_tui.cli.output import err, out
from sdxl_tui.cli.run_commands import add_run_argument
from sdxl_tui.fleet.runs import find_run

if TYPE_CHECKING:
    from pathlib import Path

CHECKPOINT_HELP: Final = "a checkpoint's folder, RUN/step-00000020, RUN@20, or RUN for its newest"


def add_commands(commands: Commands) -> None:
    """Declare them."""
    checkpoints = add_command(
        commands,
        "checkpoints",
        show_checkpoints,
        summary="list a run's checkpoints",
        about="""List the checkpoints of a run, oldest first: where each stands on the schedule and whether it is whole
        (judged by the sizes of its files; inspect compares the digests). The one that resume would take has a star.""",
        examples=["sdxl-tui checkpoints latest", "sdxl-tui checkpoints demo --json"],
        json=True,
    )
    add_run_argument(checkpoints)
    inspect = add_command(
        commands,
        "inspect",
        inspect_checkpoint,
        summary="show the scheduler state stored in a checkpoint",
        about="""Show what a checkpoint holds: its schedule with all parameters, base and current learning rate of each
        group, where it stands, which rates the next steps of a resume would use, loss, LoRA, optimizer, and whether
        its files are what was saved. A training state of sd-scripts and a LoRA file are read as far as they go: without
        running anything in them, and what is not stored is said to be not stored.""",
        examples=[
            "sdxl-tui inspect latest",
            "sdxl-tui inspect ./output/mine-step00000500-state",
            "sdxl-tui inspect ./mine.safetensors",
            "sdxl-tui inspect demo@20 --next 10",
            "sdxl-tui inspect ./step-00000020 --json",
        ],
        exits=("0 it is whole", "2 it is damaged (what can be read is shown), or there is no such checkpoint"),
        json=True,
    )
    add_checkpoint_argument(inspect)
    inspect.add_argument(
        "--next", type=whole_number(1), default=5, metavar="N", help="rates of the next N steps (default: 5)"
    )


def add_checkpoint_argument(parser: argparse.ArgumentParser, help: str = CHECKPOINT_HELP) -> None:
    """``CHECKPOINT``."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help=help)


def run_of(checkpoint: Path) -> RunDirectory | None:
    """The run that the checkpoint in ``checkpoint`` lies in; None for a folder that was copied elsewhere."""
    run = RunDirectory(checkpoint.parent.parent)
    return run if checkpoint.parent.name == run.checkpoints.name and run.record.is_file() else None


def way_around(whole: Path | None, begin: str) -> str:
    """What to do about a damaged checkpoint, in a sentence. whole: the newest whole one beside it; begin: how commands begin."""
    from engine.checkpoint.describe import describe  # noqa: PLC0415 - slow

    if whole is None:
        return "There is no whole checkpoint beside it."
    summary, run = describe(whole), whole.parent.parent.name
    if summary.steps_left:
        return f"{begin} resume {run}@{summary.step} goes on from the newest whole one."
    return f"The newest whole one, {run}@{summary.step}, is at its schedule's end: {begin} continue {run}@{summary.step} --lr LR"


def show_checkpoints(arguments: argparse.Namespace) -> int:
    """``sdxl-tui checkpoints RUN``."""
    from engine.checkpoint.describe import CheckpointSummary, list_checkpoints, resume_point  # noqa: PLC0415 - slow
    from engine.checkpoint.pins import read_pins  # noqa: PLC0415
    from sdxl_tui.cli.checkpoint_text import print_checkpoints, row_as_json  # noqa: PLC0415

    run = find_run(workspace_to_read(arguments), arguments.run)
    found = list_checkpoints(run)
    next_start, pinned = resume_point(run), read_pins(run)
    if arguments.json:
        out().json([row_as_json(item, next_start, pinned) for item in found])
    elif found:
        print_checkpoints(out(), found, next_start, pinned)
        starred = next((item for item in found if item.folder == next_start), None)
        if isinstance(starred, CheckpointSummary) and starred.steps_left:
            err().line(f"* where resume would go on: {program(arguments)} resume {run.id}")
        elif starred is not None:
            err().line(f"* all steps are done; to train on: {program(arguments)} continue {run.id} --lr LR")
    else:
        err().line(f"{run.id} has no checkpoint yet.")
    return EXIT_OK


def inspect_checkpoint(arguments: argparse.Namespace) -> int:
    """``sdxl-tui inspect CHECKPOINT``."""
    from engine.checkpoint.describe import (  # noqa: PLC0415
        CheckpointError,
        describe,
        newest_whole,
        verify,
    )
    from sdxl_tui.cli.checkpoint_text import checkpoint_as_json, print_checkpoint  # noqa: PLC0415
    from sdxl_tui.cli.foreign_files import inspect_foreign, is_foreign  # noqa: PLC0415

    if is_foreign(arguments.checkpoint):
        return inspect_foreign(arguments.checkpoint, json=arguments.json)

    folder = checkpoint_named(arguments.checkpoint, workspace_to_read(arguments))
    summary = describe(folder)
    damage = None if summary.is_whole else summary.integrity
    if damage is None:
        try:
            verify(folder, digests=True)
        except CheckpointError as error:
            damage = error.what
    run = run_of(folder)
    record = RunRecord.read(run.record) if run else None
    if arguments.json:
        lineage = record.to_json() if record else {}
        shown = checkpoint_as_json(summary, arguments.next)
        out().json(
            shown
            | {
                "integrity": damage or "whole",
                "digests_compared": True,
                "parent": lineage.get("parent"),
                "origin": lineage.get("origin"),
            }
        )
    else:
        print_checkpoint(out(), summary, damage=damage, record=record, count=arguments.next)
    if damage is not None:
        whole = newest_whole(run, besides=folder) if run else None
        raise CheckpointError(f"is damaged: {damage}", where=str(folder), hint=way_around(whole, program(arguments)))
    return EXIT_OK
