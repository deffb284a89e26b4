"""``sdxl-tui scale-lr``: multiply the learning rate of a run that is training."""

from __future__ import annotations

import argparse
import math

from engine.errors import UserError
from sdxl_tui.cli.arguments import EXIT_OK, Commands, add_command
from sdxl_tui.cli.opening import workspace_to_read
from sdxl_tui.cli.output import err
from sdxl_tui.cli.run_commands import add_run_argument
from sdxl_tui.fleet.runs import find_run
from sdxl_tui.terminal.clean import clean


def add_commands(commands: Commands) -> None:
    """Declare it."""
    parser = add_command(
        commands,
        "scale-lr",
        scale_lr,
        summary="multiply the learning rate of a run that is training",
        about="""Multiply every base learning rate of a live run by FACTOR, from its next step on; the schedule goes on from
        there. The new rates are in the run's events and metrics and in every later checkpoint, so that a resume keeps them.

        Waits until the engine has answered, at most half a minute.""",
        examples=["sdxl-tui scale-lr latest 0.5", "sdxl-tui scale-lr demo 2"],
    )
    add_run_argument(parser)
    parser.add_argument("factor", type=_factor, metavar="FACTOR", help="what the rate is multiplied by, such as 0.5")


def _factor(text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not 0 < factor < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}' is not a factor: a number above 0, for example 0.5")
    return factor


def scale_lr(arguments: argparse.Namespace) -> int:
    """``sdxl-tui scale-lr RUN FACTOR``."""
    from sdxl_tui.fleet.scale_lr import answer_to, request_lr_scale  # noqa: PLC0415

    run = find_run(workspace_to_read(arguments), arguments.run)
    answer = answer_to(run, request_lr_scale(run, arguments.factor))
    if answer is None:
        err().line(f"{run.id} has not answered yet; it looks between two steps. See: sdxl-tui logs {run.id} -f")
        return EXIT_OK
    message = clean(str(answer.get("message", "")), limit=300)
    if not answer.get("ok"):
        raise UserError(f"the LR was not scaled: {message}", where=run.id)
    err().line(f"{run.id}: {message}.")
    return EXIT_OK
