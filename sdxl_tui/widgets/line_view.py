"""Lines of text to scroll through, following their end until one scrolls up. Long lines are wrapped, none is hidden."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from rich.cells import cell_len, chop_cells
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import MouseScrollDown, MouseScrollUp, Resize

from sdxl_tui.widgets.painted import Painted, Piece, Row

WHEEL_LINES: Final = 3


class LineView(Painted, can_focus=True):
    """``show`` replaces the lines. follows: whether new lines at the end are scrolled to, at first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "scroll_by(1)", "Down", show=False),
        Binding("up,k", "scroll_by(-1)", "Up", show=False),
        Binding("pagedown,ctrl+f", "page(1)", "Page down", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False),
        Binding("home,g", "top", "First line", show=False),
        Binding("end,G", "follow", "Last line, and follow", show=False),
    ]

    def __init__(
        self,
        *,
        follows: bool = False,
        empty: str = "",
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._follows = self.is_following = follows
        self._empty = empty
        self._lines: tuple[Row, ...] = ()
        self._wrapped: list[Row] = []
        self._first_rows: list[int] = []
        self._top = 0

    def show(self, lines: Sequence[Row], *, dropped: int = 0) -> None:
        """Show these lines. dropped: how many of those shown before are gone at the top; what is in sight stays."""
        at_line = self._line_at_top() - dropped
        self._lines = tuple(lines)
        self._wrap()
        if not self.is_following and self._first_rows:
            self._top = self._first_rows[max(0, min(at_line, len(self._first_rows) - 1))]
        self._settle()

    @property
    def rows_above(self) -> int:
        """Rows out of sight above."""
        return self._top

    def rows_for(self, width: int, height: int) -> Sequence[Row]:
        if not self._wrapped:
            return (((self._empty, "$foreground 50%"),),)
        return self._wrapped[self._top : self._top + height]

    def _wrap(self) -> None:
        """Cut the lines to rows of the width there is."""
        width = self.content_size.width
        self._wrapped, self._first_rows = [], []
        if not width:
            return
        for line in self._lines:
            self._first_rows.append(len(self._wrapped))
            self._wrapped += wrapped(line, width)

    def _line_at_top(self) -> int:
        """The line that the first row in sight belongs to."""
        return max(0, sum(first <= self._top for first in self._first_rows) - 1)

    def _settle(self) -> None:
        """Stay within the rows, paint, and say where one is."""
        furthest = max(0, len(self._wrapped) - self.content_size.height)
        self._top = furthest if self.is_following else max(0, min(self._top, furthest))
        self.repaint()
        text = "" if self.is_following else "G follows the end"
        if self._follows and str(self.border_subtitle or "") != text:
            self.border_subtitle = Content(text)

    def on_resize(self, event: Resize) -> None:
        """Wrap anew, the same line on top."""
        at_line = self._line_at_top()
        self._wrap()
        if self._first_rows:
            self._top = self._first_rows[min(at_line, len(self._first_rows) - 1)]
        self._settle()
        self.refresh()

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """Down by a few rows."""
        event.stop()
        self.action_scroll_by(WHEEL_LINES)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Up by a few rows."""
        event.stop()
        self.action_scroll_by(-WHEEL_LINES)

    def action_scroll_by(self, rows: int) -> None:
        """Scroll; upwards ends following, arriving at the end begins it again."""
        furthest = max(0, len(self._wrapped) - self.content_size.height)
        self._top = max(0, min(furthest, self._top + rows))
        self.is_following = self._follows and self._top >= furthest
        self._settle()

    def action_page(self, by: int) -> None:
        """Scroll by a page."""
        self.action_scroll_by(by * max(1, self.content_size.height - 1))

    def action_top(self) -> None:
        """To the first line."""
        self.action_scroll_by(-len(self._wrapped))

    def action_follow(self) -> None:
        """To the last line, and on with it."""
        self.action_scroll_by(len(self._wrapped))


def wrapped(line: Row, width: int) -> list[Row]:
    """``line`` on as many rows of ``width`` cells as it needs."""
    rows: list[Row] = []
    row: list[Piece] = []
    room = width
    for text, style in line:
        rest = text
        while rest:
            if cell_len(rest) <= room:
                row.append((rest, style))
                room -= cell_len(rest)
                break
            head = chop_cells(rest, room)[0] if room else ""
            if cell_len(head) <= room and head:
                row.append((head, style))
                rest = rest[len(head) :]
            elif room == width:
                break  # a letter wider than the line
            rows.append(tuple(row))
            row, room = [], width
    return [*rows, tuple(row)] if row or not rows else rows
