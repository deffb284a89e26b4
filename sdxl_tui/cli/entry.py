"""From a command line to an exit code: the parser put together, one command called, every error turned into one message.

Exit codes: 0 done, 1 the run failed or a defect of this program, 2 something a person can mend, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Final

import engine
from engine.errors import UserError
from sdxl_tui.cli import (
    checkpoint_commands,
    child_commands,
    compare,
    dataset_command,
    diff_command,
    export_command,
    family_commands,
    folders_command,
    fork_command,
    gpus_command,
    import_command,
    keeping_commands,
    keys_command,
    label_commands,
    live_commands,
    lora_commands,
    notify_command,
    profile_commands,
    queue_command,
    resume_commands,
    run_commands,
    scale_lr,
    schema_command,
    training_commands,
)
from sdxl_tui.cli.arguments import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USER_ERROR, Parser, add_workspace_option
from sdxl_tui.cli.opening import open_app
from sdxl_tui.cli.output import err
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.plain import use_plain_characters

EXIT_BROKEN_PIPE: Final = 141
"""What a shell reports for a program that ended by SIGPIPE."""

_ABOUT = """\
Train SDXL LoRAs and keep the learning rate honest. Without a command, opens
the app.

Runs outlive the app and this command: each trains in a process of its own.
"""
_EPILOG = """\
Start with 'sdxl-tui demo'. A RUN is its id, the beginning of one, or 'latest'.
A CHECKPOINT is a folder, RUN/step-00000020, RUN@20, or RUN for its newest.
'sdxl-tui COMMAND --help' shows examples and exit codes.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (``sys.argv`` by default) and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            use_plain_characters(stream)  # a terminal without UTF-8 gets ASCII, not a traceback
    try:
        code = _run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_stdout()
        return EXIT_BROKEN_PIPE
    except UserError as error:
        _say(str(error))
        return EXIT_USER_ERROR
    except OSError as error:
        _say(f"{error.filename or 'system'}: {error.strerror or error}")
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception:
        err().line(clean(traceback.format_exc(), limit=20_000, lines=True).rstrip())
        _say("this is a defect of sdxl-tui; runs that train are not touched by it")
        return EXIT_FAILED
    return code


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = Parser(
        prog="sdxl-tui",
        description=_ABOUT,
        epilog=_EPILOG,
        usage="sdxl-tui [--workspace DIR] [COMMAND ...]",
    )
    parser.add_argument("--version", action="version", version=f"sdxl-tui {engine.__version__}")
    add_workspace_option(parser)
    parser.set_defaults(handler=open_app)
    commands = parser.add_subparsers(metavar="COMMAND", title="commands", prog="sdxl-tui")
    for group in (
        training_commands,
        run_commands,
        label_commands,
        live_commands,
        scale_lr,
        checkpoint_commands,
        compare,
        family_commands,
        keeping_commands,
        queue_command,
        gpus_command,
        notify_command,
        keys_command,
        resume_commands,
        child_commands,
        fork_command,
        profile_commands,
        schema_command,
        diff_command,
        dataset_command,
        import_command,
        export_command,
        lora_commands,
        folders_command,
    ):
        group.add_commands(commands)
    return parser


def _run(words: Sequence[str]) -> int:
    try:
        arguments = build_parser().parse_args(words)
    except SystemExit as ended:  # --help and --version have printed what was asked for
        return ended.code if isinstance(ended.code, int) else 0
    code: int = arguments.handler(arguments)
    return code


def _say(message: str) -> None:
    printer = err()
    printer.line(f"{printer.paint('error:', 'red')} {clean(message, limit=20_000, lines=True)}")


def _forget_stdout() -> None:
    """Nobody reads stdout any more; without this the interpreter would complain when it closes it."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError:
        sys.stdout = None
