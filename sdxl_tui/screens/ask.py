"""A question with a few answers, each with its own key: for what destroys something or cannot be guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Key
from textual.widgets import Button, Static

from sdxl_tui.screens.dialog import Dialog


@dataclass(frozen=True)
class Answer:
    """One way to answer: the key that gives it, its words, and whether it destroys something."""

    value: str
    key: str
    words: str
    destroys: bool = False


UNBIDDEN_SECONDS: Final = 1.2
"""For which a question that no key has asked for takes none for its answer: what is typed then was meant for what stood there."""


class Ask(Dialog[str | None]):
    """Dismissed with the value of the answer; Escape dismisses with None."""

    DEFAULT_CSS = """
    Ask {
        align: center middle;
        & > Vertical {
            width: 68; max-width: 96%; height: auto; max-height: 90%;
            border: round $primary; border-title-color: $foreground; border-title-style: bold;
            background: $surface; padding: 1 2;
        }
        &.-destroys > Vertical { border: round $error; }
        #text { height: auto; margin-bottom: 1; }
        Horizontal { height: 1; width: 100%; align-horizontal: right; }
        Button { margin-left: 2; min-width: 8; height: 1; }
        &.-deaf Horizontal { opacity: 50%; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back"),
        Binding("left", "app.focus_previous", "Previous", show=False),
        Binding("right", "app.focus_next", "Next", show=False),
    ]

    def __init__(
        self, title: str, text: str | Content, answers: Sequence[Answer], *, back: str = "Back", unbidden: bool = False
    ) -> None:
        """unbidden: it comes up by itself, perhaps while somebody types."""
        super().__init__()
        self._deaf = unbidden
        self.back = back
        self.question = title
        self.text = text if isinstance(text, Content) else Content(text)
        self.answers = tuple(answers)
        self.set_class(any(answer.destroys for answer in answers), "-destroys")

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = Content(self.question)
            yield Static(self.text, id="text")
            with Horizontal():
                yield Button(Content.assemble(("esc", "bold"), f" {self.back}"), id="back", compact=True)
                for answer in self.answers:
                    yield Button(
                        Content.assemble((answer.key, "bold"), f" {answer.words}"),
                        id=f"answer-{answer.value}",
                        variant="error" if answer.destroys else "primary",
                        compact=True,
                    )

    def on_mount(self) -> None:
        """Stand on what destroys nothing."""
        safe = next((answer for answer in self.answers if not answer.destroys), None)
        self.query_one("#back" if safe is None else f"#answer-{safe.value}", Button).focus()
        if self._deaf:
            self.add_class("-deaf")
            self.set_timer(UNBIDDEN_SECONDS, self._listen)

    def _listen(self) -> None:
        self._deaf = False
        self.remove_class("-deaf")

    def on_key(self, event: Key) -> None:
        """An answer's own key gives it."""
        if self._deaf and event.key != "escape":
            event.stop()
            return
        for answer in self.answers:
            if answer.key in {event.key, event.character}:
                event.stop()
                self.dismiss(answer.value)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """The focused answer."""
        event.stop()
        chosen = (event.button.id or "").removeprefix("answer-")
        self.dismiss(None if chosen == "back" else chosen)
