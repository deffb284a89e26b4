"""By what the checkpoints are sorted: one key each; the one that is chosen already turns the order round."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from sdxl_tui.fleet.checkpoint_order import Order, Sorting
from sdxl_tui.screens.dialog import Dialog

KEYS: Final = {
    Order.FAMILY: ("f", "each run below the one it came from"),
    Order.STEP: ("s", ""),
    Order.LOSS: ("l", "average of the last 100 steps"),
    Order.HELD_OUT: ("h", "validation; without it last"),
    Order.LR: ("r", "what the last step used"),
    Order.RUN: ("n", "by the run's name"),
    Order.DATE: ("d", "when it was saved"),
    Order.PINNED: ("p", "pinned ones before all others"),
}


class SortDialog(Dialog[Sorting | None]):
    """Dismissed with the new order, with None if it stays."""

    DEFAULT_CSS = """
    SortDialog {
        align: center middle;
        & > Vertical {
            width: 64; max-width: 96%; height: auto;
            border: round $primary; border-title-color: $foreground; border-title-style: bold;
            border-subtitle-color: $foreground 60%; background: $surface; padding: 1 2;
        }
        OptionList, OptionList:focus { height: auto; border: none; padding: 0; background: $surface; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back"),
        *(Binding(key, f"choose('{order.name}')", str(order), show=False) for order, (key, _) in KEYS.items()),
    ]

    def __init__(self, now: Sorting) -> None:
        super().__init__()
        self._now = now

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "Sort the checkpoints"
            box.border_subtitle = "the same key again turns it round · esc back"
            yield OptionList(*(Option(self._line(order), id=order.name) for order in KEYS))

    def on_mount(self) -> None:
        """Stand on the order that holds."""
        self.query_one(OptionList).highlighted = list(KEYS).index(self._now.order)

    def _line(self, order: Order) -> Content:
        key, remark = KEYS[order]
        if order is self._now.order and self._now.is_flat:
            remark = self._now.words
        here = "bold" if order is self._now.order else ""
        return Content.assemble((f"{key}  ", "bold $primary"), (f"{order:<15}", here), (remark, "$foreground 60%"))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter or a click."""
        event.stop()
        self.action_choose(event.option.id or Order.FAMILY.name)

    def action_choose(self, name: str) -> None:
        """By its key."""
        self.dismiss(self._now.chosen(Order[name]))
