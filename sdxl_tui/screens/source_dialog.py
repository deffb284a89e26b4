"""All that a profile may say of one folder of images, as a form: captions, trigger, masks, regularisation, chances."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.events import DescendantFocus
from textual.widgets import Input, Static

from engine.profile.fields import SOURCES, ProfileField, ProfileSection, table_fields
from sdxl_tui.screens.dialog import Dialog
from sdxl_tui.terminal.clean import clean
from sdxl_tui.widgets.key_bar import KeyBar
from sdxl_tui.widgets.profile_form import SectionForm

BESIDE_THE_PATH = frozenset({f"{SOURCES}.path", f"{SOURCES}.repeats"})
"""What the line in the profile's form has itself."""


class SourceDialog(Dialog[dict[str, Any] | None]):
    """Dismissed with what is set for the folder, by name, without its path and repeats; with None where nothing is to change."""

    DEFAULT_CSS = """
    SourceDialog {
        align: center middle;
        & > #box {
            width: 78; max-width: 100%; height: 22; max-height: 100%; border: round $primary;
            border-title-style: bold; border-title-color: $foreground; border-subtitle-color: $text-muted;
            background: $surface; padding: 0 1;
        }
        #about { height: 3; border-top: solid $foreground 15%; color: $foreground 70%; }
        FieldRow.-optional > Input, FieldRow.-optional > Choice { width: 1fr; max-width: 40; }
        KeyBar { background: $surface; padding: 0; }
    }
    """
    AUTO_FOCUS: ClassVar[str | None] = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "take", "Done"),
        Binding("escape", "dismiss(None)", "Leave as it was"),
    ]

    def __init__(self, path: str, values: Mapping[str, Any], *, folder: Path, wanted: str = "") -> None:
        """values: what is set, by name. folder: where relative paths start. wanted: path of the field to begin at."""
        super().__init__()
        self._path = path
        fields = tuple(field for field in table_fields(SOURCES) if field.path not in BESIDE_THE_PATH)
        self._fields = {field.path: field for field in fields}
        self._values = {name: value for name, value in values.items() if f"{SOURCES}.{name}" not in BESIDE_THE_PATH}
        self._wrong: dict[str, str] = {}
        self._wanted = wanted if wanted in self._fields else fields[0].path
        by_path = {f"{SOURCES}.{name}": value for name, value in self._values.items()}
        self._form = SectionForm(ProfileSection(SOURCES, "", fields), by_path, {}, folder=folder)
        self._about = Static(id="about")

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content(f" {clean(self._path)} ")
            box.border_subtitle = Content("enter takes it · esc leaves it as it was")
            yield self._form
            yield self._about
            yield KeyBar()

    def on_mount(self) -> None:
        """In the field that was asked for."""
        self._form.focus_field(self._wanted)

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """What the field is for."""
        if (field := self._form.field_of(event.widget)) is not None:
            self._about.update(Content.assemble((field.name, "bold"), f"  {field.requirement} · {field.help}"))

    @on(SectionForm.Edited)
    @on(SectionForm.Restored)
    def _edited(self, event: SectionForm.Edited | SectionForm.Restored) -> None:
        self._wrong.pop(event.field.path, None)
        self._keep(event.field, event.value)
        self._form.show_problems(self._wrong)

    def _keep(self, field: ProfileField, value: Any) -> None:
        if value is None:
            self._values.pop(field.name, None)
        else:
            self._values[field.name] = value

    @on(SectionForm.Mistyped)
    def _mistyped(self, event: SectionForm.Mistyped) -> None:
        self._wrong[event.field.path] = event.reason
        self._form.show_problems(self._wrong)

    @on(Input.Submitted)
    def action_take(self) -> None:
        """Done; where something is no value, there first."""
        if self._wrong:
            self._form.focus_field(next(iter(self._wrong)))
        else:
            self.dismiss(self._values)
