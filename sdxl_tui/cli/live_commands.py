"""The commands that ask a live run for something: ``save``, ``sample``, ``validate``, ``pause`` and ``unpause``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sdxl_tui.cli.arguments import EXIT_OK, Commands, add_command
from sdxl_tui.cli.opening import workspace_to_read
from sdxl_tui.cli.output import err
from sdxl_tui.cli.run_commands import add_run_argument
from sdxl_tui.fleet.runs import find_run


@dataclass(frozen=True)
class _Request:
    name: str
    summary: str
    about: str
    said: str
    """What happens now, after the run's name."""


REQUESTS: Final = (
    _Request(
        "save",
        "have a run save a checkpoint now",
        "Ask the engine to save a checkpoint after the step it is making. The run goes on.",
        "saves after this step.",
    ),
    _Request(
        "sample",
        "have a run draw its samples now",
        "Ask the engine to draw the profile's samples after the step it is making. The run goes on.",
        "draws its samples after this step.",
    ),
    _Request(
        "validate",
        "have a run measure its held-out images",
        "Ask the engine for the loss on the held-out images after the step it is making. The run goes on.",
        "measures its held-out images after this step.",
    ),
    _Request(
        "pause",
        "have a run wait, its GPU memory given back",
        """Ask the engine to finish its step, save a checkpoint, move everything from the GPU to the machine's memory and
        wait. unpause lets it go on exactly where it was; stop and save still work.""",
        "pauses after this step.",
    ),
    _Request(
        "unpause",
        "let a paused run go on",
        "Let a run that was paused go on exactly where it was.",
        "goes on.",
    ),
)


def add_commands(commands: Commands) -> None:
    """Declare them."""
    for request in REQUESTS:
        parser = add_command(
            commands,
            request.name,
            _handler(request),
            summary=request.summary,
            about=request.about,
            examples=[f"sdxl-tui {request.name} latest"],
        )
        add_run_argument(parser)


def _handler(wanted: _Request) -> Callable[[argparse.Namespace], int]:
    def handle(arguments: argparse.Namespace) -> int:
        from sdxl_tui.fleet.requests import request  # noqa: PLC0415

        run = find_run(workspace_to_read(arguments), arguments.run)
        request(run, wanted.name)
        err().line(f"{run.id} {wanted.said}")
        return EXIT_OK

    return handle
