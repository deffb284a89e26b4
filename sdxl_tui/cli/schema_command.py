"""The command ``schema``: the profile's declaration as JSON Schema, for editors of TOML."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from engine.user_path import user_path
from sdxl_tui.cli.arguments import EXIT_OK, Commands, add_command
from sdxl_tui.cli.import_command import refuse_to_replace
from sdxl_tui.cli.output import err, out
from sdxl_tui.terminal.clean import clean


def add_commands(commands: Commands) -> None:
    """Declare it."""
    command = add_command(
        commands,
        "schema",
        write_schema,
        summary="print the JSON Schema of profiles, for editors",
        about="""Print the JSON Schema (draft 7) of a profile: every section and field with its type, range, choices, default
        and help. Editors that know it complete names and mark mistakes while you type: taplo, and VS Code with Even Better
        TOML. Write it beside your profiles and name it in the first line of each:

            #:schema ./sdxl-tui.schema.json

        How values fit together is told by 'sdxl-tui check'.""",
        examples=["sdxl-tui schema", "sdxl-tui schema --output sdxl-tui.schema.json"],
    )
    command.add_argument("-o", "--output", metavar="FILE", help="file to write (default: print it)")
    command.add_argument("--force", action="store_true", help="replace a file that is something else")


def write_schema(arguments: argparse.Namespace) -> int:
    """``sdxl-tui schema``."""
    from engine.durable import write_atomically  # noqa: PLC0415
    from engine.profile.json_schema import SCHEMA_ID, json_schema  # noqa: PLC0415

    if arguments.output is None:
        out().json(json_schema())
        return EXIT_OK
    target = user_path(arguments.output)
    refuse_to_replace([target], force=arguments.force or _is_ours(target, SCHEMA_ID))
    write_atomically(target, (json.dumps(json_schema(), indent=2) + "\n").encode())
    out().line(f"{out().paint('written:', 'green')} {clean(str(target))}")
    err().line(f"Next: put this line first in a profile: #:schema ./{clean(target.name)}")
    return EXIT_OK


def _is_ours(target: Path, schema_id: str) -> bool:
    """Whether an older schema stands there, which is to be replaced."""
    try:
        with target.open("rb") as file:
            return schema_id.rpartition(":")[0].encode() in file.read(500)
    except OSError:
        return False
