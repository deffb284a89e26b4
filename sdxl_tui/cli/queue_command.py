"""The command ``queue``: what waits on this machine, and in what order it starts."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from engine.errors import UserError
from sdxl_tui.cli.arguments import EXIT_OK, Commands, Parser, add_command, add_workspace_option
from sdxl_tui.cli.opening import program, workspace_to_read
from sdxl_tui.cli.output import Column, err, out
from sdxl_tui.cli.queueing import add_queue_options, go_on_now, say_refused, say_what_began, turn_of
from sdxl_tui.cli.run_commands import add_run_argument
from sdxl_tui.fleet.queue.record import queue_file
from sdxl_tui.fleet.runs import find_run
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_age

if TYPE_CHECKING:
    from engine.run.layout import RunDirectory
    from sdxl_tui.fleet.queue.look import Waiting
    from sdxl_tui.workspace import Workspace

COLUMNS: Final = (
    Column("", right=True),
    Column("RUN", shortens=True),
    Column("WAITS", shortens=True),
    Column("GPU", droppable=2),
    Column("PRIORITY", right=True, droppable=3),
    Column("RETRIES", right=True, droppable=4),
    Column("ADDED", right=True, droppable=1),
)


def add_commands(commands: Commands) -> None:
    """Declare it."""
    queue = add_command(
        commands,
        "queue",
        show_queue,
        summary="show and change what waits to be trained on this machine",
        about="""Show the runs that wait on this machine, the next one first. launch, continue, reschedule, extend and fork put
        runs in with --queue or --after; 'queue add' puts one back that was stopped or lost.

        A run starts when its turn has come and its devices are free: the GPUs it was given or the emptiest free ones, or the
        processor where there are none. Whoever ends starts the next, whether an app is open or not; there is no daemon.
        After a restart of the machine nothing starts by itself: 'queue start' lets it go on. A run gets the environment of
        whoever starts it.""",
        examples=[
            "sdxl-tui queue",
            "sdxl-tui queue move demo-20261124-101500 first",
            "sdxl-tui queue add latest --retries 2",
            "sdxl-tui queue start",
        ],
        json=True,
    )
    actions = queue.add_subparsers(metavar="ACTION", title="actions", prog="sdxl-tui queue", parser_class=Parser)
    add = _action(actions, "add", add_run, "let a run that was stopped, failed or lost wait to be resumed")
    add_run_argument(add)
    add.add_argument("--as-launched", action="store_true", help="look at no later edit of its profile")
    add_queue_options(add, share=False)
    move = _action(actions, "move", move_run, "move a run: first, last, up, down or a place from 1")
    add_run_argument(move)
    move.add_argument("where", metavar="WHERE", help="first, last, up, down or a number")
    for name, about, handler in (
        ("remove", "take a run out; one that never started is deleted", remove_run),
        ("hold", "do not start a run until it is released", hold_run),
        ("release", "let a held run have its turn; one that waits for another run waits no more", release_run),
    ):
        add_run_argument(_action(actions, name, handler, about))
    _action(actions, "pause", pause_queue, "start nothing more; what runs goes on")
    _action(actions, "start", start_queue, "go on after a pause or a restart of the machine")
    go_on = _action(
        actions, "go-on", go_on_with_queue, "start what can be started; the end of every run does this by itself"
    )
    go_on.add_argument("--log", action="store_true", help="write what came of it to the queue's log, and nothing here")


def _action(
    actions: Commands, name: str, handler: Callable[[argparse.Namespace], int], about: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name, help=about, description=f"{about[0].upper()}{about[1:]}."
    )
    add_workspace_option(parser)
    parser.set_defaults(handler=handler)
    return parser


def show_queue(arguments: argparse.Namespace) -> int:
    """``sdxl-tui queue``."""
    from sdxl_tui.fleet.queue.look import look_at  # noqa: PLC0415
    from sdxl_tui.fleet.queue.words import standstill  # noqa: PLC0415

    queue, waiting = look_at(workspace_to_read(arguments))
    if arguments.json:
        out().json(
            {
                "paused": queue.paused,
                "waits_since_before_the_restart": queue.is_stale,
                "waiting": [_as_json(one) for one in waiting],
            }
        )
        return EXIT_OK
    if waiting:
        out().table(COLUMNS, [_row(one) for one in waiting], [""] * len(waiting))
    else:
        err().line(f"Nothing waits. Let something: {program(arguments)} launch PROFILE --queue")
    if words := standstill(queue):
        err().line(words)
    return EXIT_OK


def _row(one: Waiting) -> list[str]:
    entry = one.entry
    why = f"{one.why}; to be resumed" if one.resumes else one.why
    gpus = ", ".join(clean(uuid)[:12] for uuid in entry.gpus) or "any"
    age = format_age(time.time() - entry.added)
    return [str(one.place), clean(entry.run), clean(why), gpus, str(entry.priority), str(entry.retries), age]


def _as_json(one: Waiting) -> dict[str, Any]:
    entry = one.entry
    return {
        "place": one.place,
        "run": entry.run,
        "why": one.why,
        "resumes": one.resumes,
        "held": entry.held,
        "after": entry.after,
        "gpus": list(entry.gpus),
        "priority": entry.priority,
        "retries": entry.retries,
        "problem": entry.problem or None,
        "added": entry.added,
    }


def add_run(arguments: argparse.Namespace) -> int:
    """``sdxl-tui queue add RUN``."""
    from sdxl_tui.fleet.queue.chains import require_no_edits  # noqa: PLC0415
    from sdxl_tui.fleet.queue.changes import put_in  # noqa: PLC0415

    workspace, run = _named(arguments)
    turn = turn_of(arguments, workspace, always=True)
    assert turn is not None
    if not arguments.as_launched:
        for note in require_no_edits(run):
            err().line(f"Note: {note}.")
    put_in(workspace, run, turn)
    say_what_began(go_on_now(workspace), workspace, run, program(arguments))
    return EXIT_OK


def move_run(arguments: argparse.Namespace) -> int:
    """``sdxl-tui queue move RUN WHERE``."""
    from sdxl_tui.fleet.queue.changes import move  # noqa: PLC0415

    workspace, run = _named(arguments)
    err().line(f"{run.id} is number {move(workspace, run.id, arguments.where)} of the queue now.")
    go_on_now(workspace)
    return EXIT_OK


def remove_run(arguments: argparse.Namespace) -> int:
    """``sdxl-tui queue remove RUN``."""
    from sdxl_tui.fleet.queue.changes import take_out  # noqa: PLC0415

    workspace, run = _named(arguments)
    deleted = take_out(workspace, run.id)
    err().line(f"{run.id} waits no more" + ("; it had never started and is deleted." if deleted else "."))
    go_on_now(workspace)
    return EXIT_OK


def hold_run(arguments: argparse.Namespace) -> int:
    """``sdxl-tui queue hold RUN``."""
    from sdxl_tui.fleet.queue.changes import hold  # noqa: PLC0415

    workspace, run = _named(arguments)
    hold(workspace, run.id)
    err().line(f"{run.id} is held until: {program(arguments)} queue release {run.id}")
    go_on_now(workspace)
    return EXIT_OK


def release_run(arguments: argparse.Namespace) -> int:
    """``sdxl-tui queue release RUN``."""
    from sdxl_tui.fleet.queue.changes import release  # noqa: PLC0415

    workspace, run = _named(arguments)
    release(workspace, run.id)
    say_what_began(go_on_now(workspace), workspace, run, program(arguments))
    return EXIT_OK


def pause_queue(arguments: argparse.Namespace) -> int:
    """``sdxl-tui queue pause``."""
    from sdxl_tui.fleet.queue.changes import pause  # noqa: PLC0415

    pause(workspace_to_read(arguments))
    err().line(f"The queue starts nothing until: {program(arguments)} queue start")
    return EXIT_OK


def start_queue(arguments: argparse.Namespace) -> int:
    """``sdxl-tui queue start``."""
    from sdxl_tui.fleet.queue.changes import let_go  # noqa: PLC0415

    workspace = workspace_to_read(arguments)
    let_go(workspace)
    went = go_on_now(workspace)
    say_refused(went)
    err().line(f"The queue goes on; started: {', '.join(went.started) or 'nothing yet'}.")
    return EXIT_OK


def go_on_with_queue(arguments: argparse.Namespace) -> int:
    """``sdxl-tui queue go-on``, which every keeper becomes when its run has ended."""
    from sdxl_tui.fleet.queue.going_on import go_on_until_devices_are_free  # noqa: PLC0415

    workspace = workspace_to_read(arguments)
    if not arguments.log:
        went = go_on_until_devices_are_free(workspace)
        say_refused(went)
        for run_id in went.started:
            out().line(run_id)
        return EXIT_OK
    if not queue_file(workspace).exists():
        return EXIT_OK
    with (
        queue_file(workspace).with_suffix(".log").open("a", encoding="utf-8", errors="replace") as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        try:
            went = go_on_until_devices_are_free(workspace)
            say_refused(went)
            for run_id in went.started:
                out().line(f"{time.strftime('%Y-%m-%d %H:%M:%S')} started {run_id}")
        except UserError as error:
            err().line(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {clean(str(error))}")
    return EXIT_OK


def _named(arguments: argparse.Namespace) -> tuple[Workspace, RunDirectory]:
    workspace = workspace_to_read(arguments)
    return workspace, find_run(workspace, arguments.run)
