"""Frames of what differs: whatever came before, the terminal shows what Textual wants to be seen, for fewer bytes."""

from __future__ import annotations

from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

from sdxl_tui.terminal.frugal import StandingFrame
from tests.sdxl_tui.text_screen import Cell, TextScreen

WIDTH, LINES = 40, 3
CONSOLE = Console(color_system="truecolor", force_terminal=True)
STYLES = (
    None,
    Style.parse("red"),
    Style.parse("bold red on blue"),
    Style.parse("green on blue"),
    Style.parse("underline"),
)


def seen(screen: TextScreen) -> list[list[Cell]]:
    """The ink of a blank is not seen, its paper and what is drawn through it are."""
    return [[(letter, paper(style) if letter == " " else style) for letter, style in line] for line in screen.cells]


def paper(parameters: str) -> str:
    codes = parameters.split(";")
    return ";".join(code for code in codes if code in {"4", "44"})


Line = list[tuple[str, Style | None]]
"""What is to be seen of a line, as ``TextScreen`` has it."""


def write(line: Line, x: int, letter: str, style: Style | None, times: int) -> None:
    """The letter, a few times; what is left of a wide one is a blank."""
    for _ in range(times):
        end = x + cell_len(letter)
        if end > WIDTH:
            break
        for at in (x, end):
            if at < WIDTH and line[at][0] == "":
                line[at] = (" ", None)
                if at == x:
                    line[x - 1] = (" ", None)
        line[x:end] = [(letter, style), ("", style)][: end - x]
        x = end


def strip(line: Line, x: int, end: int) -> Strip:
    """A widget's part of a line; half a wide letter is a blank."""
    cells = list(line[x:end])
    if cells[0][0] == "":
        cells[0] = (" ", cells[0][1])
    if cell_len(cells[-1][0]) == 2:
        cells[-1] = (" ", cells[-1][1])
    pieces = [(style, "".join(letter for letter, _ in part)) for style, part in groupby(cells, itemgetter(1))]
    return Strip([Segment(text, style) for style, text in pieces], end - x)


edits = st.tuples(
    st.integers(0, LINES - 1),
    st.integers(0, WIDTH - 1),
    st.sampled_from("a b·界"),
    st.sampled_from(STYLES),
    st.integers(1, 30),
)


@st.composite
def changes(draw: st.DrawFn) -> list[LayoutUpdate | ChopsUpdate | None]:
    """Frames one after the other, whole ones and parts; None: the terminal was cleared."""
    cuts = [0, *sorted(draw(st.sets(st.integers(1, WIDTH - 1), max_size=3))), WIDTH]
    grid: list[Line] = [[("a", None)] * WIDTH for _ in range(LINES)]
    frames: list[LayoutUpdate | ChopsUpdate | None] = []
    kinds = st.sampled_from(["parts", "parts", "whole", "cleared"])
    for kind in ["whole", *draw(st.lists(kinds, min_size=1, max_size=6))]:
        before = [list(line) for line in grid]
        for y, x, letter, style, times in draw(st.lists(edits, max_size=4)):
            write(grid[y], x, letter, style, times)
        chops: list[dict[int, Strip | None]] = [
            {x: strip(grid[y], x, end) for x, end in pairwise(cuts)} for y in range(LINES)
        ]
        parts = [(y, x, end) for y in range(LINES) for x, end in pairwise(cuts) if grid[y][x:end] != before[y][x:end]]
        if kind == "parts" and parts:
            frames.append(ChopsUpdate(chops, parts, [cuts[1:]] * LINES))
        elif kind != "parts":
            lines: Any = [line.values() for line in chops]
            frames += [*[None] * (kind == "cleared"), LayoutUpdate(lines, Region(0, 0, WIDTH, LINES))]
    return frames


@settings(max_examples=300)
@given(changes())
def test_the_screen_is_the_one_that_textual_draws(frames: list[LayoutUpdate | ChopsUpdate | None]) -> None:
    frame, ours, theirs = StandingFrame(), TextScreen(WIDTH, LINES), TextScreen(WIDTH, LINES)
    for update in frames:
        if update is None:
            frame.forget()
            ours, theirs = TextScreen(WIDTH, LINES), TextScreen(WIDTH, LINES)
        else:
            theirs.take(update.render_segments(CONSOLE))
            ours.take(frame.change_to(update, CONSOLE))
            assert seen(ours) == seen(theirs)


def whole(*lines: str, style: Style | None = None) -> LayoutUpdate:
    """A frame of these lines."""
    width = len(lines[0])
    return LayoutUpdate([[Strip([Segment(line, style)], width)] for line in lines], Region(0, 0, width, len(lines)))


def test_a_frame_that_is_there_already_costs_nothing() -> None:
    frame = StandingFrame()
    assert frame.change_to(whole("abc", "def"), CONSOLE)
    assert frame.change_to(whole("abc", "def"), CONSOLE) == ""


def test_cells_far_apart_are_sent_each_where_it_belongs() -> None:
    frame = StandingFrame()
    frame.change_to(whole("." * 40), CONSOLE)
    assert frame.change_to(whole("a" + "." * 38 + "b"), CONSOLE) == "\x1b[1;1Ha\x1b[1;40Hb"


def test_a_cell_at_the_end_of_a_part_is_one_cell() -> None:
    frame = StandingFrame()
    frame.change_to(whole("x" * 97 + "y" + "x" * 2), CONSOLE)
    update = ChopsUpdate([{0: Strip([Segment("x" * 100)], 100)}], [(0, 97, 98)], [[100]])
    assert frame.change_to(update, CONSOLE) == "\x1b[1;98Hx"


def test_a_letter_of_two_cells_leaves_nothing_behind() -> None:
    frame, screen = StandingFrame(), TextScreen(WIDTH, LINES)
    for line in ("a" * WIDTH, "界" + "a" * (WIDTH - 2), "a" * WIDTH):
        update = LayoutUpdate([[Strip([Segment(line)], WIDTH)]], Region(0, 0, WIDTH, 1))
        screen.take(frame.change_to(update, CONSOLE))
    assert screen.cells[0] == [("a", "")] * WIDTH


def test_another_size_is_a_new_screen() -> None:
    frame = StandingFrame()
    frame.change_to(whole("abc", "def"), CONSOLE)
    assert frame.change_to(whole("abc"), CONSOLE) == "\x1b[1;1Habc"


def test_a_control_character_takes_no_cell() -> None:
    frame, screen = StandingFrame(), TextScreen(WIDTH, LINES)
    for line in ("ab\x7fcdef", "ab\x7fcdeX"):
        screen.take(frame.change_to(LayoutUpdate([[Strip([Segment(line)])]], Region(0, 0, 6, 1)), CONSOLE))
    assert screen.text().startswith("abcdeX")
