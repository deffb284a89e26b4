"""The parser of the command line: how commands are declared, and what their arguments mean.

Each group of commands declares itself in its own module with ``add_command``; nothing here knows them.
"""

from __future__ import annotations

import argparse
import difflib
import math
import re
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

from engine.errors import UserError
from sdxl_tui.terminal.clean import clean

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USER_ERROR: Final = 2
EXIT_INTERRUPTED: Final = 130

Handler = Callable[[argparse.Namespace], int]
Commands = Any
"""What ``add_subparsers`` returns; argparse gives it no public type."""

GENERAL_EXITS: Final = ("0 done", "2 something to mend: one message says what and where")


class UsageError(UserError):
    """A command line that says nothing this program understands."""


class Parser(argparse.ArgumentParser):
    """argparse with whole option names and one message per mistake, raised instead of printed."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """Raise ``UsageError``; a mistyped command gets the nearest one."""
        wrong = re.search(r"argument COMMAND: invalid choice: '(.*)' \(choose from (.*)\)", message, re.DOTALL)
        if wrong:
            known = re.findall(r"[a-z-]+", wrong[2])
            nearest = difflib.get_close_matches(wrong[1], known, 1)
            hint = f"Did you mean '{nearest[0]}'?" if nearest else "All of them: sdxl-tui --help"
            raise UsageError(f"there is no command '{clean(wrong[1], limit=60)}'", hint=hint)
        raise UsageError(clean(message, limit=500), hint=f"See: {self.prog} --help")


def add_workspace_option(parser: argparse.ArgumentParser) -> None:
    """``--workspace``, the same before and after the command; absent from the result where it is not given."""
    parser.add_argument(
        "--workspace",
        metavar="DIR",
        default=argparse.SUPPRESS,
        help="folder with profiles/, runs/, cache/ (default: $SDXL_TUI_WORKSPACE, the current folder if it is one, ~/sdxl-tui)",
    )


def add_command(
    commands: Commands,
    name: str,
    handler: Handler,
    *,
    summary: str,
    about: str,
    examples: Sequence[str],
    exits: Sequence[str] = GENERAL_EXITS,
    json: bool = False,
) -> argparse.ArgumentParser:
    """Declare a command: its line in the list, its help page, and the function that does it.

    about: paragraphs separated by empty lines. examples: command lines. exits: a code, a space, what it means.
    json: offer ``--json``.
    """
    paragraphs = [
        textwrap.fill(" ".join(part.split()), 78, break_on_hyphens=False) for part in about.strip().split("\n\n")
    ]
    codes = [f"  {code:<3}  {meaning}" for code, _, meaning in (line.partition(" ") for line in exits)]
    epilog = "\n".join(["examples:", *(f"  {line}" for line in examples), "", "exit codes:", *codes])
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description="\n\n".join(paragraphs), epilog=epilog
    )
    add_workspace_option(parser)
    if json:
        parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.set_defaults(handler=handler)
    return parser


WAIT_EXITS: Final = (
    "0 done; with --wait: the run finished, or was stopped after saving",
    "1 with --wait: the run failed",
    "2 something to mend: one message says what and where",
    "130 Ctrl-C: no longer waiting; the run goes on",
)


def add_overrides_option(parser: argparse.ArgumentParser, help: str = "as with launch") -> None:
    """``--set section.field=value``, any number of times, as ``overrides``."""
    parser.add_argument(
        "--set", action="append", default=[], metavar="section.field=value", dest="overrides", help=help
    )


def add_wait_option(parser: argparse.ArgumentParser) -> None:
    """``--wait``."""
    parser.add_argument(
        "--wait", action="store_true", help="show the progress until the run ends (Ctrl-C leaves it running)"
    )


def learning_rate(text: str) -> float:
    """A base learning rate as typed: ``1e-4`` or ``0.0001``."""
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate <= 10:
        raise argparse.ArgumentTypeError(
            f"'{text}' is not a learning rate: a number above 0 and up to 10, for example 1e-4 or 0.0001"
        )
    return rate


def rate_or_factor(text: str) -> str:
    """A rate as typed, or a factor of one that is only known with the checkpoint; judged as far as it can be here."""
    from engine.routes.rates import is_factor  # noqa: PLC0415 - not every command needs it

    if not is_factor(text):
        learning_rate(text)
    return text


def whole_number(minimum: int) -> Callable[[str], int]:
    """A type for argparse: an integer of at least ``minimum``."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = minimum - 1
        if number < minimum:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least {minimum}")
        return number

    return parse
