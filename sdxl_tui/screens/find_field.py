"""Finding a field of the profile by its name, by what other trainers call it, or by words of its help."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from engine.profile.fields import ProfileField, profile_sections
from sdxl_tui.widgets.key_bar import KeyBar
from sdxl_tui.widgets.profile_form import HIDDEN
from sdxl_tui.widgets.row_list import Row, RowList


def found_fields(words: str) -> list[ProfileField]:
    """The fields that every one of ``words`` is said of; those it is said of by name first, each group in the form's order."""
    wanted = words.lower().split()
    fields = [field for section in profile_sections() for field in section.fields if field.path not in HIDDEN]
    by_name = [field for field in fields if _has(wanted, f"{field.path} {' '.join(field.aliases)}")]
    by_help = [field for field in fields if _has(wanted, f"{field.path} {field.help} {field.detail}")]
    return list({field.path: field for field in (*by_name, *by_help)}.values())


def _has(words: list[str], text: str) -> bool:
    said = text.lower()
    return all(word in said or word in said.replace("_", " ") for word in words)


class FindField(ModalScreen[str | None]):
    """Dismissed with the path of the field that was chosen, or with None."""

    DEFAULT_CSS = """
    FindField {
        align: center middle;
        & > #box {
            width: 76; max-width: 96%; height: 18; max-height: 90%; border: round $primary;
            border-title-style: bold; border-title-color: $foreground; background: $surface; padding: 0 1;
        }
        Input { height: 1; border: none; padding: 0 1; background: $foreground 8%; }
        #about { height: 1; color: $foreground 60%; text-wrap: nowrap; text-overflow: ellipsis; }
        KeyBar { background: $surface; padding: 0; }
    }
    """
    AUTO_FOCUS: ClassVar[str | None] = "Input"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "Go there"),
        Binding("escape", "dismiss(None)", "Back"),
        Binding("down", "move(1)", "Down", show=False, priority=True),
        Binding("up", "move(-1)", "Up", show=False, priority=True),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._fields: dict[str, ProfileField] = {}
        self._input = Input(placeholder="its name, or words of its help", compact=True, select_on_focus=False)
        self._list, self._about = RowList(), Static(id="about")
        self._list.can_focus = False

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content(" Find a field ")
            box.border_subtitle = "enter goes there · esc back"
            yield self._input
            yield self._list
            yield self._about
            yield KeyBar()

    def on_mount(self) -> None:
        """All of them at first."""
        self._show("")

    def on_key(self, event: Key) -> None:
        """What is typed in the same breath as the key that opens this arrives before the input has the focus."""
        if self.focused is not self._input and event.character is not None and event.is_printable:
            event.stop()
            self._input.value += event.character
            self._input.cursor_position = len(self._input.value)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._show(event.value)

    def _show(self, words: str) -> None:
        self._fields = {field.path: field for field in found_fields(words)}
        self._list.show_rows([Row(path, ((path, ""),)) for path in self._fields])
        self._list.action_edge(0)
        self._tell()

    @on(RowList.Highlighted)
    def _tell(self) -> None:
        field = self._fields.get(self._list.key or "")
        self._about.update(Content(field.help if field is not None else "No field is like that."))

    @on(Input.Submitted)
    @on(RowList.Chosen)
    def action_choose(self) -> None:
        """The field under the cursor."""
        if self._list.key is not None:
            self.dismiss(self._list.key)

    def action_move(self, by: int) -> None:
        """To the next or previous one."""
        self._list.action_move(by)
