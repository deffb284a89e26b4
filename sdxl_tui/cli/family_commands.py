"""The commands about whole families: ``tree``, which prints who came from whom, and ``verify``, which re-reads what was saved."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sdxl_tui.cli.arguments import EXIT_OK, Commands, add_command
from sdxl_tui.cli.checkpoint_commands import add_checkpoint_argument, run_of, way_around
from sdxl_tui.cli.checkpoint_place import checkpoint_named
from sdxl_tui.cli.opening import program, workspace_to_read
from sdxl_tui.cli.output import err, out
from sdxl_tui.fleet.runs import find_run
from sdxl_tui.terminal.numbers import format_age, format_bytes, format_lr

if TYPE_CHECKING:
    from sdxl_tui.fleet.families import CheckpointEntry, CheckpointShelf, Family


def add_commands(commands: Commands) -> None:
    """Declare them."""
    tree = add_command(
        commands,
        "tree",
        show_tree,
        summary="print families of runs: which came from which checkpoint",
        about="""Print every run with its checkpoints and, below the checkpoint it came from, each run that continued it: with
        the learning rate that the checkpoint stood at and the one that the child begins with. A run that started from a state of
        sd-scripts or a LoRA file says from which.""",
        examples=["sdxl-tui tree", "sdxl-tui tree demo", "sdxl-tui tree --json"],
        json=True,
    )
    tree.add_argument("run", metavar="RUN", nargs="?", help="only the family of this run")
    verify = add_command(
        commands,
        "verify",
        verify_checkpoint,
        summary="re-read a checkpoint and compare every file with its digest",
        about="""Read every byte of a checkpoint again and compare it with what was saved. A damaged file is named, and so is the
        newest checkpoint of the run that is whole.""",
        examples=["sdxl-tui verify latest", "sdxl-tui verify demo@20", "sdxl-tui verify ./step-00000020 --json"],
        exits=("0 every file is what was saved", "2 something is damaged or missing"),
        json=True,
    )
    add_checkpoint_argument(verify)


def verify_checkpoint(arguments: argparse.Namespace) -> int:
    """``sdxl-tui verify CHECKPOINT``."""
    from engine.checkpoint.describe import describe, newest_whole  # noqa: PLC0415 - slow
    from engine.checkpoint.manifest import CheckpointError, read_manifest, verify  # noqa: PLC0415

    folder = checkpoint_named(arguments.checkpoint, workspace_to_read(arguments))
    began = time.monotonic()
    damage = None
    try:
        verify(folder, digests=True)
        describe(folder)  # that the state can be read, and is the manifest's
    except CheckpointError as error:
        damage = error
    seconds = time.monotonic() - began
    run = run_of(folder)
    whole = newest_whole(run, besides=folder) if damage and run else None
    if arguments.json:
        out().json(
            {
                "checkpoint": str(folder),
                "whole": damage is None,
                "damage": damage.what if damage else None,
                "newest_whole": str(whole) if whole else None,
                "seconds": seconds,
            }
        )
    if damage is not None:
        raise CheckpointError(damage.what, where=str(folder), hint=way_around(whole, program(arguments)))
    if not arguments.json:
        manifest = read_manifest(folder)
        out().line(
            f"{folder.name}: {len(manifest.files)} files, {format_bytes(manifest.bytes)}: every byte is what was saved"
        )
    return EXIT_OK


def show_tree(arguments: argparse.Namespace) -> int:
    """``sdxl-tui tree [RUN]``."""
    from sdxl_tui.fleet.families import CheckpointShelf  # noqa: PLC0415 - slow

    workspace = workspace_to_read(arguments)
    shelf = CheckpointShelf(workspace)
    families = shelf.read()
    if arguments.run:
        wanted = find_run(workspace, arguments.run).id
        families = tuple(family for family in families if any(member.key == wanted for member in family.walk()))
    if arguments.json:
        out().json([_as_json(family) for family in families])
        return EXIT_OK
    for family in families:
        for line in _lines(family, shelf, ""):
            out().line(line)
    if not families:
        err().line("There is no run yet.")
    return EXIT_OK


def _lines(family: Family, shelf: CheckpointShelf, margin: str) -> Iterator[str]:
    run = family.run
    rate = f", LR {format_lr(run.lr)}" if isinstance(run.lr, float) else ""
    stage = "" if run.stage is None else f"stage {run.stage}, "
    stands = f"{run.state} {run.step}/{run.total_steps}{rate}, {format_age(time.time() - run.created)}"
    yield f"{margin}{run.id}  {stage}{stands}"
    if run.started_from is not None:
        yield f"{margin}  {run.started_from.route} from {run.started_from.label}"
    children: dict[str, list[Family]] = {}
    for child in family.children:
        children.setdefault(child.parent.checkpoint if child.parent else "unknown checkpoint", []).append(child)
    known = {entry.folder.name for entry in family.checkpoints}
    gone = sorted(children.keys() - known)
    for name in gone:
        yield f"{margin}  {name}  no longer there" if name else f"{margin}  its end  not reached yet"
        yield from _children(children[name], shelf, margin)
    for entry in reversed(family.checkpoints):
        yield f"{margin}  {entry.folder.name}  {_stands_at(entry, shelf)}"
        yield from _children(children.get(entry.folder.name, []), shelf, margin)


def _children(children: list[Family], shelf: CheckpointShelf, margin: str) -> Iterator[str]:
    for child in children:
        route = child.parent.route if child.parent else "continue"
        yield f"{margin}    └ {route}"
        yield from _lines(child, shelf, f"{margin}      ")


def _stands_at(entry: CheckpointEntry, shelf: CheckpointShelf) -> str:
    """Where the learning rate of a checkpoint stands, in a few words."""
    from engine.checkpoint.summary import CheckpointSummary  # noqa: PLC0415 - slow

    described = shelf.describe(entry)
    if not isinstance(described, CheckpointSummary):
        return f"damaged: {described.reason}" if described else "gone"
    rates = [
        f"{group.name} {'no step yet' if group.last_lr is None else format_lr(group.last_lr)}"
        for group in described.groups
    ]
    damage = "" if described.is_whole else f", damaged: {described.integrity}"
    return f"{described.schedule.kind} {described.phase}, LR {', '.join(rates)}{damage}"


def _as_json(family: Family) -> dict[str, Any]:
    return {
        "run": family.run.id,
        "stage": family.run.stage,
        "state": family.run.state,
        "step": family.run.step,
        "total_steps": family.run.total_steps,
        "parent": asdict(family.parent) if family.parent else None,
        "origin": asdict(family.run.started_from) if family.run.started_from else None,
        "checkpoints": [entry.folder.name for entry in reversed(family.checkpoints)],
        "children": [_as_json(child) for child in family.children],
    }
