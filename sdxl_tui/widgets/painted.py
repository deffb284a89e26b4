"""A widget that is a grid of cells and repaints only those that differ from what stands on the screen.

Over a slow line a screen that is watched all day must cost next to nothing: a loss that changed is six cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.content import Content
from textual.events import Resize
from textual.geometry import Region
from textual.strip import Strip
from textual.style import Style
from textual.widget import Widget

Piece = tuple[str, str]
"""Text and its Textual style (``"$text-muted"``, ``"bold $success"``, ``""``)."""
Row = tuple[Piece, ...]


class Painted(Widget):
    """A subclass says in ``rows_for`` what stands on each line, and calls ``repaint`` when that may have changed."""

    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._rows: tuple[Row, ...] = ()

    def rows_for(self, width: int, height: int) -> Sequence[Row]:
        """The lines from the top; longer ones are cut, missing ones are blank."""
        raise NotImplementedError

    def repaint(self) -> None:
        """Ask for the rows and paint what differs."""
        width, height = self.content_size
        if not width or not height:
            return
        before, self._rows = self._rows, tuple(self.rows_for(width, height))
        for y in range(min(height, max(len(before), len(self._rows)))):
            old = before[y] if y < len(before) else ()
            new = self._rows[y] if y < len(self._rows) else ()
            if old != new:
                self.refresh(_difference(old, new, y, width))

    def say_above(self, title: Content) -> None:
        """The upper border's text. Setting it draws the whole widget anew, so that is done only when it is another."""
        if title.markup != (self.border_title or ""):
            self.border_title = title

    def say_below(self, subtitle: Content) -> None:
        """The lower border's text, likewise."""
        if subtitle.markup != (self.border_subtitle or ""):
            self.border_subtitle = subtitle

    def on_resize(self, event: Resize) -> None:
        """Draw for the new size."""
        self.repaint()
        self.refresh()

    def render_line(self, y: int) -> Strip:
        width, style = self.content_size.width, self.visual_style
        if not 0 <= y < len(self._rows):
            return Strip.blank(width, style.rich_style)
        return painted_strip(self, self._rows[y], width)


def painted_strip(widget: Widget, row: Sequence[Piece], width: int, base: Style | None = None) -> Strip:
    """``row`` in the widget's colours, or on those of ``base``, cut or filled to ``width`` cells."""
    style = widget.visual_style if base is None else base
    parse = widget.app.stylesheet.parse_style
    return Strip([Segment(text, _blended(style, parse(own))) for text, own in joined(fitted(row, width))], width)


@lru_cache(maxsize=1024)
def _blended(base: Style, own: Style) -> RichStyle:
    """A style on top of another, as Rich writes it."""
    return (base + own).rich_style


def fitted(row: Sequence[Piece], width: int, *, right: bool = False) -> list[Piece]:
    """``row`` as exactly ``width`` cells: filled with blanks at one side, or cut with an ellipsis."""
    spare = width - sum(cell_len(text) for text, _ in row)
    if spare >= 0:
        blank = [(" " * spare, "")] if spare else []
        return [*blank, *row] if right else [*row, *blank]
    found: list[Piece] = []
    room = width - 1
    for text, style in row:
        if (cells := cell_len(text)) > room:
            return [*found, (f"{set_cell_size(text, max(0, room))}…"[: width or 0], style)]
        found.append((text, style))
        room -= cells
    return found


def joined(row: Sequence[Piece]) -> list[Piece]:
    """Neighbouring pieces of one style as one; blanks, which show no colour, go with what stands before them.

    A change of style costs forty bytes on the way to the terminal.
    """
    found: list[Piece] = []
    for text, style in row:
        if not text:
            continue
        before = found[-1] if found else None
        if before is not None and (before[1] == style or (not style and text.isspace() and _shows_only_ink(before[1]))):
            found[-1] = (before[0] + text, before[1])
        else:
            found.append((text, style))
    return found


def _shows_only_ink(style: str) -> bool:
    """Whether a blank in this style looks like one without."""
    return not {"on", "underline", "u", "reverse", "r", "strike", "s"} & set(style.split())


def _difference(old: Row, new: Row, y: int, width: int) -> Region:
    """The part of line ``y`` outside which the two agree; all of it where letters are not one cell wide each."""
    before, after = _letters(old, width), _letters(new, width)
    if before is None or after is None:
        return Region(0, y, width, 1)
    differing = [at for at in range(width) if before[at] != after[at]]
    if not differing:
        return Region(0, y, 1, 1)
    return Region(differing[0], y, differing[-1] - differing[0] + 1, 1)


def _letters(row: Row, width: int) -> list[Piece] | None:
    """One piece per cell; None if some letter is wider than a cell, or the row longer than the line."""
    letters = [(letter, style) for text, style in row for letter in text]
    if len(letters) > width or any(cell_len(text) != len(text) for text, _ in row):
        return None
    return letters + [(" ", "")] * (width - len(letters))
