"""What a terminal shows of what it is sent, as far as the app's frames go: moves, styles, letters."""

from __future__ import annotations

import re

from rich.cells import cell_len

SENT = re.compile(
    r"\x1b\[(\d+);(\d+)H|\x1b\[([0-9;]*)m|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]P_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.|([^\x1b])",
    re.DOTALL,
)
CUT = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]P_][^\x07\x1b]*\x1b?)?\Z")

Cell = tuple[str, str]
"""A letter and the parameters of its style; a wide letter's second cell is empty."""


class TextScreen:
    """A screen of ``width`` × ``height`` cells."""

    def __init__(self, width: int, height: int) -> None:
        self.cells: list[list[Cell]] = [[("?", "")] * width for _ in range(height)]
        self.touched: set[int] = set()
        """Lines of which something was sent."""
        self._row = self._column = 0
        self._style = ""
        self._cut = ""
        """The beginning of a sequence that has not arrived."""

    def take(self, sent: str) -> None:
        """Sequences that do nothing to cells are passed over; so is what lies outside."""
        sent = self._cut + sent
        end = next((hit.start() for hit in CUT.finditer(sent)), len(sent))
        self._cut = sent[end:]
        for line, column, parameters, letter in SENT.findall(sent[:end]):
            if line:
                self._row, self._column = int(line) - 1, int(column) - 1
            elif parameters:
                self._style = "" if parameters == "0" else parameters
            elif letter and letter.isprintable():
                self._put(letter)

    def _put(self, letter: str) -> None:
        if self._row >= len(self.cells):
            return
        row, at, width = self.cells[self._row], self._column, cell_len(letter)
        for half in (at, at + width):
            if 0 < half < len(row) and row[half][0] == "":
                row[half] = (" ", "")
                if half == at:
                    row[at - 1] = (" ", "")
        if width and at + width <= len(row):
            row[at : at + width] = [(letter, self._style), ("", self._style)][:width]
        self._column += width
        self.touched.add(self._row)

    def text(self, *, touched: bool = False) -> str:
        """Its lines; or those of which something was sent since ``touched`` was emptied."""
        rows = sorted(self.touched) if touched else range(len(self.cells))
        return "\n".join("".join(letter for letter, _ in self.cells[row]) for row in rows)
