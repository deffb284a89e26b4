"""A line in which one types what is looked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from sdxl_tui.widgets.slash_line import SlashLine


class SearchBar(SlashLine):
    """Over the keys at the bottom. Enter looks for the text, Escape goes back without.

    Its screen needs a layer ``search``: pushing the rest of the page up would draw all of it anew.
    """

    DEFAULT_CSS = "SearchBar { layer: search; dock: bottom; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "close", "Back")]

    @dataclass
    class Wanted(Message):
        """The text to look for."""

        text: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__("text to look for in the whole log", id=id)
        self._back_to: Widget | None = None

    def open(self) -> None:
        """The last text is marked: typing replaces it."""
        self._back_to = self.screen.focused
        super().open()
        self._input.action_select_all()

    def action_close(self) -> None:
        """Back to where one was."""
        self.remove_class("-open")
        self.screen.set_focus(self._back_to)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_close()
        self.post_message(self.Wanted(event.value))

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
