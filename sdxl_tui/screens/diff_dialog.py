"""What differs between the profile in the editor and another one or a run: first the other is chosen, then the table is read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar, Final

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.events import Key
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input, Static

from engine.errors import UserError
from sdxl_tui.fleet.profile_diff import Candidate, ProfileDiff, Side, candidates, diff_profiles, shown_value
from sdxl_tui.screens.draft_place import DraftPlace
from sdxl_tui.terminal.clean import clean, without_middle
from sdxl_tui.terminal.numbers import format_count
from sdxl_tui.widgets.key_bar import KeyBar
from sdxl_tui.widgets.row_list import Row, RowList

MUTED: Final = "$foreground 60%"
NARROWEST: Final = 10
"""Cells that each value gets at least."""


class ChooseOther(ModalScreen[Candidate | None]):
    """Dismissed with what the profile is to be compared with, or with None."""

    DEFAULT_CSS = """
    ChooseOther {
        align: center middle;
        & > #box {
            width: 76; max-width: 96%; height: 20; max-height: 90%; border: round $primary;
            border-title-style: bold; border-title-color: $foreground; background: $surface; padding: 0 1;
        }
        Input { height: 1; border: none; padding: 0 1; background: $foreground 8%; }
        KeyBar { background: $surface; padding: 0; }
    }
    """
    AUTO_FOCUS: ClassVar[str | None] = "Input"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "Compare"),
        Binding("escape", "dismiss(None)", "Back"),
        Binding("down", "move(1)", "Down", show=False, priority=True),
        Binding("up", "move(-1)", "Up", show=False, priority=True),
    ]

    def __init__(self, found: Sequence[Candidate]) -> None:
        super().__init__()
        self._found = {str(one.path): one for one in found}
        self._input = Input(placeholder="part of its name; or run, shipped, workspace", compact=True)
        self._list = RowList()
        self._list.can_focus = False

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content(" Compare with ")
            box.border_subtitle = "enter compares · esc back"
            yield self._input
            yield self._list
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

    def _show(self, text: str) -> None:
        words = text.lower().split()
        shown = [one for one in self._found.values() if all(word in f"{one.name} {one.kind}".lower() for word in words)]
        rows = [Row(str(one.path), ((clean(one.name), ""),), columns=((one.kind, MUTED),)) for one in shown]
        self._list.show_rows(rows)
        self._list.action_edge(0)

    @on(Input.Submitted)
    @on(RowList.Chosen)
    def action_choose(self) -> None:
        """The one under the cursor."""
        if self._list.key is not None:
            self.dismiss(self._found[self._list.key])

    def action_move(self, by: int) -> None:
        """To the next or previous one."""
        self._list.action_move(by)


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


class DiffDialog(ModalScreen[None]):
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


async def compare_with_another(place: DraftPlace, here: Side) -> None:
    """Ask with what, and show the table; why something cannot be read is said. Call it from a worker."""
    found = await asyncio.to_thread(candidates, place.workspace)
    other = await place.app.push_screen_wait(ChooseOther([one for one in found if one.path != here.path]))
    if other is None:
        return
    try:
        there = await asyncio.to_thread(other.read)
    except (UserError, OSError) as error:
        place.complain("Not compared", error)
    else:
        place.app.push_screen(DiffDialog(diff_profiles(here, there)))
