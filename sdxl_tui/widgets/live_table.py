"""A table of things that change all the time: each look at them repaints only the cells whose text or style differs.

The columns say how an item's cell looks at a given width, and from which width of the table on they are shown. Items are
told apart by their keys: the cursor stays on its item wherever that moves to. What an item is, the table does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Generic, Literal, TypeVar

from textual.binding import Binding, BindingType
from textual.events import Click, Resize
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.style import Style

from sdxl_tui.widgets.key_names import named
from sdxl_tui.widgets.painted import Piece, fitted, painted_strip

Item = TypeVar("Item")
Cell = tuple[Piece, ...]

HEADER_ROWS: Final = 1


FLEXIBLE: Final = 0
HIDDEN: Final = -1


@dataclass(frozen=True)
class Column(Generic[Item]):
    """``draw(item, width)`` gives the cell; longer text is cut. ``width(table width)`` is the column's, or one of:

    ``FLEXIBLE``, the column shares what the others leave; ``HIDDEN``, there is no room for it in such a table.
    """

    title: str
    width: Callable[[int], int]
    draw: Callable[[Item, int], Cell]
    align: Literal["left", "right"] = "left"
    widest: int = 1_000
    """Most cells a flexible column takes."""


class LiveTable(ScrollView, Generic[Item], can_focus=True, inherit_bindings=False):
    """``key_of(item)`` tells items apart. ``cursor`` is the row under the cursor."""

    DEFAULT_CSS = """
    LiveTable {
        height: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1; padding: 0 1;
        & > .live-table--header { color: $text-muted; }
        & > .live-table--cursor { background: $block-cursor-blurred-background; }
        &:focus > .live-table--cursor { background: $block-cursor-background; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"live-table--header", "live-table--cursor"}
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = named(
        "table",
        [
            Binding("down,j", "move(1)", "Down", show=False),
            Binding("up,k", "move(-1)", "Up", show=False),
            Binding("pagedown,ctrl+f", "page(1)", "Page down", show=False),
            Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False),
            Binding("home,g", "edge(0)", "First", show=False),
            Binding("end,G", "edge(1)", "Last", show=False),
        ],
    )

    cursor: reactive[int] = reactive(0, repaint=False)

    @dataclass
    class Highlighted(Message):
        """The cursor stands on another item, or on none."""

        key: str | None

    @dataclass
    class Chosen(Message):
        """A second click on a row."""

        key: str

    def __init__(
        self,
        columns: Sequence[Column[Item]],
        key_of: Callable[[Item], str],
        *,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self._columns = tuple(columns)
        self._key_of = key_of
        self._gap = 2
        self._items: tuple[Item, ...] = ()
        self._cells: dict[str, tuple[Cell, ...]] = {}
        self._strips: dict[str, Strip] = {}
        self._strips_style: Style | None = None
        self._layout_of_columns: tuple[tuple[Column[Item], int, int], ...] = ()
        self._told: str | None = None
        self._marked = ("", "")

    @property
    def items(self) -> tuple[Item, ...]:
        """What is shown, from the top."""
        return self._items

    @property
    def item(self) -> Item | None:
        """The item under the cursor."""
        return self._items[self.cursor] if 0 <= self.cursor < len(self._items) else None

    @property
    def items_in_sight(self) -> tuple[Item, ...]:
        """Those whose rows are on the screen."""
        top = self.scroll_offset.y
        return self._items[top : top + max(0, self.size.height - HEADER_ROWS)]

    @property
    def key(self) -> str | None:
        """The key of the item under the cursor."""
        return None if (item := self.item) is None else self._key_of(item)

    def show(self, items: Sequence[Item]) -> None:
        """Show these items; only what differs is painted again. The cursor stays on its item, or near where it was."""
        before, keys_before = self.key, [self._key_of(item) for item in self._items]
        keys = [self._key_of(item) for item in items]
        self._items = tuple(items)
        if before in keys:
            self.set_reactive(LiveTable.cursor, keys.index(before))
        else:
            self.set_reactive(LiveTable.cursor, max(0, min(self.cursor, len(keys) - 1)))
        if keys == keys_before:
            self._repaint_changed()
        else:
            self._cells, self._strips = {}, {}
            self._fit()
            self._scroll_to_cursor()
            self.refresh()
        self._tell()

    def move_to(self, key: str) -> bool:
        """Put the cursor on an item; False if it is not shown."""
        for at, item in enumerate(self._items):
            if self._key_of(item) == key:
                self.cursor = at
                return True
        return False

    def mark_column(self, title: str, mark: str) -> None:
        """Write ``mark`` behind a column's title, and behind no other; an empty title: behind none."""
        self._marked = (title, mark)
        self.refresh_line(0)

    # Cells

    def _repaint_changed(self) -> None:
        for at, item in enumerate(self._items):
            key = self._key_of(item)
            old = self._cells.get(key)
            if old is None:
                continue  # not painted since the last layout: drawn when it comes into sight
            new = self._drawn(item)
            if new == old:
                continue
            self._cells[key] = new
            self._strips.pop(key, None)
            y = at + HEADER_ROWS - self.scroll_offset.y
            if not HEADER_ROWS <= y < self.size.height:
                continue
            for (_, left, width), before, after in zip(self._layout_of_columns, old, new, strict=True):
                if before != after:
                    self.refresh(Region(left, y, width, 1))

    def _drawn(self, item: Item) -> tuple[Cell, ...]:
        return tuple(column.draw(item, width) for column, _, width in self._layout_of_columns)

    def _fit(self) -> None:
        """Choose the columns for this width, and place them."""
        room = self.size.width
        self._gap = 1 if room < 100 else 2
        shown = [(column, width) for column in self._columns if (width := column.width(room)) != HIDDEN]
        spare = room - sum(width for _, width in shown) - self._gap * (len(shown) - 1)
        flexible = sum(width == FLEXIBLE for _, width in shown)
        left, layout = 0, []
        for column, fixed in shown:
            width = fixed
            if fixed == FLEXIBLE:
                width = min(max(1, spare // flexible), column.widest)
                spare, flexible = spare - width, flexible - 1
            layout.append((column, left, width))
            left += width + self._gap
        if tuple(layout) != self._layout_of_columns or room != self.virtual_size.width:
            self._layout_of_columns = tuple(layout)
            self._cells, self._strips = {}, {}
        self.virtual_size = Size(room, len(self._items) + HEADER_ROWS)

    # Painting

    def render_line(self, y: int) -> Strip:
        if y < HEADER_ROWS:
            return self._header()
        at = y - HEADER_ROWS + self.scroll_offset.y
        if not 0 <= at < len(self._items):
            return Strip.blank(self.size.width, self.rich_style)
        item = self._items[at]
        key = self._key_of(item)
        if at == self.cursor:
            style = self.get_visual_style("live-table--cursor")
            return self._painted(self._cells_of(key, item), style)
        if key not in self._strips:
            self._strips[key] = self._painted(self._cells_of(key, item), self.visual_style)
        return self._strips[key]

    def _cells_of(self, key: str, item: Item) -> tuple[Cell, ...]:
        if key not in self._cells:
            self._cells[key] = self._drawn(item)
        return self._cells[key]

    def _header(self) -> Strip:
        style = self.get_visual_style("live-table--header")
        titled, mark = self._marked
        titles = (column.title + (mark if column.title == titled else "") for column, _, _ in self._layout_of_columns)
        return self._painted(tuple(((title, ""),) for title in titles), style)

    def _painted(self, cells: tuple[Cell, ...], style: Style) -> Strip:
        row: list[Piece] = []
        for (column, _, width), cell in zip(self._layout_of_columns, cells, strict=True):
            if row:
                row.append((" " * self._gap, ""))
            row += fitted(cell, width, right=column.align == "right")
        return painted_strip(self, row, self.size.width, style)

    def notify_style_update(self) -> None:
        """Colours may have changed: painted rows are void if they did."""
        super().notify_style_update()
        if self.visual_style != self._strips_style:
            self._strips, self._strips_style = {}, self.visual_style

    def on_resize(self, event: Resize) -> None:
        """Choose the columns anew."""
        self._fit()
        self._scroll_to_cursor()
        self.refresh()

    # The cursor

    def watch_cursor(self, old: int, new: int) -> None:
        """Repaint the two rows, keep the cursor in sight, tell about it."""
        for at in (old, new):
            self.refresh_line(at + HEADER_ROWS)
        self._scroll_to_cursor()
        self._tell()

    def validate_cursor(self, at: int) -> int:
        """Stay within the rows."""
        return max(0, min(at, len(self._items) - 1))

    def _scroll_to_cursor(self) -> None:
        room = self.size.height - HEADER_ROWS
        top = self.scroll_offset.y
        if room > 0 and not top <= self.cursor < top + room:
            self.scroll_to(y=self.cursor if self.cursor < top else self.cursor - room + 1, animate=False, force=True)

    def _tell(self) -> None:
        if self.key != self._told:
            self._told = self.key
            self.post_message(self.Highlighted(self.key))

    def on_click(self, event: Click) -> None:
        """One click puts the cursor there, a second one chooses."""
        at = event.y - HEADER_ROWS + self.scroll_offset.y
        if event.y < HEADER_ROWS or not 0 <= at < len(self._items):
            return
        self.cursor = at
        if event.chain == 2 and self.key is not None:
            self.post_message(self.Chosen(self.key))

    def action_move(self, by: int) -> None:
        """Move the cursor by rows."""
        self.cursor += by

    def action_page(self, by: int) -> None:
        """Move the cursor by pages."""
        self.cursor += by * max(1, self.size.height - HEADER_ROWS - 1)

    def action_edge(self, last: int) -> None:
        """Go to the first or last row."""
        self.cursor = len(self._items) - 1 if last else 0
