"""The command ``notify``: what one is told of, and how; and what a run's keeper calls when something happened."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Final

from engine.errors import UserError
from sdxl_tui.cli.arguments import EXIT_FAILED, EXIT_OK, Commands, Parser, add_command, add_workspace_option
from sdxl_tui.cli.opening import workspace_to_read
from sdxl_tui.cli.output import err, out
from sdxl_tui.config import ConfigError, Event, config_path, read_config
from sdxl_tui.terminal.attention import Signal, attention
from sdxl_tui.terminal.clean import clean

if TYPE_CHECKING:
    from sdxl_tui.fleet.happenings import Happening
    from sdxl_tui.workspace import Workspace

ENDED: Final = "ended"
"""The keeper's word: whether that is good or bad, the run's files tell."""
REFUSED: Final = "refused"
"""The queue's word for a run whose turn had come and that could not be started."""
SETTLE_SECONDS: Final = 5.0
"""Within which the last process of an ended run lets go of its lock."""


def add_commands(commands: Commands) -> None:
    """Declare it."""
    notify = add_command(
        commands,
        "notify",
        show_settings,
        summary="show and try how you are told that a run ended, failed, met NaN or drew a sample",
        about="""Show what the configuration says about notifications; 'notify test' tries it.

        An open app asks for attention through its terminal: by the bell (the default), or by a notification of the desktop
        (osc9, osc777), also over SSH and, where tmux has 'allow-passthrough on', through tmux. A command is run by 'sh'
        whether an app is open or not, with SDXL_TUI_EVENT, SDXL_TUI_RUN, SDXL_TUI_STEP, SDXL_TUI_TEXT and
        SDXL_TUI_WORKSPACE in its environment; what came of it stands in WORKSPACE/notify.log.

        The file is $XDG_CONFIG_HOME/sdxl-tui/config.toml (~/.config/sdxl-tui/config.toml), for example:
        notify = 'curl -d "$SDXL_TUI_TEXT" ntfy.sh/my-topic'
        or a table [notify] with command, terminal (off, bell, osc9, osc777) and on (finished, failed, nan,
        first-sample).""",
        examples=["sdxl-tui notify", "sdxl-tui notify test"],
        json=True,
    )
    actions = notify.add_subparsers(metavar="ACTION", title="actions", prog="sdxl-tui notify", parser_class=Parser)
    test = actions.add_parser("test", help="ring this terminal and run the command once")
    test.set_defaults(handler=try_it)
    about = actions.add_parser("about", help="run the command for a run; its keeper does")
    about.add_argument("run", metavar="RUN", help="the id of a run")
    about.add_argument("event", metavar="EVENT", choices=(ENDED, REFUSED, *(Event.NAN.value, Event.FIRST_SAMPLE.value)))
    about.set_defaults(handler=tell)
    for parser in (test, about):
        add_workspace_option(parser)


def show_settings(arguments: argparse.Namespace) -> int:
    """``sdxl-tui notify``."""
    notify = read_config().notify
    events = [event.value for event in Event if event in notify.on]
    if arguments.json:
        out().json({"command": notify.command, "terminal": notify.terminal.value, "on": events})
        return EXIT_OK
    path = config_path()
    pairs = [
        ("file", str(path) if path.exists() else f"{path} (there is none: these are the defaults)"),
        ("terminal", notify.terminal.value),
        ("command", notify.command or "none"),
        ("on", ", ".join(events) or "nothing"),
    ]
    out().fields(pairs)
    return EXIT_OK


def try_it(arguments: argparse.Namespace) -> int:
    """``sdxl-tui notify test``."""
    from sdxl_tui.fleet.happenings import Happening  # noqa: PLC0415
    from sdxl_tui.fleet.notify_command import run_notify_command  # noqa: PLC0415

    notify = read_config().notify
    happening = Happening("test", Event.FINISHED, "this is how you will be told")
    if notify.terminal is not Signal.OFF and sys.stderr.isatty():
        sys.stderr.write(attention(notify.terminal, happening.run_id, happening.words))
        sys.stderr.flush()
        err().line(f"The terminal was asked for attention ({notify.terminal.value}).")
    if not notify.command:
        err().line(f"There is no command in {clean(str(config_path()))}.")
        return EXIT_OK
    problem = run_notify_command(notify.command, workspace_to_read(arguments), happening)
    if problem:
        raise UserError(problem, where=str(config_path()), hint=f"It is run by sh -c: {clean(notify.command)}")
    err().line("The command was run and ended with 0.")
    return EXIT_OK


def tell(arguments: argparse.Namespace) -> int:
    """``sdxl-tui notify about RUN EVENT``: nothing to do where there is no command, or it is not to be told of this."""
    from sdxl_tui.fleet.happenings import Happening  # noqa: PLC0415
    from sdxl_tui.fleet.notify_command import log_notification, run_notify_command  # noqa: PLC0415
    from sdxl_tui.fleet.runs import find_run, summarize  # noqa: PLC0415

    workspace = workspace_to_read(arguments)
    try:
        notify = read_config().notify
    except ConfigError as error:  # nobody sees what is printed here
        log_notification(workspace, Happening(clean(arguments.run), None, clean(arguments.event)), clean(str(error)))
        raise
    if not notify.command:
        return EXIT_OK
    happening = _what_happened(workspace, arguments.run, arguments.event)
    if happening is None or happening.event not in notify.on:
        return EXIT_OK
    step = summarize(find_run(workspace, arguments.run)).step
    problem = run_notify_command(notify.command, workspace, happening, step=step)
    log_notification(workspace, happening, problem)
    if problem:
        err().line(problem)
    return EXIT_FAILED if problem else EXIT_OK


def _what_happened(workspace: Workspace, run_id: str, word: str) -> Happening | None:
    from sdxl_tui.fleet.happenings import end_of, newest, refusal  # noqa: PLC0415
    from sdxl_tui.fleet.queue.record import read_queue  # noqa: PLC0415
    from sdxl_tui.fleet.runs import find_run, summarize  # noqa: PLC0415

    run = find_run(workspace, run_id)
    if word == REFUSED:
        entry = read_queue(workspace).find(run.id)
        return refusal(run.id, entry.problem) if entry is not None and entry.problem else None
    if word != ENDED:
        return newest(run, Event(word))
    until = time.monotonic() + SETTLE_SECONDS
    summary = summarize(run)
    while summary.alive and time.monotonic() < until:
        time.sleep(0.1)
        summary = summarize(run)
    return None if summary.liveness.exit is None else end_of(summary)
