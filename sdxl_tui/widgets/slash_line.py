"""The line that ``/`` opens: a slash, and what is typed behind it."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Input, Static


class SlashLine(Horizontal):
    """Hidden until ``open``."""

    DEFAULT_CSS = """
    SlashLine {
        display: none; height: 1; padding: 0 1; background: $surface;
        &.-open { display: block; }
        #slash { width: 2; color: $primary; text-style: bold; }
        Input { width: 1fr; height: 1; border: none; padding: 0; background: $surface; }
    }
    """

    def __init__(self, placeholder: str = "", *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._input = Input(compact=True, placeholder=placeholder)

    def compose(self) -> ComposeResult:
        yield Static(Content("/"), id="slash")
        yield self._input

    def open(self) -> None:
        """Show it and type: at once, so that what is typed in the same breath arrives here and not at the keys of the page."""
        self.add_class("-open")
        self.screen.set_focus(self._input)
