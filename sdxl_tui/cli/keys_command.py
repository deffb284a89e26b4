"""The command ``keys``: the names of the app's keys, for a configuration that gives them others."""

from __future__ import annotations

import argparse
from typing import Final

from sdxl_tui.cli.arguments import EXIT_OK, Commands, add_command
from sdxl_tui.cli.output import Column, Painted, err, out
from sdxl_tui.config import ConfigError, config_path, read_config

COLUMNS: Final = (Column("NAME"), Column("KEYS"), Column("WHAT IT DOES", shortens=True))


def add_commands(commands: Commands) -> None:
    """Declare it."""
    keys = add_command(
        commands,
        "keys",
        show_keys,
        summary="list the app's keys by the names that a configuration knows them by",
        about="""List every key of the app with its name. In ~/.config/sdxl-tui/config.toml a table [keys] gives one of them other
        keys: "runs.stop" = "S" or "chart.cursor-1" = "right,d". A key that had another meaning on that screen loses it. Names
        that there are not are an error here; the app says so and goes on.""",
        examples=["sdxl-tui keys", "sdxl-tui keys runs", "sdxl-tui keys --json"],
        json=True,
    )
    keys.add_argument("area", nargs="?", metavar="WORD", help="only names that contain it")


def show_keys(arguments: argparse.Namespace) -> int:
    """``sdxl-tui keys``."""
    from sdxl_tui.named_keys import lost_keys, named_keys, unknown_names  # noqa: PLC0415 - Textual and every screen

    own = read_config().keys
    known = named_keys()
    if wrong := unknown_names(own, known):
        raise ConfigError("\n".join(wrong), where=str(config_path()))
    shown = [key for key in known if not arguments.area or arguments.area in key.name]
    if arguments.json:
        rows = [{"name": key.name, "keys": own.get(key.name, ",".join(key.keys)), "words": key.words} for key in shown]
        out().json(rows)
        return EXIT_OK
    cells = [
        [key.name, Painted(own[key.name], "green") if key.name in own else ",".join(key.keys), key.words]
        for key in shown
    ]
    out().table(COLUMNS, cells)
    for sentence in lost_keys(own, known):
        err().line(f"{sentence}.")
    return EXIT_OK
