"""The profile of a run, to be read: first what differs from where the run comes from, then all of it."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from engine.profile.syntax import MAX_BYTES
from sdxl_tui.fleet.run_profile import RunProfile
from sdxl_tui.screens.dialog import Dialog
from sdxl_tui.screens.diff_dialog import MUTED, DiffTable
from sdxl_tui.terminal.clean import clean
from sdxl_tui.widgets.key_bar import KeyBar
from sdxl_tui.widgets.place_bar import short_path
from sdxl_tui.widgets.toml_editor import TomlEditor


class RunProfileDialog(Dialog[None]):
    """``run_id`` trains what ``found`` says."""

    DEFAULT_CSS = """
    RunProfileDialog {
        align: center middle;
        & > #box {
            width: 96%; max-width: 120; height: 96%;
            border: round $primary; border-title-style: bold; border-title-color: $foreground;
            background: $surface; padding: 1 2 0 2;
        }
        VerticalScroll { height: 1fr; margin-bottom: 1; }
        .said { height: auto; text-style: bold; }
        DiffTable { margin-bottom: 1; }
        TomlEditor { height: auto; }
        KeyBar { background: $surface; padding: 0; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,p", "dismiss", "Back"),
        Binding("y", "copy_path", "Copy path"),
        Binding("j", "scroll(1)", show=False),
        Binding("k", "scroll(-1)", show=False),
    ]

    def __init__(self, run_id: str, found: RunProfile) -> None:
        super().__init__()
        self._run_id = run_id
        self._found = found

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content(f" What {clean(self._run_id)} trains ")
            with VerticalScroll(can_focus=True):
                for against in self._found.compared:
                    yield Static(Content(clean(against.words, limit=300)), classes="said")
                    if against.diff is not None:
                        yield DiffTable(against.diff)
                yield Static(Content.styled(clean(short_path(self._found.path)), MUTED), classes="path")
                text = TomlEditor(
                    clean(self._found.text, lines=True, limit=MAX_BYTES), read_only=True, highlight_cursor_line=False
                )
                text.can_focus = False
                yield text
            yield KeyBar()

    def action_scroll(self, lines: int) -> None:
        """As j and k do."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)

    def action_copy_path(self) -> None:
        """Of the file, into the terminal's clipboard (OSC 52)."""
        path = str(self._found.path)
        self.app.copy_to_clipboard(path)
        self.notify(clean(path), title="Copied", markup=False, timeout=3)
