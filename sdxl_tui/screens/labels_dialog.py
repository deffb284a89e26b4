"""What one says of a run: its tags and a note."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from engine.errors import UserError
from sdxl_tui.fleet.labels import NOTE_CHARACTERS, set_labels
from sdxl_tui.fleet.runs import RunSummary
from sdxl_tui.screens.dialog import Dialog
from sdxl_tui.terminal.clean import clean
from sdxl_tui.widgets.key_bar import KeyBar
from sdxl_tui.widgets.labelled_field import LabelledField


class LabelsDialog(Dialog[bool]):
    """Dismissed with whether anything was written."""

    DEFAULT_CSS = """
    LabelsDialog {
        align: center middle;
        & > #box {
            width: 76; max-width: 96%; height: auto; border: round $primary;
            border-title-style: bold; border-title-color: $foreground; background: $surface; padding: 1 2 0 2;
        }
        #tags, #note { width: 1fr; }
        #failure { height: auto; min-height: 1; color: $error; }
        KeyBar { background: $surface; padding: 0; margin-top: 1; }
    }
    """
    AUTO_FOCUS: ClassVar[str | None] = "#tags"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "save", "Save", priority=True),
        Binding("escape", "dismiss(False)", "Back"),
        Binding("down", "app.focus_next", "Next", show=False),
        Binding("up", "app.focus_previous", "Previous", show=False),
    ]

    def __init__(self, run: RunSummary) -> None:
        super().__init__()
        self._run = run

    def compose(self) -> ComposeResult:
        labels = self._run.labels
        with Vertical(id="box") as box:
            box.border_title = Content(f" {self._run.id} ")
            tags = Input(" ".join(labels.tags), placeholder="good v2 for-anna", id="tags", compact=True)
            note = Input(labels.note, placeholder="", id="note", compact=True, max_length=NOTE_CHARACTERS)
            yield LabelledField("Tags", tags)
            yield LabelledField("Note", note)
            yield Static(id="failure")
            yield KeyBar()

    @on(Input.Changed)
    def _typed(self) -> None:
        self.query_one("#failure", Static).update("")

    def action_save(self) -> None:
        """Write them; what cannot be written is said, and nothing typed is lost."""
        tags = self.query_one("#tags", Input).value.replace(",", " ").split()
        try:
            set_labels(self._run.directory, tags=tags, note=self.query_one("#note", Input).value)
        except UserError as error:
            self.query_one("#failure", Static).update(Content(clean(str(error), lines=True)))
        else:
            self.dismiss(True)
