"""``--queue`` and its like: options of every command that starts a run, and what becomes of the run then."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.run.liveness import assess
from sdxl_tui.cli.arguments import UsageError, whole_number
from sdxl_tui.cli.opening import program
from sdxl_tui.cli.output import err
from sdxl_tui.fleet.runs import find_run
from sdxl_tui.terminal.clean import clean

if TYPE_CHECKING:
    from engine.run.layout import RunDirectory
    from sdxl_tui.fleet.queue.changes import Turn
    from sdxl_tui.fleet.queue.going_on import WentOn
    from sdxl_tui.workspace import Workspace


def add_queue_options(parser: argparse.ArgumentParser, *, share: bool = True) -> None:
    """``--queue`` with what belongs to it, ``--gpu`` and, where a run is started at once, ``--share``."""
    group = parser.add_argument_group("when and where")
    if share:
        group.add_argument("--queue", action="store_true", help="let it wait for its turn and for free devices")
    group.add_argument("--after", metavar="RUN", help="let it wait until RUN has finished")
    group.add_argument("--first", action="store_true", help="put it before the others that wait")
    group.add_argument(
        "--priority", type=_priority, metavar="N", help="-99 to 99 (default 0); higher ones go before lower ones"
    )
    group.add_argument("--hold", action="store_true", help="do not start it before 'queue release RUN'")
    group.add_argument(
        "--retries", type=whole_number(0), metavar="N", help="if it fails or is killed, let it wait again, N times"
    )
    group.add_argument(
        "--gpu",
        action="append",
        default=[],
        metavar="GPU",
        help="train on this one: its number in nvidia-smi, or its UUID; once for each of launch.processes "
        "(default: the free ones with the most free memory)",
    )
    if share:
        group.add_argument("--share", action="store_true", help="start at once, also on GPUs that other runs use")


def turn_of(arguments: argparse.Namespace, workspace: Workspace, *, always: bool = False) -> Turn | None:
    """What the options say about the queue; None: start it at once. always: it goes into the queue in any case."""
    from sdxl_tui.fleet.queue.changes import Turn  # noqa: PLC0415

    given = ("after", "first", "priority", "hold", "retries")
    wanted = always or arguments.queue or any(getattr(arguments, name) not in {None, False} for name in given)
    if not wanted:
        return None
    if getattr(arguments, "share", False):
        raise UsageError("--share starts a run at once and --queue lets it wait", hint="Keep one of the two.")
    after = find_run(workspace, arguments.after).id if arguments.after else None
    return Turn(
        after,
        chosen_gpus(arguments),
        priority=arguments.priority or 0,
        retries=arguments.retries or 0,
        held=arguments.hold,
        first=arguments.first,
    )


def chosen_gpus(arguments: argparse.Namespace) -> tuple[str, ...]:
    """UUIDs of what ``--gpu`` names."""
    from sdxl_tui.fleet.gpus import list_gpus  # noqa: PLC0415
    from sdxl_tui.fleet.queue.changes import find_gpus  # noqa: PLC0415

    return find_gpus(arguments.gpu, list_gpus()) if arguments.gpu else ()


def start_or_queue(
    arguments: argparse.Namespace, workspace: Workspace, make: Callable[[], RunDirectory]
) -> RunDirectory:
    """Make a run and start it, or let it wait as the options say; on an error nothing of it is left."""
    from sdxl_tui.fleet.launch import start_new  # noqa: PLC0415
    from sdxl_tui.fleet.queue.chains import all_or_none  # noqa: PLC0415
    from sdxl_tui.fleet.queue.changes import put_in  # noqa: PLC0415

    turn = turn_of(arguments, workspace)
    if turn is None:
        gpus = () if arguments.share else chosen_gpus(arguments)
        return start_new(make(), share=arguments.share, gpus=gpus)
    with all_or_none() as made:
        made.append(make())
        put_in(workspace, made[0], turn)
    run = made[0]
    say_what_began(go_on_now(workspace), workspace, run, program(arguments))
    return run


def go_on_now(workspace: Workspace) -> WentOn:
    """Start what can be started, and have a process of its own wait for what other programs have taken."""
    from sdxl_tui.fleet.queue.going_on import go_on, let_others_go_on  # noqa: PLC0415

    went = go_on(workspace)
    if went.waits_for_strangers:
        let_others_go_on(workspace)
    return went


def say_what_began(went: WentOn, workspace: Workspace, run: RunDirectory, begin: str) -> None:
    """Whether ``run`` started at once, or why it waits."""
    from sdxl_tui.fleet.queue.look import look_at  # noqa: PLC0415
    from sdxl_tui.fleet.queue.words import standstill  # noqa: PLC0415

    queue, waiting = look_at(workspace)
    why = next((one.why for one in waiting if one.entry.run == run.id), "")
    if why:
        err().line(f"{run.id} waits: {why}.  See: {begin} queue")
    elif run.id in went.started:
        err().line(f"{run.id} started: nothing was in its way.")
    elif assess(run).alive:
        err().line(f"{run.id} was started at this very moment by another command.")
    if words := standstill(queue):
        err().line(words)
    say_refused(went, besides=run.id)


def say_refused(went: WentOn, *, besides: str = "") -> None:
    """What could not be started, and why. besides: the id of a run of which that is said already."""
    printer = err()
    for run_id, reason in went.refused.items():
        if run_id != besides:
            warning = printer.paint("warning:", "yellow")
            printer.line(f"{warning} {run_id} could not be started and is held: {clean(reason)}")


def _priority(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 100
    if not -99 <= number <= 99:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from -99 to 99")
    return number
