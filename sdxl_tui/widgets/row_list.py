"""A list of rows with guides and right-aligned columns that can be replaced at any time without losing the place.

The rows are plain data made by the caller, who also decides what is folded; the widget draws, moves the cursor and says
what was asked for. Rows are told apart by their keys: after ``show_rows`` the cursor stands on the same key, wherever it is
now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal

from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Click, Resize
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.style import Style

Styled = tuple[str, str]
"""Text, and the Textual style it is written in (``"$text-muted"``, ``"bold $success"``, ``""``)."""

EXPANDERS: Final = {"open": "▾ ", "closed": "▸ "}


@dataclass(frozen=True)
class Row:
    """One line: guides, an expander where there is something below it, the label's parts, columns at the right edge."""

    key: str
    label: tuple[Styled, ...]
    columns: tuple[Styled, ...] = ()
    """Aligned with those of the other rows that have any."""
    tail: Styled = ("", "")
    """At the right edge of a row without columns, where the label leaves room for it."""
    guides: str = ""
    fold: Literal["open", "closed"] | None = None
    parent: str | None = None
    """Key of the row above it in the tree."""


@dataclass(frozen=True)
class _Layout:
    """Widths of the columns, those of all rows."""

    widths: tuple[int, ...] = field(default=())

    @classmethod
    def of(cls, rows: Sequence[Row]) -> _Layout:
        count = max((len(row.columns) for row in rows), default=0)
        return cls(
            tuple(
                max((len(row.columns[at][0]) for row in rows if at < len(row.columns)), default=0)
                for at in range(count)
            )
        )


class RowList(ScrollView, can_focus=True):
    """The rows, one of them under the cursor."""

    DEFAULT_CSS = """
    RowList {
        height: 1fr;
        overflow-x: hidden;
        scrollbar-size-vertical: 1;
        padding: 0 0 0 1;
        & > .row-list--guides { color: $foreground 30%; }
        & > .row-list--cursor { background: $block-cursor-blurred-background; }
        &:focus > .row-list--cursor { background: $block-cursor-background; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"row-list--guides", "row-list--cursor"}
    ALLOW_SELECT = False

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("home,g", "edge(0)", "First", show=False),
        Binding("end,G", "edge(1)", "Last", show=False),
        Binding("right,l", "fold(False)", "Unfold", show=False),
        Binding("left,h", "fold(True)", "Fold", show=False),
        Binding("space", "toggle_fold", "Fold or unfold", show=False),
        Binding("enter", "choose", "Choose", show=False),
    ]

    cursor: reactive[int] = reactive(0, repaint=False)

    @dataclass
    class Highlighted(Message):
        """The cursor stands on another row, or on none (key None)."""

        key: str | None

    @dataclass
    class Folding(Message):
        """A row is to be folded (its children hidden) or unfolded."""

        key: str
        folded: bool

    @dataclass
    class Chosen(Message):
        """Enter or a second click on a row."""

        key: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: tuple[Row, ...] = ()
        self._layout_of_rows = _Layout()
        self._last_key: str | None = None

    @property
    def rows(self) -> tuple[Row, ...]:
        """What is shown."""
        return self._rows

    @property
    def key(self) -> str | None:
        """The row under the cursor."""
        return self._rows[self.cursor].key if 0 <= self.cursor < len(self._rows) else None

    def show_rows(self, rows: Sequence[Row]) -> None:
        """Replace the rows; the cursor stays on its key, or near it where the key is gone."""
        before = self.key
        keys = [row.key for row in rows]
        self._rows, self._layout_of_rows = tuple(rows), _Layout.of(rows)
        self.virtual_size = Size(self.size.width, len(rows))
        if before in keys:
            self.set_reactive(RowList.cursor, keys.index(before))
        else:
            self.set_reactive(RowList.cursor, max(0, min(self.cursor, len(rows) - 1)))
        self._tell()
        self.refresh()

    def move_to(self, key: str) -> bool:
        """Put the cursor on a row; False if there is no such row."""
        for at, row in enumerate(self._rows):
            if row.key == key:
                self.cursor = at
                return True
        return False

    def watch_cursor(self, before: int, now: int) -> None:
        """Repaint the two rows, keep the cursor in sight, tell about it."""
        for at in (before, now):
            self.refresh_line(at)
        self._scroll_to_cursor()
        self._tell()

    def _scroll_to_cursor(self) -> None:
        top, room = self.scroll_offset.y, self.size.height
        if room > 0 and not top <= self.cursor < top + room:
            self.scroll_to(y=self.cursor if self.cursor < top else self.cursor - room + 1, animate=False, force=True)

    def _tell(self) -> None:
        if self.key != self._last_key:
            self._last_key = self.key
            self.post_message(self.Highlighted(self.key))

    def render_line(self, y: int) -> Strip:
        at = y + self.scroll_offset.y
        width = self.size.width
        if not 0 <= at < len(self._rows):
            return Strip.blank(width, self.rich_style)
        content = self._line(self._rows[at], width)
        style = self.visual_style
        if at == self.cursor:
            # Not get_visual_style(partial=True): it leaves out backgrounds that are opaque.
            style += Style(background=self.get_component_styles("row-list--cursor").background)
        parts = content.render(style, end="", parse_style=self.app.stylesheet.parse_style)
        strip = Strip([Segment(text, part.rich_style) for text, part in parts])
        return strip.adjust_cell_length(width, style.rich_style)

    def _line(self, row: Row, width: int) -> Content:
        marker = EXPANDERS[row.fold] if row.fold else ""
        label = Content.assemble(*row.label)
        room = width - len(row.guides) - len(marker) - 1
        columns: list[str | Styled] = []
        for (text, style), column in zip(row.columns, self._layout_of_rows.widths, strict=False):
            columns += ["  ", (text.rjust(column), style)]
            room -= column + 2
        if row.tail[0] and label.cell_length + len(row.tail[0]) + 2 <= room:
            columns = [row.tail]
            room -= len(row.tail[0])
        label = label.truncate(max(4, room), ellipsis=True, pad=True)
        guides = self.get_visual_style("row-list--guides", partial=True)
        return Content.assemble((row.guides, guides), (marker, guides), label, *columns)

    def on_resize(self, event: Resize) -> None:
        """Keep the cursor in sight."""
        self.virtual_size = Size(event.size.width, len(self._rows))
        self._scroll_to_cursor()

    def on_click(self, event: Click) -> None:
        """One click selects; a click on the expander folds; a second click chooses."""
        at = event.y + self.scroll_offset.y
        if not 0 <= at < len(self._rows):
            return
        row, again = self._rows[at], at == self.cursor
        self.cursor = at
        if row.fold and event.x < len(row.guides) + 2:
            self.post_message(self.Folding(row.key, row.fold == "open"))
        elif again and event.chain == 2:
            self.post_message(self.Chosen(row.key))

    def action_move(self, by: int) -> None:
        """Move the cursor by rows."""
        self.cursor = max(0, min(len(self._rows) - 1, self.cursor + by))

    def action_page(self, by: int) -> None:
        """Move the cursor by pages."""
        self.action_move(by * max(1, self.size.height - 1))

    def action_edge(self, last: int) -> None:
        """Go to the first or last row."""
        self.cursor = max(0, len(self._rows) - 1) if last else 0

    def action_fold(self, folded: bool) -> None:
        """Fold or unfold; where that changes nothing, go to the parent or to the next row."""
        if not self._rows:
            return
        row = self._rows[self.cursor]
        if row.fold == ("open" if folded else "closed"):
            self.post_message(self.Folding(row.key, folded))
        elif folded and row.parent is not None:
            self.move_to(row.parent)
        elif not folded and row.fold == "open":
            self.action_move(1)

    def action_toggle_fold(self) -> None:
        """Fold what is open, unfold what is folded."""
        if self._rows and (fold := self._rows[self.cursor].fold):
            self.post_message(self.Folding(self._rows[self.cursor].key, fold == "open"))

    def action_choose(self) -> None:
        """Choose the row under the cursor."""
        if self.key is not None:
            self.post_message(self.Chosen(self.key))
