"""One of a few words, chosen with the arrow keys: all of them in a row while there is room, else the chosen one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Click
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget


class Choice(Widget, can_focus=True):
    """Left and right (or space) go through the options; digits and letters are left to the screen."""

    DEFAULT_CSS = """
    Choice {
        height: 1;
        width: 1fr;
        & > .choice--chosen { background: $foreground 14%; text-style: bold; }
        & > .choice--other { color: $foreground 50%; }
        &:focus > .choice--chosen { background: $primary; color: $background; text-style: bold; }
        &.-error > .choice--chosen { background: $error; color: $background; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"choice--chosen", "choice--other"}
    ALLOW_SELECT = False

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,space", "turn(1)", "Next", show=False),
        Binding("left", "turn(-1)", "Previous", show=False),
    ]

    value: reactive[str] = reactive("")

    @dataclass
    class Changed(Message):
        """Another option was chosen."""

        choice: Choice
        value: str

        @property
        def control(self) -> Choice:
            """The choice, for ``on(Choice.Changed, selector)``."""
            return self.choice

    def __init__(
        self,
        options: tuple[str, ...],
        value: str,
        *,
        disabled: bool = False,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id, disabled=disabled)
        self.options = options
        self.set_reactive(Choice.value, value)

    def get_content_width(self, container: Size, viewport: Size) -> int:
        """Room for all the options."""
        return sum(len(word) + 2 for word in self.options)

    def render(self) -> Content:
        chosen, other = self.get_visual_style("choice--chosen"), self.get_visual_style("choice--other")
        words = self.options if self.value in self.options else (self.value, *self.options)
        if sum(len(word) + 2 for word in words) > self.content_size.width:
            return Content.assemble((f" {self.value} ", chosen), (" ◂ ▸", other))
        return Content.assemble(*((f" {word} ", chosen if word == self.value else other) for word in words))

    def watch_value(self, before: str, value: str) -> None:
        """Tell about the change."""
        if before != value:
            self.post_message(self.Changed(self, value))

    def set_quietly(self, value: str) -> None:
        """Show ``value`` without telling anybody."""
        self.set_reactive(Choice.value, value)
        self.refresh()

    def action_turn(self, by: int) -> None:
        """Go to the next or previous option, round the end."""
        if self.options:
            at = self.options.index(self.value) if self.value in self.options else -1 if by > 0 else 0
            self.value = self.options[(at + by) % len(self.options)]

    def on_click(self, event: Click) -> None:
        """Choose the word under the pointer."""
        at = 0
        for word in self.options:
            if at <= event.x < at + len(word) + 2:
                self.value = word
                return
            at += len(word) + 2
