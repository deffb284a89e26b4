"""Partial frames: the screen ends up as Textual's own would have it, with fewer bytes."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.segment import Segment
from textual._compositor import ChopsUpdate
from textual.strip import Strip

from sdxl_tui.terminal.frugal import _changed_parts

WIDTH, LINES = 24, 3
CONSOLE = Console(color_system=None, force_terminal=True)
TEXTUALS_OWN: Any = ChopsUpdate.render_segments
MOVE = re.compile(r"\x1b\[(\d+);(\d+)H")


def screen_after(before: list[list[str]], sent: str) -> list[list[str]]:
    """What a terminal shows: letters one cell wide but for ``界``, which is two."""
    screen = [list(line) for line in before]
    parts = MOVE.split(sent)
    for y, x, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        row, column = int(y) - 1, int(x) - 1
        for letter in text.replace("\n", ""):
            screen[row][column] = letter
            if letter == "界":
                screen[row][column + 1] = ""
            column += 2 if letter == "界" else 1
    return screen


@st.composite
def updates(draw: st.DrawFn) -> tuple[list[list[str]], ChopsUpdate]:
    """A screen, and an update of it: widgets beside each other, of which parts changed."""
    cuts = sorted({0, WIDTH, *draw(st.lists(st.integers(1, WIDTH - 1), max_size=3))})
    before: list[list[str]] = []
    chops: list[dict[int, Strip | None]] = []
    spans = []
    for y in range(LINES):
        old, line = [], {}
        first, end = sorted(draw(st.tuples(st.integers(0, WIDTH), st.integers(0, WIDTH))))
        for x, after in pairwise(cuts):
            wide = draw(st.booleans()) and after - x >= 4
            text = ("界" + "b" * (after - x - 2)) if wide else "abcdefghijklmnopqrstuvwxyz"[: after - x]
            new = Strip([Segment(text[:1]), Segment(text[1:])], after - x)
            kept = ["界", *"", "", *"b" * (after - x - 2)] if wide else list(text)
            # Only what lies in the span differs from what stands there; a wide letter stands there already.
            old += kept if wide else ["?" if first <= x + at < end else letter for at, letter in enumerate(kept)]
            line[x] = new
        before.append(old)
        chops.append(dict(line))
        if first < end:
            spans.append((y, first, end))
    return before, ChopsUpdate(chops, spans or [(0, 0, WIDTH)], [cuts[1:] for _ in range(LINES)])


@given(updates())
def test_the_screen_is_the_one_that_textual_draws(found: tuple[list[list[str]], ChopsUpdate]) -> None:
    before, update = found
    ours, theirs = _changed_parts(update, CONSOLE), TEXTUALS_OWN(update, CONSOLE)
    assert screen_after(before, ours) == screen_after(before, theirs)
    assert len(ours) <= len(theirs) + 3 * ours.count("\x1b")  # a column further right may take more digits


def test_a_cell_at_the_end_of_a_line_is_one_cell() -> None:
    update = ChopsUpdate([{0: Strip([Segment("x" * 100)], 100)}], [(0, 97, 98)], [[100]])
    assert _changed_parts(update, CONSOLE) == "\x1b[1;98Hx"
