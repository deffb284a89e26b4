"""Frames that send what changed and no more: over a slow link a screen that is watched all day must cost next to nothing.

Textual 8.2 draws a changed part of a line from the left edge of its widget on, so that a point at the end of a curve costs the
whole curve. Here a part is drawn from where it begins.
"""

from __future__ import annotations

from rich.cells import cell_len
from rich.console import Console
from rich.control import Control
from textual._compositor import ChopsUpdate
from textual.strip import Strip


def install_frugal_frames() -> None:
    """From now on a partial frame of any app is no more than what changed. Calling it again changes nothing."""
    ChopsUpdate.render_segments = _changed_parts  # type: ignore[assignment,method-assign]


def _changed_parts(update: ChopsUpdate, console: Console) -> str:
    """What the terminal is sent: for each span the parts of lines that lie in it, each where it belongs."""
    sequences: list[str] = []
    last_y = update.spans[-1][0]
    for y, first, end in update.spans:
        for chop_end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            if strip is None or x >= end or chop_end <= first:
                continue
            left = first if first > x and _is_narrow(strip) else x
            part = strip.crop(left - x, min(chop_end, end) - x)
            sequences += (Control.move_to(left, y).segment.text, part.render(console))
        if y != last_y:
            sequences.append("\n")
    return "".join(sequences)


def _is_narrow(strip: Strip) -> bool:
    """Each letter is a cell: it can be cut anywhere without halving one."""
    return all(len(text) == cell_len(text) for text, _, _ in strip)
