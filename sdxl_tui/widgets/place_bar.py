"""The line at the top: the places with their keys, which one this is, what is training, and the workspace."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final

from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from sdxl_tui.terminal.clean import clean

PLACES: Final = (("runs", "1", "Runs"), ("profiles", "2", "Profiles"), ("checkpoints", "3", "Checkpoints"))
TITLE: Final = " sdxl-tui "


class PlaceBar(Widget):
    """``live``: runs that are alive, None until they are known. ``folder``: the workspace; ``read_only``: one can only watch."""

    DEFAULT_CSS = """
    PlaceBar {
        dock: top; height: 1; background: $panel; color: $text-muted;
        & > .place-bar--title { color: $primary; text-style: bold; }
        & > .place-bar--here { color: $foreground; background: $background; text-style: bold; }
        & > .place-bar--key { color: $primary; }
        & > .place-bar--live { color: $success; }
        & > .place-bar--read-only { color: $warning; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"place-bar--{part}" for part in ("title", "here", "key", "live", "read-only")
    }
    ALLOW_SELECT = False

    live: reactive[int | None] = reactive(None)
    folder: reactive[str] = reactive("")

    class Clicked(Message):
        """A place's name was clicked."""

        def __init__(self, place: str) -> None:
            super().__init__()
            self.place = place

    def __init__(self, place: str, folder: Path, *, read_only: bool = False) -> None:
        super().__init__()
        self.place = place
        self.read_only = read_only
        self.set_reactive(PlaceBar.folder, clean(short_path(folder)))
        self._spans: list[tuple[int, int, str]] = []

    def render(self) -> Content:
        title = self.get_visual_style("place-bar--title")
        here = self.get_visual_style("place-bar--here")
        key_style = self.get_visual_style("place-bar--key", partial=True)
        left = Content.styled(TITLE, title)
        self._spans = []
        for place, key, name in PLACES:
            tab = Content.assemble((f" {key}", key_style), f" {name} ")
            if place == self.place:
                tab = tab.stylize_before(here)
            self._spans.append((left.cell_length, left.cell_length + tab.cell_length, place))
            left += tab
        return left + self._right(self.size.width - left.cell_length)

    def _right(self, room: int) -> Content:
        """The live runs and the workspace, as much as there is room for, at the right edge."""
        live = f"● {self.live} live" if self.live else ""
        folder = self.folder
        mark = "read-only" if self.read_only else ""
        if len(live) + len(mark) + len(folder) + 7 > room:
            keep = room - len(live) - len(mark) - 8
            folder = f"…{folder[-keep:]}" if keep >= 12 else ""
        parts = Content("  ").join(
            Content.styled(text, style)
            for text, style in (
                (live, self.get_visual_style("place-bar--live", partial=True)),
                (mark, self.get_visual_style("place-bar--read-only", partial=True)),
                (folder, ""),
            )
            if text
        )
        return (
            Content(" " * max(1, room - parts.cell_length - 1)) + parts
            if parts.cell_length + 2 <= room
            else Content("")
        )

    def on_click(self, event: Click) -> None:
        """Go to the place whose name was clicked."""
        for start, end, place in self._spans:
            if start <= event.x < end:
                self.post_message(self.Clicked(place))


def short_path(path: Path) -> str:
    """``path`` with the home folder as ``~``."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path != home and path.is_relative_to(home) else str(path)
