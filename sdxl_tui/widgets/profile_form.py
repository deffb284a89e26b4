"""The fields of one section of a profile as a form, made from the schema's own declaration.

Says what was typed (a value, "back to the default", or why it is no value) and shows problems beside their fields. What is
done with an edit is the screen's affair.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Static, TextArea

from engine.profile.fields import STAGES, ProfileField, ProfileSection
from engine.profile.setting import AtResume
from engine.routes.effects import Effect
from sdxl_tui.fleet.source_run import MARKS
from sdxl_tui.terminal.clean import clean
from sdxl_tui.widgets.choice import Choice
from sdxl_tui.widgets.field_help import RESUME_STYLE
from sdxl_tui.widgets.field_text import OFF, ON, default_text, stages_text, text_of, value_of
from sdxl_tui.widgets.labelled_field import LabelledField
from sdxl_tui.widgets.number_steps import stepped
from sdxl_tui.widgets.path_input import PathInput, PathLines
from sdxl_tui.widgets.sources_editor import SourceLine, SourcesEditor

EXPLAINS_FROM: Final = 76
"""Width of a row from which its note says what the field is for."""
UNSAVED: Final = "•"
"""Behind the name of a field whose value is not the file's."""
OWN: Final = "*"
"""Behind the name of a field whose value is another than what it would inherit from the profile that is extended."""
HIDDEN = frozenset({"schema"})
"""Fields that have only one value."""


class FieldRow(LabelledField):
    """One field: its name, its control, its unit or what is wrong with it."""

    def __init__(
        self, field: ProfileField, value: Any, inherited: Any = None, *, folder: Path = Path(), read_only: bool
    ) -> None:
        super().__init__(field.name, _control(field, value, inherited, folder, read_only=read_only))
        self.field = field
        self.first_text = _text_in(self.control)
        self.text = self.first_text
        """What stands in the control now."""
        self.origin = ""
        """The file that the value is inherited from; empty where it is the profile's own or the default."""
        self._explains = False
        self._problem = ""
        self._marked: tuple[AtResume | None, bool, bool] = (None, False, False)
        self.set_class(field.kind in {"strings", "tables"} or (field.kind == "str"), "-broad")
        self.set_class(field.kind == "tables", "-tables")
        self.set_class(field.is_optional, "-optional")
        self.show_problem("")

    def show_problem(self, text: str) -> None:
        """Say what is wrong; with nothing, the unit."""
        self._problem = text
        if text:
            # Beside several inputs there is room for it only on a wide screen; the help below says it in any case.
            self.error("" if self.field.kind == "tables" and not self._explains else clean(text))
        else:
            origin = f"from {clean(self.origin)}" if self.origin else ""
            words = (self.field.unit, origin, self.field.help if self._explains else "")
            if self.field.path == STAGES:  # the stages themselves need the room
                words = (origin, "ctrl+t edits them", "")
            elif self.field.kind == "tables" and not self._explains:
                words = ("", "", "")  # so do the paths; the help below names the origin
            self.note("  ".join(word for word in words if word))

    def show_marks(self, effect: Effect | None, *, unsaved: bool, own: bool) -> None:
        """Mark what a resume would do with the value (None: it is the run's), whether it is another than the file's, and
        another than the parent's.
        """
        kind = None if effect is None else effect.at_resume
        if (kind, unsaved, own) != self._marked:
            self._marked = kind, unsaved, own
            sign, style = ("", "") if kind is None else (MARKS[kind], RESUME_STYLE[kind])
            self.mark(sign, style, (OWN if own else "", "bold $accent"), (UNSAVED if unsaved else "", "bold $warning"))

    def on_resize(self, event: Resize) -> None:
        """With enough room the note also says what the field is for."""
        explains = event.size.width >= EXPLAINS_FROM
        if explains != self._explains:
            self._explains = explains
            self.show_problem(self._problem)


def _control(field: ProfileField, value: Any, inherited: Any, folder: Path, *, read_only: bool) -> Widget:
    """inherited: what holds without a value; None: the default. Empty controls show it, and go back to it. folder: where
    relative paths start.
    """
    default = field.default if inherited is None else inherited
    match field.kind:
        case "bool":
            chosen = text_of(field, default if value is None else value)
            words = (field.absent, ON, OFF) if field.is_optional else (ON, OFF)
            return Choice(words, chosen or field.absent, disabled=read_only)
        case "choice":
            return Choice(field.choices, clean(str(default if value is None else value)), disabled=read_only)
        case "strings":
            return _lines(field, text_of(field, value), text_of(field, inherited), folder, read_only=read_only)
        case "tables" if field.path == STAGES:
            return Static(Content(stages_text(inherited if value is None else value) or "none"), classes="read-only")
        case "tables":
            found = inherited if value is None else value
            sources = [item for item in found if isinstance(item, Mapping)] if isinstance(found, list | tuple) else []
            return SourcesEditor(sources, folder=folder, disabled=read_only)
    return _line(field, text_of(field, value), text_of(field, inherited), folder, read_only=read_only)


def _lines(field: ProfileField, text: str, inherited: str, folder: Path, *, read_only: bool) -> TextArea:
    absent = inherited or "none; one a line"
    if field.leads_to:
        return PathLines(text, folder=folder, wanted=field.leads_to, placeholder=absent, read_only=read_only)
    return TextArea(text, read_only=read_only, compact=True, soft_wrap=True, placeholder=absent)


def _line(field: ProfileField, text: str, inherited: str, folder: Path, *, read_only: bool) -> Input:
    absent = inherited or default_text(field)
    if field.leads_to:
        return PathInput(text, folder=folder, wanted=field.leads_to, placeholder=absent, disabled=read_only)
    return Input(text, placeholder=absent, compact=True, disabled=read_only)


def _text_in(control: Widget) -> str:
    match control:
        case Input() | Choice():
            return control.value
        case TextArea():
            return control.text
    return ""


class SectionForm(VerticalScroll, can_focus=False):
    """All fields of a section, one below the other; up and down go through them."""

    DEFAULT_CSS = """
    SectionForm {
        height: 1fr; width: 1fr; scrollbar-size-vertical: 1;
        & FieldRow { margin-bottom: 0; }
        & FieldRow > .field-label { width: 23; }
        & FieldRow.-tables > .field-label { width: 12; }
        & FieldRow.-tables > .field-note { width: auto; max-width: 40; }
        & FieldRow > .field-note { text-wrap: nowrap; text-overflow: ellipsis; }
        & FieldRow.-error > .field-note { text-wrap: wrap; }
        & FieldRow > .read-only { width: 1fr; height: auto; padding: 0 1; }
        & FieldRow.-optional > Input { width: 26; }
        & FieldRow.-optional.-error > Input { width: 16; }
        & FieldRow.-broad > Input { width: 1fr; max-width: 64; }
        & FieldRow.-broad > .field-note { width: auto; max-width: 40; }
        & FieldRow > TextArea { width: 1fr; min-width: 8; max-width: 90; height: auto; min-height: 3; max-height: 8;
            border: none; background: $foreground 8%; padding: 0 1; }
        & FieldRow > TextArea:focus { background: $primary 15%; border: none; }
        & FieldRow.-error > TextArea { background: $error 15%; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "go(True)", "Next field", show=False),
        Binding("up", "go(False)", "Previous field", show=False),
    ]

    @dataclass
    class Edited(Message):
        """A field was given a value; None means its default, that is, no line in the file."""

        field: ProfileField
        value: Any

    @dataclass
    class Restored(Message):
        """A field shows again what it showed at first: ``value``, None for its default."""

        field: ProfileField
        value: Any

    @dataclass
    class Mistyped(Message):
        """What stands in a field is no value for it."""

        field: ProfileField
        reason: str

    def __init__(
        self,
        section: ProfileSection,
        values: Mapping[str, Any],
        inherited: Mapping[str, Any],
        *,
        folder: Path = Path(),
        read_only: bool = False,
    ) -> None:
        """values: what the file sets itself; inherited: what holds where it does not, because another file says it. folder:
        where relative paths start.
        """
        super().__init__()
        self.section = section
        self._values, self._inherited = dict(values), dict(inherited)
        self._rows = {
            field.path: FieldRow(
                field, values.get(field.path), inherited.get(field.path), folder=folder, read_only=read_only
            )
            for field in section.fields
            if field.path not in HIDDEN
        }

    def compose(self) -> ComposeResult:
        yield from self._rows.values()

    def show_problems(self, problems: Mapping[str, str]) -> None:
        """Problems by field path; a source's problem (``dataset.sources.path``) stands at the sources."""
        for path, row in self._rows.items():
            of_row = [text for field, text in problems.items() if field == path or field.startswith(f"{path}.")]
            row.show_problem(of_row[0] if of_row else "")

    def show_origins(self, origins: Mapping[str, str]) -> None:
        """Name the files that values are inherited from, by field; shown with the next ``show_problems``."""
        for path, row in self._rows.items():
            row.origin = origins.get(path, "")

    def show_marks(
        self, effects: Mapping[str, Effect], unsaved: Collection[str] = (), own: Collection[str] = ()
    ) -> None:
        """Mark the fields, by path, that differ from what a run was launched with, that are not saved, and that are not as in
        the profile that is extended.
        """
        for path, row in self._rows.items():
            row.show_marks(effects.get(path), unsaved=path in unsaved, own=path in own)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Between the lines of a text the keys are its own."""
        return action != "go" or not isinstance(self.screen.focused, TextArea)

    def action_go(self, down: bool) -> None:
        """To the next or previous field."""
        if down:
            self.screen.focus_next()
        else:
            self.screen.focus_previous()

    def step(self, widget: Widget | None, up: bool) -> None:
        """Put the number that is typed in ``widget`` one step up or down; nothing where there is no such number."""
        field = self.field_of(widget)
        if field is not None and isinstance(widget, Input) and (text := stepped(field, widget.value, up)) is not None:
            widget.value = text
            widget.cursor_position = len(text)
            widget._restart_blink()  # as after a letter: else the cursor may go out at this very moment

    def source(self) -> tuple[SourcesEditor, SourceLine] | None:
        """The folder of images whose line has the focus, else the first one; None where there is none, or it is empty."""
        for row in self._rows.values():
            if isinstance(row.control, SourcesEditor) and (line := row.control.focused_line) is not None:
                return row.control, line
        return None

    def focus_field(self, path: str) -> bool:
        """Put the cursor into a field; False if it is not in this section."""
        row = next((row for field, row in self._rows.items() if path == field or path.startswith(f"{field}.")), None)
        if row is None:
            return False
        target = row.control.query(Input).first() if isinstance(row.control, SourcesEditor) else row.control
        target.focus()
        return True

    def focus_first(self) -> None:
        """Put the cursor into the first field."""
        self.focus_field(next(iter(self._rows)))

    def field_of(self, widget: Widget | None) -> ProfileField | None:
        """The field whose control ``widget`` is or lies in."""
        for node in () if widget is None else widget.ancestors_with_self:
            if isinstance(node, FieldRow):
                return node.field
        return None

    @on(Input.Changed)
    def _input_typed(self, event: Input.Changed) -> None:
        self._typed(event.input, event.value)
        event.stop()

    @on(Choice.Changed)
    def _choice_made(self, event: Choice.Changed) -> None:
        self._typed(event.choice, event.value)
        event.stop()

    @on(TextArea.Changed)
    def _text_typed(self, event: TextArea.Changed) -> None:
        self._typed(event.text_area, event.text_area.text)
        event.stop()

    @on(SourcesEditor.Changed)
    def _sources_changed(self, event: SourcesEditor.Changed) -> None:
        if field := self.field_of(event.editor):
            inherited = self._inherited.get(field.path)
            is_inherited = inherited is not None and event.sources in ([], inherited)
            self.post_message(self.Edited(field, None if is_inherited else event.sources))
        event.stop()

    @on(SourcesEditor.Unreadable)
    def _sources_unreadable(self, event: SourcesEditor.Unreadable) -> None:
        if field := self.field_of(event.editor):
            self.post_message(self.Mistyped(field, event.text))
        event.stop()

    def _typed(self, control: Widget, text: str) -> None:
        row = next((node for node in control.ancestors_with_self if isinstance(node, FieldRow)), None)
        if row is None or text == row.text:
            return  # controls also report what they are given at first
        row.text = text
        if text == row.first_text:
            self.post_message(self.Restored(row.field, self._values.get(row.field.path)))
            return
        try:
            value = value_of(row.field, text)
        except (ValueError, KeyError) as error:
            self.post_message(self.Mistyped(row.field, str(error)))
        else:
            self.post_message(self.Edited(row.field, value))
