"""A line of a form: a label, a control, and beside it a note that also carries the error."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static


class LabelledField(Horizontal):
    """``label  [control]  note``. The control keeps the focus and the messages."""

    DEFAULT_CSS = """
    LabelledField {
        height: auto;
        width: 1fr;
        & > .field-label { width: 12; height: 1; color: $foreground 70%; }
        & > .field-note { width: 1fr; height: auto; max-height: 2; padding: 0 0 0 2; color: $foreground 50%; }
        & > Input { width: 16; height: 1; border: none; padding: 0 1; background: $foreground 8%; }
        & > Input:focus { background: $primary 25%; }
        & > Choice { width: auto; min-width: 16; max-width: 40; }
        &:focus-within > .field-label { color: $foreground; text-style: bold; }
        &.-error > .field-note { color: $error; }
        &.-error > Input { background: $error 20%; }
    }
    """

    def __init__(self, label: str, control: Widget, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.label = label
        self.control = control
        self._said: tuple[str, bool] = ("", False)
        # Held, not queried: what is said of a value may come before the line is composed.
        self._label = Static(Content(label), classes="field-label")
        self._note = Static(Content(""), classes="field-note")

    def compose(self) -> ComposeResult:
        yield self._label
        yield self.control
        yield self._note

    def mark(self, mark: str, style: str = "", *tails: tuple[str, str]) -> None:
        """Set a sign before the label and some behind it, each with its style; none with an empty one."""
        before = (f"{mark} ", f"bold {style}") if mark else ""
        behind = [(f" {tail}", tail_style) for tail, tail_style in tails if tail]
        self._label.update(Content.assemble(before, self.label, *behind), layout=False)

    def note(self, text: str | Content) -> None:
        """Say something about the value."""
        self._say(text, error=False)

    def error(self, text: str | Content) -> None:
        """Say what is wrong with the value."""
        self._say(text, error=True)

    def _say(self, text: str | Content, *, error: bool) -> None:
        plain = text.plain if isinstance(text, Content) else text
        if self._said == (plain, error):
            return
        self._said = (plain, error)
        self.set_class(error, "-error")
        self.control.set_class(error, "-error")
        self._note.update(text if isinstance(text, Content) else Content(text))
