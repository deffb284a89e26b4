"""Another name for a profile; says what hangs on the old one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from engine.errors import UserError
from sdxl_tui.fleet.profile_rename import Surroundings, look_around, rename
from sdxl_tui.screens.dialog import Dialog
from sdxl_tui.terminal.clean import clean
from sdxl_tui.widgets.key_bar import KeyBar
from sdxl_tui.widgets.labelled_field import LabelledField

if TYPE_CHECKING:
    from sdxl_tui.workspace import Workspace

MUTED: Final = "$foreground 60%"


class RenameProfile(Dialog[Path | None]):
    """Dismissed with the new path, or with None."""

    DEFAULT_CSS = """
    RenameProfile {
        align: center middle;
        & > #box {
            width: 72; max-width: 96%; height: auto; border: round $primary;
            border-title-style: bold; border-title-color: $foreground; background: $surface; padding: 1 2 0 2;
        }
        #name { width: 1fr; }
        #around { height: auto; margin-top: 1; }
        #failure { height: auto; min-height: 1; color: $error; }
        KeyBar { background: $surface; padding: 0; margin-top: 1; }
    }
    """
    AUTO_FOCUS: ClassVar[str | None] = "#name"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "rename", "Rename"),
        Binding("escape", "dismiss(None)", "Back"),
    ]

    def __init__(self, path: Path, workspace: Workspace) -> None:
        super().__init__()
        self.path, self.workspace = path, workspace

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content(f" Rename {clean(self.path.name)} ")
            box.border_subtitle = "enter renames · esc back"
            yield LabelledField("Name", Input(clean(self.path.stem), id="name", compact=True))
            yield Static(id="around")
            yield Static(id="failure")
            yield KeyBar()

    def on_mount(self) -> None:
        """See what hangs on the name."""
        self._look()

    @work(thread=True, group="look")
    def _look(self) -> None:
        self.app.call_from_thread(self._show, look_around(self.path, self.workspace))

    def _show(self, around: Surroundings) -> None:
        lines = []
        if around.heirs:
            names = ", ".join(clean(heir.stem) for heir in around.heirs)
            lines.append(Content(f"Extended by {names}: the extends line there is written anew."))
        if around.runs:
            runs = f"{around.runs} run{'' if around.runs == 1 else 's'} launched from it"
            lines.append(
                Content.styled(f"{runs}: a resume goes on with the run's own copy; --profile names this.", MUTED)
            )
        if around.has_drafts:
            lines.append(Content.styled("There are unsaved changes to it: open it first.", "$warning"))
        self.query_one("#around", Static).update(Content("\n").join(lines))

    @on(Input.Changed)
    def _typed(self) -> None:
        self.query_one("#failure", Static).update("")

    @on(Input.Submitted)
    def action_rename(self) -> None:
        """Do it."""
        self._rename(self.query_one("#name", Input).value)

    @work(thread=True, exclusive=True, group="rename")
    def _rename(self, name: str) -> None:
        try:
            made = rename(self.path, name, self.workspace)
        except UserError as error:
            self.app.call_from_thread(self._fail, f"{error.what}{f'. {error.hint}' if error.hint else ''}")
        else:
            self.app.call_from_thread(self.dismiss, made)

    def _fail(self, reason: str) -> None:
        self.query_one("#failure", Static).update(Content(clean(reason, lines=True)))
