"""Finding a field of the profile by its name, by what other trainers call it, or by words of its help."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from engine.profile.fields import SOURCES, ProfileField, profile_sections, table_fields
from sdxl_tui.screens.pick_dialog import PickDialog
from sdxl_tui.widgets.profile_form import HIDDEN
from sdxl_tui.widgets.row_list import Row, RowList


def found_fields(words: str) -> list[ProfileField]:
    """The fields that every one of ``words`` is said of; those it is said of by name first, each group in the form's order."""
    wanted = words.lower().split()
    fields = [field for section in profile_sections() for field in section.fields if field.path not in HIDDEN]
    fields += table_fields(SOURCES)
    by_name = [field for field in fields if _has(wanted, f"{field.path} {' '.join(field.aliases)}")]
    by_help = [field for field in fields if _has(wanted, f"{field.path} {field.help} {field.detail}")]
    return list({field.path: field for field in (*by_name, *by_help)}.values())


def _has(words: list[str], text: str) -> bool:
    said = text.lower()
    return all(word in said or word in said.replace("_", " ") for word in words)


class FindField(PickDialog[str]):
    """Dismissed with the path of the field that was chosen, or with None."""

    DEFAULT_CSS = """
    FindField {
        #about { height: 1; color: $foreground 60%; text-wrap: nowrap; text-overflow: ellipsis; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "choose", "Go there")]
    title_above = " Find a field "
    title_below = "enter goes there · esc back"
    placeholder = "its name, or words of its help"

    def __init__(self) -> None:
        super().__init__()
        self._fields: dict[str, ProfileField] = {}
        self._about = Static(id="about")

    def compose_below(self) -> Iterable[Widget]:
        yield self._about

    def rows_for(self, text: str) -> Sequence[Row]:
        self._fields = {field.path: field for field in found_fields(text)}
        self.call_later(self._tell)
        return [Row(path, ((path, ""),)) for path in self._fields]

    def picked(self, key: str) -> str:
        return key

    @on(RowList.Highlighted)
    def _tell(self) -> None:
        field = self._fields.get(self._list.key or "")
        self._about.update(Content(field.help if field is not None else "No field is like that."))
