"""How the commands print: lines, aligned tables and JSON, in colour only where a terminal wants it.

What a script may read goes to stdout, everything said to a person (progress, hints, errors) to stderr. Every character
passes the guard of ``sdxl_tui.terminal``; values from outside are also cleaned where they enter a table.
"""

from __future__ import annotations

import json
import math
import os
import sys
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TextIO

from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.stream import GuardedStream

STYLES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
GAP: Final = 2
NARROWEST: Final = 12
"""Cells that a shortened column keeps."""


class Painted(NamedTuple):
    """A cell of a table with a style."""

    text: str
    style: str


@dataclass(frozen=True)
class Column:
    """A column of a table. ``droppable``: left out where there is no room, the highest number first; 0 always stays."""

    title: str
    right: bool = False
    shortens: bool = False
    droppable: int = 0


def cell_width(text: str) -> int:
    """Cells that ``text`` takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(_letter_width(letter) for letter in text)


def _letter_width(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def shorten(text: str, width: int) -> str:
    """``text`` in at most ``width`` cells, its end replaced by an ellipsis if it is longer."""
    if cell_width(text) <= width:
        return text
    kept = ""
    for letter in text:
        if cell_width(kept + letter) > width - 1:
            break
        kept += letter
    return kept + "…"


class Printer:
    """stdout or stderr with a memory of what it is: a terminal or not, coloured or not, how wide."""

    def __init__(self, stream: TextIO) -> None:
        self._terminal = stream
        self._stream = GuardedStream(stream)
        self.is_terminal = stream.isatty()
        self.has_colour = self.is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    @property
    def width(self) -> int:
        """Cells of a line now: ``$COLUMNS``, else the terminal's, else 80."""
        columns = os.environ.get("COLUMNS", "")
        if columns.isdecimal() and int(columns) > 0:
            return int(columns)
        try:
            return os.get_terminal_size(self._terminal.fileno()).columns or 80
        except (OSError, ValueError):
            return 80

    def line(self, text: str = "") -> None:
        """One or several lines."""
        self._stream.write(text + "\n")

    def rewrite(self, text: str) -> None:
        """Replace the current line of a terminal; the cursor stays on it. Nothing but this moves a cursor."""
        self._terminal.write(f"\r\x1b[2K{clean(text)}")
        self._terminal.flush()

    def flush(self) -> None:
        """Make what was written visible now."""
        self._stream.flush()

    def paint(self, text: str, style: str) -> str:
        """``text`` in one of ``STYLES`` if colours are wanted here."""
        return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if self.has_colour and style else text

    def fields(self, pairs: Sequence[tuple[str, str]], *, indent: int = 0) -> None:
        """Names and values in two columns; further lines of a value stand below it."""
        widest = max((cell_width(name) for name, _ in pairs), default=0)
        for name, value in pairs:
            first, *rest = clean(value, lines=True).split("\n")
            self.line(" " * indent + self.paint(name.ljust(widest), "dim") + " " * GAP + first)
            for further in rest:
                self.line(" " * (indent + widest + GAP) + further)

    def paragraph(self, text: str, *, indent: int = 0) -> None:
        """Text of any length, broken at spaces."""
        margin = " " * indent
        for line in textwrap.wrap(clean(text), min(self.width, 80) - indent) or [""]:
            self.line(margin + line)

    def table(
        self, columns: Sequence[Column], rows: Sequence[Sequence[str | Painted]], remarks: Sequence[str] = ()
    ) -> None:
        """An aligned table with a head. Only a terminal gets shortened cells: a script needs whole names.

        remarks: by row, what stands below it; empty for nothing.
        """
        cells = [[_cleaned(cell) for cell in row] for row in rows]
        shown = list(range(len(columns)))
        widths = [
            max([cell_width(column.title), *(cell_width(row[index].text) for row in cells)])
            for index, column in enumerate(columns)
        ]

        def excess() -> int:
            return sum(widths[index] for index in shown) + GAP * (len(shown) - 1) - self.width

        while excess() > 0 and (droppable := [index for index in shown if columns[index].droppable]):
            shown.remove(max(droppable, key=lambda index: columns[index].droppable))
        for index in shown:
            if self.is_terminal and columns[index].shortens and excess() > 0:
                widths[index] = max(NARROWEST, widths[index] - excess())
        below = ["", *remarks, *[""] * (len(cells) - len(remarks))]
        head = [Painted(column.title, "bold") for column in columns]
        for row, remark in zip((head, *cells), below, strict=True):
            self.line((" " * GAP).join(self._cell(row[i], columns[i], widths[i]) for i in shown).rstrip())
            if remark:
                self.line(self.paint(" " * GAP + shorten(clean(remark), max(NARROWEST, self.width - GAP)), "dim"))

    def _cell(self, cell: Painted, column: Column, width: int) -> str:
        text = shorten(cell.text, width)
        padding = " " * (width - cell_width(text))
        painted = self.paint(text, cell.style)
        return padding + painted if column.right else painted + padding

    def json(self, value: object) -> None:
        """``value`` as JSON in ASCII, so that nothing in it is a control character; not-a-number becomes null."""
        self.line(json.dumps(_finite(value), indent=2, allow_nan=False))

    def json_line(self, value: object) -> None:
        """``json`` in one line, for streams of records."""
        self.line(json.dumps(_finite(value), allow_nan=False))


def out() -> Printer:
    """stdout: results."""
    return Printer(sys.stdout)


def err() -> Printer:
    """stderr: progress, hints, errors."""
    return Printer(sys.stderr)


def _cleaned(cell: str | Painted) -> Painted:
    text, style = (cell, "") if isinstance(cell, str) else cell
    return Painted(clean(text), style)


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return value
