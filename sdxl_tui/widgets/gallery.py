"""Pictures side by side, in half blocks: two pixels to a cell, the upper one its ink, the lower one its ground.

They need nothing of a terminal but colours, so they pass tmux and SSH. A picture that the terminal itself draws (a
``PlacedPicture``) stands there as its cells. ``gallery_strips`` is pure and may run in a thread; ``Gallery`` shows what it
made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from typing import Final

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.content import Content
from textual.strip import Strip
from textual.widget import Widget

from sdxl_tui.fleet.sample_pictures import Picture
from sdxl_tui.terminal.guard import PICTURE
from sdxl_tui.terminal.kitty import cells
from sdxl_tui.terminal.pictures import PlacedPicture

UPPER_HALF: Final = "▀"
GAP: Final = 2
"""Cells between two pictures."""
CAPTION_LINES: Final = 2
HERE: Final = "▸"
LIT: Final = Style(bold=True, reverse=True)


@dataclass(frozen=True)
class Tile:
    """A picture, or why there is none, and what stands below it."""

    picture: Picture | PlacedPicture | str
    caption: str


def gallery_strips(tiles: Sequence[Tile], columns: int, *, lit: int | None = None) -> list[Strip]:
    """The tiles side by side, each ``columns`` cells wide, with their captions. lit: the one that one stands on."""
    blank = Strip.blank(columns)
    height = max((1 if isinstance(tile.picture, str) else tile.picture.rows for tile in tiles), default=1)
    parts = [
        [*_filled(_picture(tile), height, blank), *_caption(tile.caption, columns, at == lit)]
        for at, tile in enumerate(tiles)
    ]
    return [
        Strip.join([part.adjust_cell_length(columns + GAP) for part in line])
        for line in zip_longest(*parts, fillvalue=blank)
    ]


def _filled(strips: list[Strip], height: int, blank: Strip) -> list[Strip]:
    return [*strips, *[blank] * (height - len(strips))]


def _picture(tile: Tile) -> list[Strip]:
    if isinstance(tile.picture, str):
        return [Strip([Segment(tile.picture, Style(italic=True))])]
    if isinstance(tile.picture, PlacedPicture):
        return [Strip([_placed(tile.picture, row)]) for row in range(tile.picture.rows)]
    return [Strip(_segments(tile.picture, row)) for row in range(tile.picture.rows)]


def _placed(picture: PlacedPicture, row: int) -> Segment:
    """A line of a picture that the terminal draws; the guard writes what it is sent."""
    return Segment(cells(picture.columns), Style(meta={PICTURE: (picture.image, row)}))


def _segments(picture: Picture, row: int) -> Iterator[Segment]:
    """A line of cells, neighbours of the same two colours as one."""
    cells = ((picture.pixel(x, 2 * row), picture.pixel(x, 2 * row + 1)) for x in range(picture.width))
    for (upper, lower), run in groupby(cells):
        yield Segment(UPPER_HALF * len(list(run)), Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower)))


def row_title(text: str, width: int, *, is_lit: bool) -> Strip:
    """What a row of pictures shows, above it."""
    line = Content(text).truncate(width, ellipsis=True).plain
    return Strip([Segment(line, Style(bold=is_lit))])


def _caption(text: str, columns: int, is_lit: bool = False) -> list[Strip]:
    if is_lit:
        return [Strip([Segment(f"{HERE} {text}"[:columns], LIT)])]
    lines = Content(text).wrap(columns)[:CAPTION_LINES]
    return [Strip([Segment(line.plain.rstrip(), Style())]) for line in lines]


class Gallery(Widget):
    """``show`` replaces what is drawn; a text stands for pictures that are not there."""

    DEFAULT_CSS = """
    Gallery { height: 1fr; width: 1fr; color: $foreground 60%; }
    """
    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._strips: Sequence[Strip] = ()

    def show(self, strips: Sequence[Strip]) -> None:
        """Draw these lines."""
        if strips or self._strips:
            self._strips = strips
            self.refresh()

    def say(self, text: str) -> None:
        """Words instead."""
        self.show([Strip([Segment(text)])] if text else [])

    def render_line(self, y: int) -> Strip:
        width = self.content_size.width
        if not 0 <= y < len(self._strips):
            return Strip.blank(width, self.rich_style)
        return self._strips[y].apply_style(self.rich_style).adjust_cell_length(width, self.rich_style)
