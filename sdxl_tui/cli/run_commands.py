"""The commands about runs: ``runs``, ``logs`` and ``stop``."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from engine.errors import UserError
from engine.run.layout import RunDirectory
from engine.run.liveness import RunState, assess
from sdxl_tui.cli.arguments import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    GENERAL_EXITS,
    Commands,
    add_command,
    whole_number,
)
from sdxl_tui.cli.log_lines import LogLines
from sdxl_tui.cli.opening import program, workspace_to_read
from sdxl_tui.cli.output import Column, Painted, err, out
from sdxl_tui.cli.progress import follow
from sdxl_tui.fleet.run_filter import found_runs
from sdxl_tui.fleet.runs import RunSummary, find_run, list_runs
from sdxl_tui.fleet.watched.listing import with_watched
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_age, format_duration, format_loss, format_lr, format_speed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sdxl_tui.fleet.watched.record import Watched

FOLLOW_SECONDS: Final = 0.25

STATE_STYLES: Final = {
    RunState.TRAINING: "green",
    RunState.FINISHED: "green",
    RunState.STOPPED: "yellow",
    RunState.PAUSED: "yellow",
    RunState.FAILED: "red",
    RunState.KILLED: "red",
    RunState.LOST: "red",
    RunState.WATCHED: "cyan",
}


def add_commands(commands: Commands) -> None:
    """Declare them."""
    runs = add_command(
        commands,
        "runs",
        show_runs,
        summary="list the runs, newest first",
        about="""List the runs of the workspace, newest first, with what each is doing or how it ended.

        Words find runs as '/' does in the app: all must stand in a run's id, state, profile, device, tags or note; #good is
        a tag, profile:character one field, and --without WORD must not fit. Runs that were put away are listed with --archived.

        Runs of other trainers in folders that were added ('folders add DIR') are listed as watched, with when they last wrote.

        Columns that do not fit into the terminal are left out; --json has everything.""",
        examples=[
            "sdxl-tui runs",
            "sdxl-tui runs fox failed",
            "sdxl-tui runs --tag good --without cpu",
            "sdxl-tui runs --json | jq -r '.[] | select(.alive).id'",
        ],
        json=True,
    )
    runs.add_argument("words", metavar="WORD", nargs="*", help="list the runs that all of these fit")
    runs.add_argument("--tag", action="append", default=[], metavar="TAG", help="list the runs that have it")
    runs.add_argument("--without", action="append", default=[], metavar="WORD", help="leave out the runs that it fits")
    runs.add_argument("--archived", action="store_true", help="list also the runs that were put away")
    logs = add_command(
        commands,
        "logs",
        show_logs,
        summary="print what a run's engine wrote",
        about="""Print the log of a run's latest start, cleaned of control sequences; the file itself is
        runs/ID/attempts/NNN/engine.log. With -f, go on until the run ends.""",
        examples=["sdxl-tui logs latest -f", "sdxl-tui logs demo -n 50", "sdxl-tui logs demo --attempt 1"],
        exits=(*GENERAL_EXITS, "130 Ctrl-C while following; the run goes on"),
        json=True,
    )
    add_run_argument(logs)
    logs.add_argument("-f", "--follow", action="store_true", help="go on with new lines until the run ends")
    logs.add_argument(
        "-n", "--lines", type=whole_number(0), metavar="N", help="begin with the last N lines (default: all)"
    )
    logs.add_argument(
        "--attempt", type=whole_number(1), metavar="N", help="the Nth start of the engine (default: the latest)"
    )
    stop = add_command(
        commands,
        "stop",
        stop_run,
        summary="save a run's state and stop it",
        about="""Ask the engine to finish its step, save a checkpoint and end; resume goes on from there exactly.

        With --now nothing is saved: what was trained since the last checkpoint is lost.""",
        examples=["sdxl-tui stop latest --wait", "sdxl-tui stop demo-20261124-101500 --now"],
        exits=(
            *GENERAL_EXITS,
            "1 with --wait: the run failed",
            "130 Ctrl-C while waiting; it is stopped all the same",
        ),
    )
    add_run_argument(stop)
    stop.add_argument("--now", action="store_true", help="end it without saving, and return once it has ended")
    stop.add_argument("--wait", action="store_true", help="return once it has ended")


def add_run_argument(parser: argparse.ArgumentParser) -> None:
    """``RUN``."""
    parser.add_argument("run", metavar="RUN", help="id of a run, the beginning of one, or 'latest'")


def show_runs(arguments: argparse.Namespace) -> int:
    """``sdxl-tui runs``."""
    workspace = workspace_to_read(arguments)
    every, problems = with_watched(workspace, list_runs(workspace))
    for problem in problems:
        err().line(clean(problem, lines=True))
    words = [*arguments.words, *(f"#{tag.removeprefix('#')}" for tag in arguments.tag)]
    words += [f"-{word}" for word in arguments.without]
    runs = found_runs(every, words, with_archived=arguments.archived)
    if arguments.json:
        out().json([run_as_json(run) for run in runs])
    elif runs:
        columns = (
            Column("RUN", shortens=True),
            Column("STATE"),
            Column("STEP", right=True),
            Column("LOSS", right=True, droppable=1),
            Column("LR", right=True, droppable=2),
            Column("SPEED", right=True, droppable=4),
            Column("LEFT", right=True, droppable=3),
            Column("CREATED", right=True, droppable=5),
            Column("DEVICE", droppable=6),
        )
        out().table(columns, [_row(run) for run in runs], [_remark(run) for run in runs])
    elif every:
        err().line(f"None of {len(every)} runs {'fits' if words else 'is listed: they are put away (--archived)'}.")
    else:
        err().line(f"No runs in {workspace.path} yet. Start one: {program(arguments)} launch demo")
    return EXIT_OK


def _remark(run: RunSummary) -> str:
    """Below its row: why it is in its state, and what its user says of it."""
    away = "put away" if run.labels.archived else ""
    wrote = f"written {format_age(time.time() - run.watched.written)}" if run.watched else ""
    return "  ".join(part for part in (run.reason, wrote, away, run.labels.tags_text, run.labels.note) if part)


def _steps(run: RunSummary) -> str:
    if run.total_steps:
        return f"{run.step}/{run.total_steps}"
    return str(run.step) if run.watched and run.step else "–"


def _row(run: RunSummary) -> list[str | Painted]:
    moves = run.moves(time.time())
    return [
        run.id,
        Painted(run.state.value, STATE_STYLES.get(run.state, "")),
        _steps(run),
        format_loss(run.loss if run.loss_avg is None else run.loss_avg),
        format_lr(run.lr),
        format_speed(run.steps_per_second) if moves else "–",
        format_duration(run.eta_seconds) if moves else "–",
        format_age(time.time() - run.created),
        run.device or "–",
    ]


def run_as_json(run: RunSummary) -> dict[str, Any]:
    """Everything a script may want to know about a run."""
    return {
        "id": run.id,
        "name": run.name,
        "state": run.state.value,
        "alive": run.alive,
        "step": run.step,
        "total_steps": run.total_steps,
        "share": run.share,
        "loss": run.loss,
        "loss_avg": run.loss_avg,
        "validation_loss": run.validation_loss,
        "lr": run.lr,
        "steps_per_second": run.steps_per_second,
        "eta_seconds": run.eta_seconds,
        "device": run.device,
        "created": run.created,
        "parent": run.parent,
        "profile": run.profile,
        "tags": list(run.labels.tags),
        "note": run.labels.note,
        "archived": run.labels.archived,
        "stage": run.stage,
        "origin": asdict(run.started_from) if run.started_from else None,
        "checkpoint": run.checkpoint,
        "message": run.message,
        "reason": run.reason,
        "directory": str(run.directory.path),
        "watched": None if run.watched is None else _watched_as_json(run.watched),
    }


def _watched_as_json(watched: Watched) -> dict[str, Any]:
    return {
        "folder": str(watched.shown),
        "written": watched.written,
        "files": [str(path) for path in watched.files],
        "saved": [str(file.path) for file in watched.saved],
    }


def show_logs(arguments: argparse.Namespace) -> int:
    """``sdxl-tui logs RUN``."""
    run = find_run(workspace_to_read(arguments), arguments.run)
    printer = out()
    try:
        for attempt, line in _log_lines(run, arguments):
            if arguments.json:
                printer.json_line({"attempt": attempt, "text": line})
            else:
                printer.line(line)
            if arguments.follow:
                printer.flush()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return EXIT_OK


def _log_lines(run: RunDirectory, arguments: argparse.Namespace) -> Iterator[tuple[int, str]]:
    """The lines asked for, and with ``--follow`` those to come, each with the number of its attempt."""
    number = _attempt_number(run, arguments.attempt)
    log = LogLines(run.attempt(number).log)
    if arguments.lines is not None:
        log.skip_all_but(arguments.lines)
    yield from ((number, line) for line in log.new_lines())
    while arguments.follow:
        alive = assess(run).alive
        yield from ((number, line) for line in log.new_lines())
        newest = run.existing_attempts()[-1].number
        if newest > number and arguments.attempt is None:
            yield from ((number, line) for line in log.rest())
            number, log = newest, LogLines(run.attempt(newest).log)
        elif not alive or newest > number:
            break
        else:
            time.sleep(FOLLOW_SECONDS)
    yield from ((number, line) for line in log.rest())


def _attempt_number(run: RunDirectory, asked: int | None) -> int:
    numbers = [attempt.number for attempt in run.existing_attempts()]
    if not numbers:
        raise UserError("has not been started yet, so there is no log", where=run.id)
    if asked is not None and asked not in numbers:
        raise UserError(f"there is no attempt {asked}", where=run.id, hint=f"It was started {len(numbers)} times.")
    return numbers[-1] if asked is None else asked


def stop_run(arguments: argparse.Namespace) -> int:
    """``sdxl-tui stop RUN``."""
    from sdxl_tui.fleet.stop import request_stop, stop_now  # noqa: PLC0415

    run = find_run(workspace_to_read(arguments), arguments.run)
    if arguments.now:
        liveness = stop_now(run)
        if liveness.alive and liveness.exit is None:
            raise UserError("did not end", where=run.id, hint=f"See what it does: sdxl-tui logs {run.id} -f")
        err().line(f"{run.id} has ended, without saving.")
        return EXIT_OK
    request_stop(run, save=True)
    if arguments.wait:
        return follow(run, program(arguments))
    err().line(f"{run.id} finishes its step, saves and ends.")
    return EXIT_OK
