"""The commands on which checkpoints stay: ``pin``, ``unpin`` and ``delete``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.errors import UserError
from sdxl_tui.cli.arguments import EXIT_OK, EXIT_USER_ERROR, Commands, add_command
from sdxl_tui.cli.checkpoint_commands import add_checkpoint_argument, run_of
from sdxl_tui.cli.checkpoint_place import checkpoint_named
from sdxl_tui.cli.opening import workspace_to_read
from sdxl_tui.cli.output import Printer, err, out
from sdxl_tui.fleet.runs import refuse_watched
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_bytes

if TYPE_CHECKING:
    from engine.run.layout import RunDirectory
    from sdxl_tui.fleet.deletion import DeletionPlan

CHECKPOINT_OF_A_STEP: Final = "a checkpoint's folder, RUN/step-00000020 or RUN@20"
DELETE_EXITS: Final = (
    "0 deleted, or nothing was to be deleted",
    "2 something that was named had to stay: one line says what and why",
    "130 Ctrl-C: nothing is deleted",
)


def add_commands(commands: Commands) -> None:
    """Declare them."""
    pin = add_command(
        commands,
        "pin",
        pin_checkpoint,
        summary="keep a checkpoint whatever the profile says",
        about="""Pin a checkpoint: the run's own pruning (checkpoints.keep_last) passes it over, and delete refuses it. A live run
        heeds the pin at its next save.""",
        examples=["sdxl-tui pin demo@20", "sdxl-tui pin latest"],
    )
    add_checkpoint_argument(pin)
    unpin = add_command(
        commands,
        "unpin",
        unpin_checkpoint,
        summary="let a pinned checkpoint go again",
        about="""Take the pin from a checkpoint. It stays until the run prunes its checkpoints at a save, or you delete it.""",
        examples=["sdxl-tui unpin demo@20"],
    )
    add_checkpoint_argument(unpin)
    delete = add_command(
        commands,
        "delete",
        delete_checkpoints,
        summary="delete checkpoints, after saying how much goes",
        about="""Delete checkpoints of runs. What goes and how many bytes is said first, and asked, unless --yes is given.

        Never deleted: a pinned checkpoint, the last whole one of its run (every byte is compared), the one that a live run
        began at, the one that a run in the queue will begin at, one that is being written, and what is no checkpoint of a
        run. Runs that were continued from a checkpoint have their own copy of its weights and are not touched.""",
        examples=[
            "sdxl-tui delete demo@20",
            "sdxl-tui delete demo@20 demo@40 --dry-run",
            "sdxl-tui delete ./runs/demo/checkpoints/step-00000020 --yes --json",
        ],
        exits=DELETE_EXITS,
        json=True,
    )
    delete.add_argument("checkpoints", metavar="CHECKPOINT", nargs="+", help=CHECKPOINT_OF_A_STEP)
    delete.add_argument("--yes", action="store_true", help="do not ask")
    delete.add_argument("--dry-run", action="store_true", help="only say what would go")


def pin_checkpoint(arguments: argparse.Namespace) -> int:
    """``sdxl-tui pin CHECKPOINT``."""
    from engine.checkpoint.pins import pin  # noqa: PLC0415 - slow

    run, name = _named(arguments)
    pin(run, name)
    err().line(f"{run.id} keeps {name}.")
    return EXIT_OK


def unpin_checkpoint(arguments: argparse.Namespace) -> int:
    """``sdxl-tui unpin CHECKPOINT``."""
    from engine.checkpoint.pins import unpin  # noqa: PLC0415 - slow

    run, name = _named(arguments)
    unpin(run, name)
    err().line(f"{name} of {run.id} is no longer pinned.")
    return EXIT_OK


def _named(arguments: argparse.Namespace) -> tuple[RunDirectory, str]:
    """The run and the name of the checkpoint that was named."""
    from engine.checkpoint.describe import CheckpointError  # noqa: PLC0415 - slow

    folder = checkpoint_named(arguments.checkpoint, workspace_to_read(arguments))
    run = run_of(folder)
    if run is None:
        raise CheckpointError("lies in no run: nothing but you deletes it", where=str(folder))
    return run, folder.name


def delete_checkpoints(arguments: argparse.Namespace) -> int:
    """``sdxl-tui delete CHECKPOINT...``."""
    from sdxl_tui.fleet.deletion import delete, plan_deletion  # noqa: PLC0415 - slow

    plan = plan_deletion(_folders(arguments))
    if not arguments.json:
        _print(out(), plan)
    if plan.goes and not arguments.dry_run:
        plan = delete(plan) if arguments.yes or _agreed(plan) else type(plan)((), plan.refused)
        if not arguments.json:
            err().line(f"Deleted {_amount(plan)}." if plan.goes else "Nothing is deleted.")
    if arguments.json:
        out().json(_as_json(plan) | {"dry_run": arguments.dry_run})
    for refused in plan.refused:
        err().line(f"{err().paint('stays:', 'yellow')} {clean(str(refused.folder))}: {clean(refused.reason)}")
    return EXIT_USER_ERROR if plan.refused else EXIT_OK


def _folders(arguments: argparse.Namespace) -> list[Path]:
    """The folders that were named, each with its step: a run alone would be its newest checkpoint."""
    workspace = workspace_to_read(arguments)
    for text in arguments.checkpoints:
        if "@" not in text and "/" not in text:
            refuse_watched(workspace, text)
            raise UserError(
                "names a run, not one of its checkpoints",
                where=clean(text),
                hint=f"Name the step: {clean(text)}@20. All of them: sdxl-tui checkpoints {clean(text)}",
            )
    return [checkpoint_named(text, workspace) for text in arguments.checkpoints]


def _print(printer: Printer, plan: DeletionPlan) -> None:
    for going in plan.goes:
        printer.line(f"{format_bytes(going.bytes):>9}  {clean(str(going.folder))}")


def _agreed(plan: DeletionPlan) -> bool:
    if not sys.stdin.isatty():
        raise UserError("nobody is there to be asked", where="delete", hint="Say --yes to delete without being asked.")
    err().line(f"Delete {_amount(plan)} for good? [y/N]")
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _amount(plan: DeletionPlan) -> str:
    count = len(plan.goes)
    return f"{count} checkpoint{'' if count == 1 else 's'}, {format_bytes(plan.bytes)}"


def _as_json(plan: DeletionPlan) -> dict[str, object]:
    return {
        "goes": [{"checkpoint": str(going.folder), "bytes": going.bytes} for going in plan.goes],
        "bytes": plan.bytes,
        "refused": [{"checkpoint": str(refused.folder), "reason": refused.reason} for refused in plan.refused],
    }
