"""The commands on what one says of a run: ``tag``, ``note`` and ``archive``."""

from __future__ import annotations

import argparse

from engine.run.errors import RunError
from engine.run.liveness import assess_patiently
from sdxl_tui.cli.arguments import EXIT_OK, Commands, UsageError, add_command
from sdxl_tui.cli.opening import workspace_to_read
from sdxl_tui.cli.output import err, out
from sdxl_tui.cli.run_commands import add_run_argument
from sdxl_tui.fleet.labels import archive, change_tags, read_labels, set_labels
from sdxl_tui.fleet.runs import find_run


def add_commands(commands: Commands) -> None:
    """Declare them."""
    tag = add_command(
        commands,
        "tag",
        tag_run,
        summary="give a run tags, to find it again",
        about="""Give a run tags, or take some away; without any, print those it has. In the app 't' changes them, and '/ #good'
        finds the runs that have one; 'sdxl-tui runs --tag good' lists them.""",
        examples=["sdxl-tui tag latest good v2", "sdxl-tui tag demo --remove v2", "sdxl-tui tag demo"],
    )
    add_run_argument(tag)
    tag.add_argument("tags", metavar="TAG", nargs="*", help="a word of letters, digits, dots, dashes, underscores")
    tag.add_argument("--remove", metavar="TAG", action="append", default=[], help="take this one away")
    note = add_command(
        commands,
        "note",
        note_run,
        summary="write a note on a run",
        about="""Write a note on a run, in the place of the one it has; an empty one ('') takes it away. Without TEXT, print
        it.""",
        examples=["sdxl-tui note latest hands are right from step 600 on", "sdxl-tui note demo"],
    )
    add_run_argument(note)
    note.add_argument("text", metavar="TEXT", nargs="*", help="the note")
    away = add_command(
        commands,
        "archive",
        archive_runs,
        summary="put runs away, or take them out again",
        about="""Put runs away: lists leave them out until they are asked for ('sdxl-tui runs --archived', in the app 'A').
        Nothing of them is moved or deleted, and every command knows them as before.""",
        examples=["sdxl-tui archive demo-20261124-101500", "sdxl-tui archive demo --undo"],
    )
    away.add_argument("runs", metavar="RUN", nargs="+", help="ids of runs, beginnings of them, or 'latest'")
    away.add_argument("--undo", action="store_true", help="take them out again")


def tag_run(arguments: argparse.Namespace) -> int:
    """``sdxl-tui tag RUN [TAG ...]``."""
    run = find_run(workspace_to_read(arguments), arguments.run)
    if not arguments.tags and not arguments.remove:
        for tag in read_labels(run).tags:
            out().line(tag)
        return EXIT_OK
    labels = change_tags(run, add=arguments.tags, remove=arguments.remove)
    err().line(f"{run.id}: {labels.tags_text or 'no tags'}")
    return EXIT_OK


def note_run(arguments: argparse.Namespace) -> int:
    """``sdxl-tui note RUN [TEXT]``."""
    run = find_run(workspace_to_read(arguments), arguments.run)
    if not arguments.text:
        note = read_labels(run).note
        if note:
            out().line(note)
        return EXIT_OK
    labels = set_labels(run, note=" ".join(arguments.text))
    err().line(f"{run.id}: the note is written." if labels.note else f"{run.id}: it has no note.")
    return EXIT_OK


def archive_runs(arguments: argparse.Namespace) -> int:
    """``sdxl-tui archive RUN ...``."""
    workspace = workspace_to_read(arguments)
    runs = [find_run(workspace, name) for name in arguments.runs]
    if len({run.id for run in runs}) < len(runs):
        raise UsageError("one run is named twice")
    live = [run for run in runs if not arguments.undo and assess_patiently(run).alive]
    if live:
        raise RunError(
            "is alive: it would be shown all the same", where=live[0].id, hint="Put it away when it has ended."
        )
    for run in runs:
        archive(run, archived=not arguments.undo)
        err().line(f"{run.id} is listed again." if arguments.undo else f"{run.id} is put away.")
    return EXIT_OK
