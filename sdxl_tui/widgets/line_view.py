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
    """``show`` replaces the lines.

    follows: new lines at the end are scrolled to until one scrolls up. hang: how far the later rows of a line are set in.
    """

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
        hang: int = 0,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._follows = self.is_following = follows
        self._empty = empty
        self._hang = hang
        self._lines: tuple[Row, ...] = ()
        self._wrapped: list[Row] = []
        self._first_rows: list[int] = []
        self._top = 0

    def show(self, lines: Sequence[Row], *, dropped: int = 0) -> None:
        """Show these lines. dropped: how many of those shown before are gone at the top; what is in sight stays."""
        at_line = self.line_at_top() - dropped
        self._lines = tuple(lines)
        self._wrap()
        if not self.is_following and self._first_rows:
            self._top = self._first_rows[max(0, min(at_line, len(self._first_rows) - 1))]
        self._settle()

    def show_from(self, lines: Sequence[Row], at_line: int, above: int = 0) -> None:
        """Show these lines, not followed, line ``at_line`` standing ``above`` rows below the top."""
        self.is_following = False
        self._lines = tuple(lines)
        self._wrap()
        if self._first_rows:
            self._top = self._first_rows[max(0, min(at_line, len(self._first_rows) - 1))] - above
        self._settle()

    @property
    def is_at_end(self) -> bool:
        """The last row is in sight."""
        return self._top >= len(self._wrapped) - self.content_size.height

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
            self._wrapped += wrapped(line, width, self._hang)

    def line_at_top(self) -> int:
        """The line that the first row in sight belongs to."""
        return max(0, sum(first <= self._top for first in self._first_rows) - 1)

    def _settle(self) -> None:
        """Stay within the rows, paint, and say where one is."""
        furthest = max(0, len(self._wrapped) - self.content_size.height)
        self._top = furthest if self.is_following else max(0, min(self._top, furthest))
        self.repaint()
        self.show_subtitle()

    def subtitle(self) -> str:
        """Where one is, in words, at the lower edge of what follows an end."""
        return "" if self.is_following else "G follows the end"

    def show_subtitle(self) -> None:
        """Say it if it is something else than before."""
        if self._follows:
            self.say_below(Content(self.subtitle()))

    def on_resize(self, event: Resize) -> None:
        """Wrap anew, the same line on top."""
        at_line = self.line_at_top()
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


def wrapped(line: Row, width: int, hang: int = 0) -> list[Row]:
    """``line`` on as many rows of ``width`` cells as it needs, cut after blanks where there are; later rows are set in."""
    hang = hang if hang * 2 < width else 0
    rows: list[Row] = []
    row: list[Piece] = []
    room, is_fresh = width, True
    for text, style in line:
        rest = text
        while rest:
            head = rest if cell_len(rest) <= room else _head(rest, room)
            if head:
                row.append((head, style))
                rest, room, is_fresh = rest[len(head) :], room - cell_len(head), False
            elif is_fresh:
                break  # a letter wider than the row
            if rest:
                rows.append(tuple(row))
                row, room, is_fresh = ([(" " * hang, "")] if hang else []), width - hang, True
    return [*rows, tuple(row)] if row or not rows else rows


def _head(text: str, room: int) -> str:
    """What of ``text`` goes on a row with ``room`` cells: up to the last blank in its later half, else as much as fits."""
    if room <= 0:
        return ""
    head = chop_cells(text, room)[0]
    if cell_len(head) > room:
        return ""
    blank = head.rfind(" ")
    return head[: blank + 1] if blank > len(head) // 2 else head
