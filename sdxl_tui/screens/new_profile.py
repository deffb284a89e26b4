"""A new profile: a name, and the shipped profile it starts from with all its comments."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from engine.errors import UserError
from engine.profile.document import ProfileDocument
from engine.profile.shipped import head_of, shipped_profiles
from sdxl_tui.screens.dialog import Dialog
from sdxl_tui.terminal.clean import clean
from sdxl_tui.widgets.choice import Choice
from sdxl_tui.widgets.key_bar import KeyBar
from sdxl_tui.widgets.labelled_field import LabelledField


class NewProfile(Dialog[Path | None]):
    """Dismissed with the file it made, or with None."""

    DEFAULT_CSS = """
    NewProfile {
        align: center middle;
        & > #box {
            width: 68; max-width: 96%; height: auto; border: round $primary;
            border-title-style: bold; border-title-color: $foreground; background: $surface; padding: 1 2 0 2;
        }
        #name { width: 1fr; }
        #about { height: 4; margin-top: 1; color: $foreground 60%; }
        #failure { height: auto; min-height: 1; color: $error; }
        KeyBar { background: $surface; padding: 0; margin-top: 1; }
    }
    """
    AUTO_FOCUS: ClassVar[str | None] = "#name"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "create", "Create and edit"),
        Binding("escape", "dismiss(None)", "Back"),
        Binding("down", "app.focus_next", "Next", show=False),
        Binding("up", "app.focus_previous", "Previous", show=False),
    ]

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.templates = {path.stem: path for path in shipped_profiles()}

    def compose(self) -> ComposeResult:
        names = tuple(self.templates)
        first = "character" if "character" in names else next(iter(names), "")
        with Vertical(id="box") as box:
            box.border_title = Content(" New profile ")
            box.border_subtitle = "enter makes it · esc back"
            yield LabelledField("Name", Input(placeholder="my-character", id="name", compact=True))
            yield LabelledField("Start from", Choice(names, first, id="template"))
            yield Static(self._about(first), id="about")
            yield Static(id="failure")
            yield KeyBar()

    def _about(self, name: str) -> Content:
        """For whom a template is: the words at its head."""
        path = self.templates.get(name)
        return Content(clean(head_of(path), limit=400) if path is not None else "")

    @on(Choice.Changed)
    def _chosen(self, event: Choice.Changed) -> None:
        self.query_one("#about", Static).update(self._about(event.value))

    @on(Input.Changed)
    def _typed(self) -> None:
        self.query_one("#failure", Static).update("")

    @on(Input.Submitted)
    def action_create(self) -> None:
        """Write the file, named as the run will be."""
        name = self.query_one("#name", Input).value.strip().removesuffix(".toml")
        template = self.templates.get(self.query_one("#template", Choice).value)
        try:
            path = self._created(name, template)
        except UserError as error:
            self.query_one("#failure", Static).update(Content(clean(error.what, lines=True)))
        else:
            self.dismiss(path)

    def _created(self, name: str, template: Path | None) -> Path:
        if not name or "/" in name or name.startswith("."):
            raise UserError("type a name: letters, digits, dots, dashes, underscores")
        path = self.folder / f"{name}.toml"
        if path.exists():
            raise UserError(f"{path.name} is there already")
        document = ProfileDocument.new(path, ProfileDocument.open(template).text if template else "")
        document.set("name", name)
        document.save()
        return path
