"""Frames that send what differs from what the terminal shows, and no more: over a slow link a screen that is watched all day, and
each key, must cost next to nothing.

Textual 8.2 draws a changed part of a line from the left edge of its widget on, so that a point at the end of a curve costs the
whole curve; and what moves, opens or closes often has it draw the whole screen once or twice. Here what was sent is remembered
cell by cell, and a frame is what is needed to get from there to what Textual wants to be seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.control import Control
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.app import App
from textual.events import Event, Resize
from textual.screen import Screen
from textual.strip import Strip

Cell = tuple[str, Style | None]

GAP: Final = 12
"""Cells alike between two changes that are sent rather than skipped: to move the cursor and take up a colour again costs more."""

REDRAW_SECONDS: Final = 0.1


class StandingFrame:
    """What the terminal shows, as far as it is known."""

    def __init__(self) -> None:
        self._lines: list[list[Cell] | None] = []
        """None: unknown, or with letters that are not a cell wide, of which parts cannot be told apart."""

    def forget(self) -> None:
        """The terminal may show anything."""
        self._lines = []

    def change_to(self, update: LayoutUpdate | ChopsUpdate, console: Console) -> str:
        """What to send so that the terminal shows ``update``, which is taken to have been sent."""
        parts = _lines_of(update) if isinstance(update, LayoutUpdate) else _parts_of(update)
        lines = len(update.strips) if isinstance(update, LayoutUpdate) else len(update.chops)
        if len(self._lines) != lines:
            self._lines = [None] * lines
        return "".join(self._change(y, x, strip, console) for y, x, strip in parts)

    def _change(self, y: int, x: int, strip: Strip, console: Console) -> str:
        shown, wanted = self._lines[y], _cells(strip)
        if shown is None or wanted is None or x + len(wanted) > len(shown):
            self._lines[y] = wanted if x == 0 and wanted and len(wanted) >= len(shown or ()) else None
            return Control.move_to(x, y).segment.text + strip.render(console)
        end = x + len(wanted)
        if shown[x:end] == wanted:
            return ""
        sent: list[str] = []
        for first, last in _differing(shown[x:end], wanted):
            part = Strip(_segments(wanted[first:last]), last - first)
            sent += (Control.move_to(x + first, y).segment.text, part.render(console))
        shown[x:end] = wanted
        return "".join(sent)


class FrugalFrames(App[None]):
    """An app that sends such frames."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._frame = StandingFrame()
        super().__init__(*arguments, **named)

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        """Show what Textual's compositor made, unless it would not be shown now."""
        is_shown = self._running and not (self._closed or self._batch_count or self.is_headless)
        if not is_shown or not isinstance(renderable, LayoutUpdate | ChopsUpdate):
            super()._display(screen, renderable)
            return
        text = self._frame.change_to(renderable, self.console)
        cursor = self.screen.outer_size.clamp_offset(self.cursor_position)
        if text or cursor != self._previous_cursor_position:
            super()._display(screen, _Ready(text))  # type: ignore[arg-type]
        else:
            self.post_display_hook()

    async def on_event(self, event: Event) -> None:
        """A terminal that changed its size, or is had again, may have cut, moved or blanked what it showed."""
        if isinstance(event, Resize):
            self._frame.forget()
            self.set_timer(REDRAW_SECONDS, self.refresh)  # there and back again within a moment is no change to Textual
        await super().on_event(event)

    def _resume_signal(self) -> None:
        """Another program had the terminal."""
        self._frame.forget()
        super()._resume_signal()

    def action_redraw(self) -> None:
        """Draw all of it anew: something else wrote to the terminal."""
        self._frame.forget()
        self.refresh()


class _Ready(CompositorUpdate):
    """A frame that is text already."""

    def __init__(self, text: str) -> None:
        self._text = text

    def render_segments(self, console: Console) -> str:
        """The text."""
        return self._text


def _lines_of(update: LayoutUpdate) -> Iterator[tuple[int, int, Strip]]:
    """Each line as one strip: line, column, strip."""
    for y, strips in enumerate(update.strips, update.region.y):
        yield y, update.region.x, Strip.join(strips)


def _parts_of(update: ChopsUpdate) -> Iterator[tuple[int, int, Strip]]:
    """What lies in the spans that changed, cut to them where it can be cut: line, column, strip."""
    for y, first, end in update.spans:
        for chop_end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            if strip is None or x >= end or chop_end <= first:
                continue
            left = first if first > x and _has_cells(strip) else x
            yield y, left, strip.crop(left - x, min(chop_end, end) - x)


def _cells(strip: Strip) -> list[Cell] | None:
    """What stands in each cell; None if a letter is not one cell wide."""
    return [(letter, style) for text, style, _ in strip for letter in text] if _has_cells(strip) else None


def _has_cells(strip: Strip) -> bool:
    """Each letter is one cell wide, so that it can be cut anywhere."""
    return all((text.isascii() and text.isprintable()) or _is_narrow(text) for text, _, _ in strip)


@lru_cache(maxsize=4096)
def _is_narrow(text: str) -> bool:
    return all(cell_len(letter) == 1 for letter in text)


def _differing(shown: Sequence[Cell], wanted: Sequence[Cell]) -> Iterator[tuple[int, int]]:
    """Where they differ: first and end of each part, parts that are close together taken as one."""
    first = end = -1
    before: Style | None = None
    after: Style | None = None
    alike = alike_blank = True
    for at, ((old, old_style), (new, new_style)) in enumerate(zip(shown, wanted, strict=True)):
        if old_style is not before or new_style is not after:
            before, after = old_style, new_style
            alike = before == after
            alike_blank = alike or _paper(before) == _paper(after)
        if old == new and (alike or (new == " " and alike_blank)):
            continue
        if first >= 0 and at - end > GAP:
            yield first, end
            first = -1
        if first < 0:
            first = at
        end = at + 1
    if first >= 0:
        yield first, end


@lru_cache(maxsize=4096)
def _paper(style: Style | None) -> object:
    """What is seen of a blank; that of a style with meta data, which may be a picture's, is like no other."""
    if style is None:
        return None
    if style.meta or style.underline or style.underline2 or style.reverse or style.strike or style.overline:
        return style
    return None if style.transparent_background else style.bgcolor


def _segments(cells: Sequence[Cell]) -> list[Segment]:
    """The cells in as few segments as look the same."""
    segments: list[Segment] = []
    taken: Style | None = None
    letters: list[str] = []
    for letter, style in cells:
        if style is not taken and not (letter == " " and letters and _paper(style) == _paper(taken)):
            if letters:
                segments.append(Segment("".join(letters), taken))
                letters = []
            taken = style
        letters.append(letter)
    segments.append(Segment("".join(letters), taken))
    return segments
