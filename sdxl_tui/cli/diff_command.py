"""The command ``diff``: two profiles, or a profile and what a run trains, field by field."""

from __future__ import annotations

import argparse

from sdxl_tui.cli.arguments import EXIT_OK, Commands, add_command
from sdxl_tui.cli.opening import workspace_to_read
from sdxl_tui.cli.output import Column, err, out
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count


def add_commands(commands: Commands) -> None:
    """Declare it."""
    command = add_command(
        commands,
        "diff",
        show_diff,
        summary="show what differs between two profiles or runs",
        about="""Show every field of which two profiles say different things, each taken with all that it inherits and with its
        defaults. A run stands for the profile that it trains. Checkpoints are compared by 'sdxl-tui compare'.""",
        examples=[
            "sdxl-tui diff my-character character",
            "sdxl-tui diff my-character latest",
            "sdxl-tui diff fox-20261124-093000 fox-20261125-120000 --json",
        ],
        json=True,
    )
    for name in ("here", "there"):
        command.add_argument(
            name, metavar="PROFILE|RUN", help="file or name of a profile; or a run's id or folder, or 'latest'"
        )


def show_diff(arguments: argparse.Namespace) -> int:
    """``sdxl-tui diff A B``."""
    from sdxl_tui.fleet.profile_diff import diff_profiles, shown_value, side_named  # noqa: PLC0415 - pydantic

    workspace = workspace_to_read(arguments)
    found = diff_profiles(side_named(arguments.here, workspace), side_named(arguments.there, workspace))
    if arguments.json:
        out().json(found.to_json())
        return EXIT_OK
    rows = [[one.field, shown_value(one, one.here), shown_value(one, one.there)] for one in found.differences]
    if rows:
        titles = [clean(side.title) for side in (found.here, found.there)]
        out().table([Column("FIELD"), *(Column(title, shortens=True) for title in titles)], rows)
    count = f"{len(rows)} difference{'' if len(rows) == 1 else 's'}"
    err().line(f"{count}; {format_count(found.alike)} fields say the same.")
    return EXIT_OK
