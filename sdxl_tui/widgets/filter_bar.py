"""A line to filter a list by words; the list above it shows what matches while one types."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from sdxl_tui.widgets.slash_line import SlashLine


class FilterBar(SlashLine):
    """Stays while there is text. Enter goes back to the list, Escape clears the text."""

    DEFAULT_CSS = "FilterBar #matches { width: auto; color: $foreground 60%; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "clear", "Clear the filter")]

    @dataclass
    class Changed(Message):
        """The words to look for, lower case; none: show everything."""

        words: tuple[str, ...]

    class Left(Message):
        """Back to the list."""

    def __init__(self) -> None:
        super().__init__()
        self._said = ""

    @property
    def words(self) -> tuple[str, ...]:
        """What is looked for."""
        return tuple(self._input.value.lower().split())

    def compose(self) -> ComposeResult:
        yield from super().compose()
        yield Static(id="matches")

    def count(self, shown: int, total: int, problem: str = "") -> None:
        """Say how many match, or what of the words is not understood."""
        said = problem or (f"{shown} of {total}" if self.words else "")
        if said != self._said:
            self._said = said
            self.query_one("#matches", Static).update(Content.styled(said, "$warning" if problem else ""))

    def action_clear(self) -> None:
        """No filter."""
        self._input.value = ""
        self.remove_class("-open")
        self.post_message(self.Left())

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed(self.words))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.set_class(bool(self.words), "-open")
        self.post_message(self.Left())


def matches(words: Iterable[str], *texts: str) -> bool:
    """Whether each word stands in one of the texts, whatever the case."""
    joined = "\n".join(texts).lower()
    return all(word in joined for word in words)
