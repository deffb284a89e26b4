"""The command ``import``: a profile from a file of sd-scripts, with a report that accounts for everything in it."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.errors import UserError
from engine.user_path import user_path
from sdxl_tui.cli.arguments import EXIT_OK, Commands, add_command
from sdxl_tui.cli.output import Printer, cell_width, err, out
from sdxl_tui.terminal.clean import clean
from sdxl_tui.workspace import find_workspace

if TYPE_CHECKING:
    from engine.foreign.sd_scripts.imported import Imported, Line

WIDEST: Final = 44
"""Cells of the left column of a report; a longer option stands on a line of its own."""


def add_commands(commands: Commands) -> None:
    """Declare it."""
    command = add_command(
        commands,
        "import",
        import_settings,
        summary="make a profile from a config or LoRA of sd-scripts",
        about="""Write a profile from a file of kohya-ss/sd-scripts: a --config_file or dataset_config (TOML), a JSON of the
        kohya_ss GUI, a TOML of LoRA Easy Training Scripts, a text with the command line, or a LoRA file whose ss_ metadata
        tell of its training.

        Everything in the file is accounted for: translated, meaningless here, or not supported, with the reason. What
        sd-scripts takes where the file says nothing is written into the profile where it differs from the defaults here.
        Epochs become steps where the images can be counted. Paths that are not on this machine are kept and told.""",
        examples=[
            "sdxl-tui import config.toml",
            "sdxl-tui import config.toml --dataset-config dataset.toml -o my.toml",
            "sdxl-tui import style.safetensors --dry-run",
        ],
        json=True,
    )
    command.add_argument("file", metavar="FILE", help="a config, a text with a command line, or a LoRA")
    command.add_argument("-o", "--output", metavar="PROFILE.toml", help="profile to write (default: in the workspace)")
    command.add_argument(
        "--dataset-config", metavar="FILE", help="the data set's file, where the one FILE names is not here"
    )
    command.add_argument("--force", action="store_true", help="replace a profile that is there already")
    command.add_argument("--dry-run", action="store_true", help="report, and write nothing")


def import_settings(arguments: argparse.Namespace) -> int:
    """``sdxl-tui import FILE``."""
    from engine.foreign.sd_scripts.importing import import_file  # noqa: PLC0415

    named = arguments.dataset_config
    imported = import_file(user_path(arguments.file), dataset_config=None if named is None else user_path(named))
    target = None if arguments.dry_run else _write(imported, arguments)
    if arguments.json:
        out().json({"profile": None if target is None else str(target), **imported.to_json()})
        return EXIT_OK
    _print_report(out(), imported)
    if target is None:
        out().line()
        out().line(clean(imported.text, limit=100_000, lines=True).rstrip())
    else:
        out().line(f"{out().paint('written:', 'green')} {clean(str(target))}")
        err().line(f"Next: sdxl-tui check {clean(str(target) if arguments.output else imported.name)}")
    return EXIT_OK


def _write(imported: Imported, arguments: argparse.Namespace) -> Path:
    from engine.durable import write_atomically  # noqa: PLC0415

    if arguments.output is not None:
        target = user_path(arguments.output)
    else:
        workspace = find_workspace(getattr(arguments, "workspace", None))
        workspace.create()
        target = workspace.profiles / f"{imported.name}.toml"
    refuse_to_replace([target], force=arguments.force)
    write_atomically(target, imported.text.encode())
    return target


def refuse_to_replace(targets: Iterable[Path], *, force: bool) -> None:
    """Raise ``UserError`` for a target that cannot be written, or that is there already."""
    for target in targets:
        if target.is_dir():
            raise UserError("is a folder", where=str(target), hint="Name a file to write.")
        if not target.parent.is_dir():
            raise UserError("there is no such folder", where=str(target.parent), hint="Make it, or name another file.")
        if target.exists() and not force:
            raise UserError(
                "is there already", where=str(target), hint="--force replaces it; -o FILE writes another file."
            )


def _print_report(printer: Printer, imported: Imported) -> None:
    from engine.foreign.sd_scripts.option import Fate  # noqa: PLC0415

    heads = {
        Fate.TRANSLATED: "translated",
        Fate.DEFAULT: "not in the file: what sd-scripts takes, and now the profile",
        Fate.UNSUPPORTED: "not supported",
        Fate.UNKNOWN: "unknown",
        Fate.MEANINGLESS: "meaningless here",
    }
    printer.line(f"{printer.paint(clean(imported.name), 'bold')}: {imported.format}")
    for fate, head in heads.items():
        lines = imported.of(fate)
        if not lines:
            continue
        printer.line()
        printer.line(printer.paint(f"{head} ({len(lines)})", "bold"))
        if fate is Fate.MEANINGLESS:
            _print_reasons(printer, lines)
        else:
            for line in lines:
                _print_line(printer, line)
    printer.line()
    for sentence in (*imported.missing, *imported.remarks):
        _wrapped(printer, f"{printer.paint('to do:', 'yellow')} {clean(sentence, limit=2000)}", "", "  ")


def _print_line(printer: Printer, line: Line) -> None:
    left = clean(f"{line.option} = {line.value}" if line.value else line.option)
    right = clean(", ".join(f"{field} = {value}" for field, value in line.becomes), limit=400)
    note = f"({clean(line.note, limit=400)})" if line.note and right else clean(line.note, limit=400)
    mark = printer.paint("! ", "yellow") if line.is_warning else "  "
    said = " ".join(part for part in (right, note) if part)
    room = " " * (WIDEST - cell_width(left))
    if cell_width(left) <= WIDEST and (not printer.is_terminal or WIDEST + 4 + cell_width(said) <= printer.width):
        printer.line(f"{mark}{left}{room}  {said}".rstrip())
        return
    printer.line(f"{mark}{left}")
    if said:
        _wrapped(printer, said, "      ", "      ")


def _print_reasons(printer: Printer, lines: Iterable[Line]) -> None:
    """Options that change nothing, those of one reason together."""
    reasons: dict[str, list[str]] = {}
    for line in lines:
        reasons.setdefault(line.note, []).append(clean(line.option))
    for note, options in reasons.items():
        _wrapped(printer, f"{', '.join(options)}: {printer.paint(clean(note, limit=400), 'dim')}", "  ", "      ")


def _wrapped(printer: Printer, text: str, first: str, others: str) -> None:
    """Broken at spaces where a person reads it; a script gets one line."""
    if not printer.is_terminal:
        printer.line(first + text)
        return
    for line in textwrap.wrap(text, printer.width, initial_indent=first, subsequent_indent=others) or [""]:
        printer.line(line)
