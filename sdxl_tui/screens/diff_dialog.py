"""What differs between the profile in the editor and another one or a run: first the other is chosen, then the table is read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar, Final

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from engine.errors import UserError
from sdxl_tui.fleet.profile_diff import Candidate, ProfileDiff, Side, candidates, diff_profiles, shown_value
from sdxl_tui.screens.dialog import Dialog
from sdxl_tui.screens.pick_dialog import PickDialog
from sdxl_tui.screens.place import Place, in_words
from sdxl_tui.terminal.clean import clean, without_middle
from sdxl_tui.terminal.numbers import format_count
from sdxl_tui.widgets.key_bar import KeyBar
from sdxl_tui.widgets.row_list import Row

MUTED: Final = "$foreground 60%"
NARROWEST: Final = 10
"""Cells that each value gets at least."""


class ChooseOther(PickDialog[Candidate]):
    """Dismissed with what the profile is to be compared with, or with None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "choose", "Compare")]
    title_above = " Compare with "
    title_below = "enter compares · esc back"
    placeholder = "part of its name; or run, shipped, workspace"

    def __init__(self, found: Sequence[Candidate]) -> None:
        super().__init__()
        self._found = {str(one.path): one for one in found}

    def rows_for(self, text: str) -> Sequence[Row]:
        words = text.lower().split()
        shown = [one for one in self._found.values() if all(word in f"{one.name} {one.kind}".lower() for word in words)]
        return [Row(str(one.path), ((clean(one.name), ""),), columns=((one.kind, MUTED),)) for one in shown]

    def picked(self, key: str) -> Candidate:
        return self._found[key]


class DiffTable(Widget):
    """Field, here, there. As wide as it is given, as high as its lines."""

    DEFAULT_CSS = """
    DiffTable { height: auto; width: 1fr; }
    """
    ALLOW_SELECT = False

    def __init__(self, found: ProfileDiff) -> None:
        super().__init__()
        self._found = found

    def render(self) -> Content:
        rows = [
            (clean(one.field), shown_value(one, one.here), shown_value(one, one.there))
            for one in self._found.differences
        ]
        if not rows:
            return Content.styled("Both say the same, with all that they inherit.", MUTED)
        head = ("field", clean(self._found.here.title), clean(self._found.there.title))
        width = max(40, self.content_size.width)
        names = min(max(cell_len(row[0]) for row in (head, *rows)), max(16, width // 2))
        longest = max(cell_len(cell) for row in (head, *rows) for cell in row[1:])
        room = min(longest, max(NARROWEST, (width - names - 4) // 2))
        lines = []
        for at, row in enumerate([head, *rows]):
            name, here, there = (_fitted(*cell) for cell in zip(row, (names, room, room), strict=True))
            if at == 0:
                lines.append(Content.styled(f"{name}  {here}  {there}", MUTED))
            else:
                lines.append(Content.assemble(name, "  ", (here, "bold"), "  ", (there, "$accent")))
        return Content("\n").join(lines)


def _fitted(text: str, width: int) -> str:
    short = without_middle(text, width)
    return short + " " * max(0, width - cell_len(short))


class DiffDialog(Dialog[None]):
    """The table, to be read."""

    DEFAULT_CSS = """
    DiffDialog {
        align: center middle;
        & > #box {
            width: 96%; max-width: 140; height: auto; max-height: 96%;
            border: round $primary; border-title-style: bold; border-title-color: $foreground;
            background: $surface; padding: 1 2 0 2;
        }
        VerticalScroll { height: auto; max-height: 100%; margin-bottom: 1; }
        #said { height: auto; margin-bottom: 1; }
        KeyBar { background: $surface; padding: 0; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f6", "dismiss", "Back")]

    def __init__(self, found: ProfileDiff) -> None:
        super().__init__()
        self._found = found

    def compose(self) -> ComposeResult:
        found, count = self._found, len(self._found.differences)
        words = f"{count} difference{'' if count == 1 else 's'}, {format_count(found.alike)} fields say the same"
        with Vertical(id="box") as box:
            box.border_title = Content(f" {clean(found.here.title)} and {clean(found.there.title)} ")
            yield Static(Content.styled(words, MUTED), id="said")
            with VerticalScroll(can_focus=True):
                yield DiffTable(found)
            yield KeyBar()


async def compare_with_another(place: Place, here: Side) -> None:
    """Ask with what, and show the table; why something cannot be read is said. Call it from a worker."""
    try:
        found = await asyncio.to_thread(candidates, place.workspace)
        other = await place.app.push_screen_wait(ChooseOther([one for one in found if one.path != here.path]))
        there = None if other is None else await asyncio.to_thread(other.read)
    except (UserError, OSError) as error:
        words = clean(in_words(error), lines=True)
        place.notify(words, title="Not compared", severity="error", markup=False, timeout=12)
    else:
        if there is not None:
            place.app.push_screen(DiffDialog(diff_profiles(here, there)))
