"""A dialog to pick one of many by typing a part of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input

from sdxl_tui.screens.dialog import Dialog
from sdxl_tui.widgets.key_bar import KeyBar
from sdxl_tui.widgets.row_list import Row, RowList

Picked = TypeVar("Picked")


class PickDialog(Dialog[Picked | None]):
    """A line to type in, and below it what fits; dismissed with the one under the cursor, or with None.

    A subclass says what fits (``rows_for``) and what a row's key stands for (``picked``).
    """

    DEFAULT_CSS = """
    PickDialog {
        align: center middle;
        & > #box {
            width: 76; max-width: 96%; height: 19; max-height: 90%; border: round $primary;
            border-title-style: bold; border-title-color: $foreground; background: $surface; padding: 0 1;
        }
        Input { height: 1; border: none; padding: 0 1; background: $foreground 8%; }
        KeyBar { background: $surface; padding: 0; }
    }
    """
    AUTO_FOCUS: ClassVar[str | None] = "Input"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back"),
        Binding("down", "move(1)", "Down", show=False),
        Binding("up", "move(-1)", "Up", show=False),
    ]
    title_above: ClassVar[str] = ""
    title_below: ClassVar[str] = ""
    placeholder: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__()
        self._input = Input(placeholder=self.placeholder, compact=True, select_on_focus=False)
        self._list = RowList()
        self._list.can_focus = False

    def rows_for(self, text: str) -> Sequence[Row]:
        """The rows that fit what was typed, the best first."""
        raise NotImplementedError

    def picked(self, key: str) -> Picked:
        """What the row with this key stands for."""
        raise NotImplementedError

    def compose_below(self) -> Iterable[Widget]:
        """What stands below the list."""
        return ()

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content(self.title_above)
            box.border_subtitle = Content(self.title_below)
            yield self._input
            yield self._list
            yield from self.compose_below()
            yield KeyBar()

    def on_mount(self) -> None:
        """All of them at first."""
        self._show("")

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._show(event.value)

    def _show(self, text: str) -> None:
        self._list.show_rows(list(self.rows_for(text)))
        self._list.action_edge(0)

    @on(Input.Submitted)
    @on(RowList.Chosen)
    def action_choose(self) -> None:
        """The one under the cursor."""
        if self._list.key is not None:
            self.dismiss(self.picked(self._list.key))

    def action_move(self, by: int) -> None:
        """To the next or previous one."""
        self._list.action_move(by)
