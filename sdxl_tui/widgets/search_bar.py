"""A line in which one types what is looked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Static


class SearchBar(Horizontal):
    """Hidden until ``open``, then over the keys at the bottom. Enter looks for the text, Escape goes back without.

    Its screen needs a layer ``search``: pushing the rest of the page up would draw all of it anew.
    """

    DEFAULT_CSS = """
    SearchBar {
        display: none; layer: search; dock: bottom; height: 1; padding: 0 1; background: $surface;
        &.-open { display: block; }
        #sign { width: 2; color: $primary; text-style: bold; }
        Input { width: 1fr; height: 1; border: none; padding: 0; background: $surface; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "close", "Back")]

    @dataclass
    class Wanted(Message):
        """The text to look for."""

        text: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._input = Input(compact=True, placeholder="text to look for in the whole log")
        self._back_to: Widget | None = None

    def compose(self) -> ComposeResult:
        yield Static(Content("/"), id="sign")
        yield self._input

    def open(self) -> None:
        """Show it and type, the last text marked: typing replaces it."""
        self._back_to = self.screen.focused
        self.add_class("-open")
        self.screen.set_focus(self._input)
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
