"""The command ``folders``: which folders of other trainers are shown beside the runs, and what is in them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.user_path import absolute_user_path
from sdxl_tui.cli.arguments import EXIT_OK, Commands, UsageError, add_command
from sdxl_tui.cli.opening import program, workspace_to_read, workspace_to_write
from sdxl_tui.cli.output import Column, err, out
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_bytes, format_count, format_lr

if TYPE_CHECKING:
    from sdxl_tui.fleet.foreign_states import ForeignEntry, StateFolder, StateShelf
    from sdxl_tui.fleet.runs import RunSummary

ACTIONS: Final = ("list", "add", "remove")
COLUMNS: Final = (
    Column("RUN, STATE OR FILE"),
    Column("STEP", right=True),
    Column("LR", right=True),
    Column("SIZE", right=True),
)


@dataclass(frozen=True)
class _Row:
    """A run, a state or a LoRA file as it is listed."""

    name: str
    step: str
    lr: str
    size: str
    problem: str = ""


def add_commands(commands: Commands) -> None:
    """Declare it, and the name it had when it was about states alone."""
    for name in ("folders", "states"):
        folders = add_command(
            commands,
            name,
            show_or_change,
            summary="watch folders of sd-scripts: runs, states, LoRA files"
            if name == "folders"
            else "the same: an older name of folders",
            about="""Choose folders of sd-scripts, or of other trainers, that are shown: the runs by their TensorBoard event files
            (--logging_dir) in the table of runs, with their curves, followed while they are written; the training states and
            LoRA files among the checkpoints, with everything that is stored in them. 'add' and 'remove' change the list, 'list'
            prints what is found. Nothing in these folders is ever changed, and nothing in their files is run. They are looked
            through up to four folders deep, without following links.

            Whether such a run still trains is not known; when it last wrote is. It is stopped and steered where it was started.
            A training goes on from one of its files with 'continue FILE', or with c in the app.""",
            examples=[
                f"sdxl-tui {name} add ~/kohya/output",
                f"sdxl-tui {name} add ~/kohya/logs",
                f"sdxl-tui {name}",
                f"sdxl-tui {name} remove ~/kohya/output",
            ],
            json=True,
        )
        folders.add_argument(
            "action", metavar="ACTION", choices=ACTIONS, nargs="?", default="list", help="list, add or remove"
        )
        folders.add_argument("folder", metavar="DIR", nargs="?", help="the folder to add or remove")


def show_or_change(arguments: argparse.Namespace) -> int:
    """``sdxl-tui folders [list | add DIR | remove DIR]``."""
    from sdxl_tui.fleet.foreign_states import add_folder, find_states, remove_folder  # noqa: PLC0415 - slow

    if (arguments.action == "list") == (arguments.folder is not None):
        what = "'list' takes no folder" if arguments.folder else f"'{arguments.action}' needs a folder"
        raise UsageError(what, hint="See: sdxl-tui folders --help")
    if arguments.action == "list":
        return _list(arguments)
    folder = Path(arguments.folder)
    workspace = workspace_to_write(arguments)
    if arguments.action == "remove":
        err().line(f"{clean(str(remove_folder(workspace, folder)))} is no longer shown; nothing in it was changed.")
        return EXIT_OK
    was_new = add_folder(workspace, folder)
    found = find_states(absolute_user_path(folder))
    is_shown = "is shown from now on" if was_new else "was shown already"
    err().line(f"{clean(str(found.path))} {is_shown}: {found.counted}.")
    if found.problem:
        err().line(clean(found.problem))
    return EXIT_OK


def _list(arguments: argparse.Namespace) -> int:
    from sdxl_tui.fleet.foreign_states import StateShelf  # noqa: PLC0415
    from sdxl_tui.fleet.watched.runs import ids_of_ours, watched_runs  # noqa: PLC0415

    workspace = workspace_to_read(arguments)
    shelf = StateShelf(workspace)
    folders = shelf.read()
    runs = watched_runs(workspace, ids_of_ours(workspace))
    if arguments.json:
        out().json([_as_json(folder, shelf, runs) for folder in folders])
        return EXIT_OK
    if not folders:
        err().line(f"No folder is shown. Add one: {program(arguments)} folders add DIR")
    for folder in folders:
        out().line(clean(str(folder.path)))
        rows = [_row_of_run(run) for run in runs if run.watched is not None and run.watched.shown == folder.path]
        rows += [_row(folder, entry, shelf) for entry in folder.entries]
        if rows:
            cells = [[row.name, row.step, row.lr, row.size] for row in rows]
            out().table(COLUMNS, cells, [row.problem for row in rows])
        if folder.problem or not rows:
            out().line(f"  {clean(folder.problem or 'no run, no state and no LoRA file')}")
    return EXIT_OK


def _row_of_run(run: RunSummary) -> _Row:
    size = run.watched.bytes if run.watched else 0
    return _Row(f"  run {run.id}", format_count(run.step), format_lr(run.lr), format_bytes(size), run.reason)


def _row(folder: StateFolder, entry: ForeignEntry, shelf: StateShelf) -> _Row:
    from engine.foreign.sd_scripts_state import SdScriptsState  # noqa: PLC0415
    from sdxl_tui.fleet.foreign_states import ForeignProblem  # noqa: PLC0415

    name = f"  {entry.path.relative_to(folder.path)}"
    found = shelf.describe(entry)
    if isinstance(found, ForeignProblem):
        return _Row(name, "–", "–", "–", found.reason)
    if isinstance(found, SdScriptsState):
        rate = found.groups[0].effective_lr if found.groups else None
        return _Row(name, format_count(found.true_step), format_lr(rate), format_bytes(found.bytes))
    return _Row(name, format_count(found.count("ss_steps")), "–", format_bytes(found.bytes))


def _as_json(folder: StateFolder, shelf: StateShelf, runs: Sequence[RunSummary]) -> dict[str, Any]:
    rows = [(entry, _row(folder, entry, shelf)) for entry in folder.entries]
    return {
        "folder": str(folder.path),
        "problem": folder.problem or None,
        "runs": [run.id for run in runs if run.watched is not None and run.watched.shown == folder.path],
        "entries": [
            {
                "path": str(entry.path),
                "is_state": entry.is_state,
                "changed": entry.changed,
                "problem": row.problem or None,
            }
            for entry, row in rows
        ],
    }
