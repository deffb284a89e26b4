"""The command ``compare``: two checkpoints side by side."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdxl_tui.cli.arguments import EXIT_OK, Commands, add_command
from sdxl_tui.cli.checkpoint_commands import CHECKPOINT_HELP
from sdxl_tui.cli.foreign_files import is_foreign
from sdxl_tui.cli.opening import workspace_to_read
from sdxl_tui.cli.output import Column, err, out
from sdxl_tui.terminal.numbers import format_count

if TYPE_CHECKING:
    from sdxl_tui.fleet.comparison import Comparison


def add_commands(commands: Commands) -> None:
    """Declare it."""
    command = add_command(
        commands,
        "compare",
        compare_checkpoints,
        summary="show what differs between two checkpoints",
        about="""Show two checkpoints side by side: everything that differs in where they stand, their schedules, the adapter, the
        optimizer's groups and the settings of the profiles they were trained with. What is the same is counted.

        One or both may be a training state of sd-scripts or a LoRA file, by their paths: compared is what both store, and
        what one of them does not is said to be not stored.""",
        examples=[
            "sdxl-tui compare demo@10 demo@20",
            "sdxl-tui compare latest ./step-00000020",
            "sdxl-tui compare demo@20 fox@20 --json",
            "sdxl-tui compare latest ~/kohya/output/fox-step00000500-state",
        ],
        json=True,
    )
    for name in ("first", "second"):
        command.add_argument(
            name, metavar="CHECKPOINT", help=f"{CHECKPOINT_HELP}; or a state of sd-scripts, or a LoRA file"
        )


def compare_checkpoints(arguments: argparse.Namespace) -> int:
    """``sdxl-tui compare CHECKPOINT CHECKPOINT``."""
    from sdxl_tui.fleet.comparison import compare  # noqa: PLC0415 - slow

    runs = workspace_to_read(arguments).runs
    found = compare(_place(arguments.first, runs), _place(arguments.second, runs))
    if arguments.json:
        out().json(_as_json(found))
        return EXIT_OK
    names = (_name(found.first.path), _name(found.second.path))
    rows: list[list[str]] = []
    for section in found.sections:
        rows += [[section.title, difference.name, *found.texts(difference)] for difference in section.differences]
    if rows:
        columns = (Column(""), Column(""), Column(names[0], shortens=True), Column(names[1], shortens=True))
        out().table(columns, [_without_repeats(rows, at) for at in range(len(rows))])
    alike = sum(section.alike for section in found.sections)
    err().line(f"{len(rows)} differences; {format_count(alike)} facts and settings are the same.")
    return EXIT_OK


def _place(named: str, runs: Path) -> Path:
    from engine.checkpoint.describe import resolve_checkpoint  # noqa: PLC0415

    return Path(named).expanduser() if is_foreign(named) else resolve_checkpoint(named, runs)


def _without_repeats(rows: list[list[str]], at: int) -> list[str]:
    """A row whose section is named only where it begins."""
    section, *rest = rows[at]
    return ["" if at and rows[at - 1][0] == section else section, *rest]


def _name(folder: Path) -> str:
    run = folder.parent.parent.name
    return f"{run}@{int(folder.name[5:])}" if folder.parent.name == "checkpoints" else folder.name


def _as_json(found: Comparison) -> dict[str, Any]:
    return {
        "first": str(found.first.path),
        "second": str(found.second.path),
        "sections": [asdict(section) for section in found.sections],
    }
