"""Curves in braille: each character cell holds 2 × 4 dots, each curve has a tone. Pure; knows nothing of widgets.

For curves given by a formula, a few hundred points at most. Measured series (loss) are drawn by the chart widget.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

Tone = TypeVar("Tone")

DOTS_ACROSS: Final = 2
DOTS_DOWN: Final = 4
BLANK: Final = 0x2800
# Unicode numbers the dots of a cell 1-2-3-7 down the left side and 4-5-6-8 down the right one.
DOT_BITS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


@dataclass
class BrailleCanvas(Generic[Tone]):
    """``columns`` × ``rows`` cells to draw on; a cell takes the tone of what was drawn on it last."""

    columns: int
    rows: int
    _bits: dict[tuple[int, int], int] = field(default_factory=dict)
    _tones: dict[tuple[int, int], Tone] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Dots across."""
        return self.columns * DOTS_ACROSS

    @property
    def height(self) -> int:
        """Dots down."""
        return self.rows * DOTS_DOWN

    def dot(self, x: int, y: int, tone: Tone) -> None:
        """Set the dot ``x`` from the left and ``y`` from the top; outside the canvas nothing happens."""
        if not (0 <= x < self.width and 0 <= y < self.height):
            return
        cell = (x // DOTS_ACROSS, y // DOTS_DOWN)
        self._bits[cell] = self._bits.get(cell, 0) | DOT_BITS[x % DOTS_ACROSS][y % DOTS_DOWN]
        self._tones[cell] = tone

    def curve(self, first: int, last: int, height: Callable[[int], float], tone: Tone) -> None:
        """Draw ``height(x)`` (0 bottom, 1 top) over the dot columns ``first`` to ``last``, steep parts joined up."""
        before: int | None = None
        for x in range(max(0, first), min(self.width - 1, last) + 1):
            y = round((1.0 - height(x)) * (self.height - 1))
            start = y if before is None else before + (1 if y > before else -1 if y < before else 0)
            for between in range(min(start, y), max(start, y) + 1):
                self.dot(x, between, tone)
            before = y

    def cell(self, column: int, row: int) -> tuple[str, Tone] | None:
        """The character of a cell and its tone, None where nothing was drawn."""
        bits = self._bits.get((column, row))
        return None if bits is None else (chr(BLANK + bits), self._tones[column, row])
