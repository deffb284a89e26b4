"""Curves in braille, and the schedule plot made of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult

from engine.profile.load import parse_profile
from engine.schedule import Kind, Schedule
from sdxl_tui.widgets.braille import BLANK, BrailleCanvas
from sdxl_tui.widgets.profile_summary import profile_curve, summary_lines
from sdxl_tui.widgets.schedule_plot import EPOCHS, Mark, SchedulePlot, epoch_ends, plot_lines, seam_curves, stored_curve
from tests.sdxl_tui.places.place_field import screen_text


def drawn(canvas: BrailleCanvas[str]) -> set[tuple[int, int]]:
    """The dots that are set, read back from the characters by the standard's numbering."""
    order = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3)]
    dots = set()
    for column in range(canvas.columns):
        for row in range(canvas.rows):
            cell = canvas.cell(column, row)
            bits = ord(cell[0]) - BLANK if cell else 0
            dots |= {(column * 2 + x, row * 4 + y) for bit, (x, y) in enumerate(order) if bits >> bit & 1}
    return dots


@given(st.sets(st.tuples(st.integers(-2, 12), st.integers(-2, 10))))
def test_a_character_carries_exactly_the_dots_that_were_set(dots: set[tuple[int, int]]) -> None:
    canvas: BrailleCanvas[str] = BrailleCanvas(5, 2)
    for x, y in dots:
        canvas.dot(x, y, "tone")
    assert drawn(canvas) == {(x, y) for x, y in dots if 0 <= x < 10 and 0 <= y < 8}


@given(st.lists(st.floats(0, 1), min_size=10, max_size=10))
def test_a_curve_is_joined_up_and_meets_every_column_at_its_height(heights: list[float]) -> None:
    canvas: BrailleCanvas[str] = BrailleCanvas(5, 4)
    canvas.curve(0, 9, lambda x: heights[x], "tone")
    dots = drawn(canvas)
    for x, height in enumerate(heights):
        column = sorted(y for at, y in dots if at == x)
        assert round((1 - height) * 15) in column
        assert column == list(range(column[0], column[-1] + 1))


def test_a_continuation_stands_on_one_axis_with_the_childs_own_schedule_after_the_seam() -> None:
    old, new = Schedule(Kind.COSINE, 2000, 100), Schedule(Kind.CONSTANT, 500, 50)
    done, left, child = seam_curves(old, 1e-4, 860, new, 3e-5)
    assert (done.first, done.last, left.first, left.last) == (0, 860, 860, 2000)
    assert (child.first, child.last) == (860, 1360)
    assert done.rate(400) == old.lr(400, 1e-4)
    assert child.rate(860) == 0
    assert child.rate(860 + 25) == pytest.approx(1.5e-5)
    assert child.rate(1360) == pytest.approx(3e-5)


def text_of(lines: list[list[tuple[str, str]]]) -> list[str]:
    """The characters of drawn lines."""
    return ["".join(text for text, _ in line) for line in lines]


def test_the_mark_stands_on_the_curve_at_its_share_of_the_axis() -> None:
    curves = stored_curve(Schedule(Kind.CONSTANT, 100), 1e-4, 50)
    lines = text_of(plot_lines(curves, [Mark(50, 1e-4, "▲ 50")], 50, 10))
    assert lines[0].startswith("1.00e-4 ┤")
    assert lines[0].index("●") - 9 == pytest.approx(25, abs=1)
    assert all(line[lines[0].index("●")] == "┊" for line in lines[1:10])
    assert lines[-1].split() == ["0", "▲", "50", "100"]
    assert {len(line) for line in lines} == {59}


def test_what_is_done_and_what_is_to_come_have_tones_of_their_own() -> None:
    lines = plot_lines(stored_curve(Schedule(Kind.CONSTANT, 100), 1e-4, 50), [], 50, 10)
    tones = [part for text, part in lines[0][2:] if text != " "]
    assert tones == ["done"] * 25 + ["rest"] * 25


@given(
    st.integers(1, 3000).flatmap(lambda total: st.tuples(st.just(total), st.integers(0, total), st.integers(0, total))),
    st.integers(4, 120),
    st.integers(1, 30),
    st.sampled_from([0.0, 0.25, 1.0, 7.5, 1000.0]),
)
def test_any_schedule_fits_any_size(schedule: tuple[int, int, int], columns: int, rows: int, epoch: float) -> None:
    total, warmup, step = schedule
    curves = stored_curve(Schedule(Kind.COSINE, total, warmup), 1e-4, step)
    marks = [Mark(step, 1e-4, f"▲ {step}")]
    lines = text_of(plot_lines(curves, marks, columns, rows, steps_per_epoch=epoch))
    assert len(lines) == rows + 2
    assert {len(line) for line in lines} == {columns + 9}


class PlotApp(App[None]):
    """A plot and nothing else."""

    def compose(self) -> ComposeResult:
        yield SchedulePlot()


async def test_the_plot_follows_its_size_and_without_room_draws_nothing() -> None:
    async with PlotApp().run_test(size=(60, 12)) as pilot:
        pilot.app.query_one(SchedulePlot).show(stored_curve(Schedule(Kind.CONSTANT, 100), 1e-4, 50))
        await pilot.pause()
        assert screen_text(pilot.app).splitlines()[0].startswith("1.00e-4 ┤⠉⠉")
        await pilot.resize_terminal(10, 4)
        await pilot.pause()
        assert screen_text(pilot.app).split() == []
        await pilot.resize_terminal(40, 6)
        await pilot.pause()
        assert screen_text(pilot.app).splitlines()[-1].split() == ["0", "100"]


def test_stages_stand_on_one_axis_with_a_mark_at_each_seam() -> None:
    profile = parse_profile(
        'model.base = "x"\ndataset.sources = [{ path = "y" }]\n[schedule]\nkind = "constant"\n'
        "[[stages]]\nsteps = 100\nlr = 2e-4\n"
        '[[stages]]\nname = "fine"\nsteps = 50\nlr = 1e-4\nschedule = "linear"\n',
        folder=Path("/"),
    ).profile
    (first, second), (seam,) = profile_curve(profile)
    assert [(curve.first, curve.last) for curve in (first, second)] == [(0, 100), (100, 150)]
    assert [first.rate(99), second.rate(100), second.rate(125)] == pytest.approx([2e-4, 1e-4, 0.5e-4])
    assert (seam.step, seam.label) == (100, "fine")
    assert seam.rate == pytest.approx(1e-4)
    summary = summary_lines(profile).plain
    assert "rough" not in summary and "stage-1 2.00e-4 constant → fine 1.00e-4 linear" in summary
    assert "150 steps in 2 stages" in summary


@given(st.floats(0.05, 5000), st.integers(1, 100_000))
def test_epochs_are_marked_in_round_numbers_and_few(steps_per_epoch: float, last: int) -> None:
    found = epoch_ends(steps_per_epoch, last)
    epochs = [int(label.removeprefix("ep ")) for label in found.values()]
    assert len(epochs) <= EPOCHS
    assert all(abs(step - epoch * steps_per_epoch) <= 0.5 for step, epoch in zip(found, epochs, strict=True))
    assert all(epoch % epochs[0] == 0 for epoch in epochs)
    assert bool(epochs) == (last / steps_per_epoch >= 1 - 1e-9)
