"""Charts: no spike is lost, gaps stay gaps, axes are written as people read them, and only what differs is painted."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult
from textual.geometry import Region

from sdxl_tui.theme import CALM
from sdxl_tui.widgets.axis import decimal_text, rate_text, round_ticks
from sdxl_tui.widgets.chart import GUTTER, LineChart, VLine, band, line, values_by_dot_column
from tests.sdxl_tui.app.screen_text import screen_lines

BLANK = 0x2800


class ChartApp(App[None]):
    """One chart on the whole screen."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.register_theme(CALM)
        self.theme = CALM.name
        self.chart = LineChart(**options)

    def compose(self) -> ComposeResult:
        yield self.chart


def is_dotted(letter: str) -> bool:
    return BLANK < ord(letter) <= BLANK + 0xFF


async def test_one_spike_among_ten_thousand_steps_reaches_the_top() -> None:
    spans = [(float(step), 0.1, 0.1) for step in range(10_000)]
    spans[5000] = (5000.0, 0.1, 9.0)
    app = ChartApp()
    async with app.run_test(size=(60, 14)) as pilot:
        app.chart.show([band("raw", spans, "$primary")])
        await pilot.pause()
        top = screen_lines(app)[0][GUTTER + 1 :]
    dotted = [at for at, letter in enumerate(top) if is_dotted(letter)]
    assert dotted and abs(dotted[0] - len(top) / 2) <= 1


async def test_a_line_is_broken_where_a_value_is_missing() -> None:
    app = ChartApp()
    async with app.run_test(size=(50, 10)) as pilot:
        ys = [1.0 if step < 40 or step > 60 else None for step in range(101)]
        app.chart.show([line("loss", range(101), ys, "$primary")])
        await pilot.pause()
        row = next(text[GUTTER + 1 :] for text in screen_lines(app) if any(map(is_dotted, text)))
    middle = len(row) // 2
    assert not is_dotted(row[middle])
    assert is_dotted(row[2]) and is_dotted(row[-3])


async def test_rates_are_written_with_their_exponent_and_steps_with_thousands() -> None:
    app = ChartApp(y_text=rate_text, y_from_zero=True)
    async with app.run_test(size=(80, 14)) as pilot:
        app.chart.show([line("LR", range(2001), [1e-4] * 2001, "$success")], x_range=(0, 2000))
        await pilot.pause()
        text = "\n".join(screen_lines(app))
    assert "1.0e-4 ┤" in text
    assert " 0 ┤" in text
    assert "1,000" in text and "2,000" in text


async def test_a_vertical_line_carries_its_label() -> None:
    app = ChartApp()
    async with app.run_test(size=(60, 12)) as pilot:
        app.chart.show([line("loss", range(11), range(11), "$primary")], v_lines=[VLine(2, "resumed")])
        await pilot.pause()
        lines = screen_lines(app)
    column = lines[0].index("resumed") - 1
    assert sum(text[column] == "┊" for text in lines) >= 5


async def test_without_points_it_says_so() -> None:
    app = ChartApp(empty="Nothing measured yet")
    async with app.run_test(size=(60, 12)) as pilot:
        app.chart.show([line("loss", [], [], "$primary")])
        await pilot.pause()
        assert "Nothing measured yet" in "\n".join(screen_lines(app))


@pytest.mark.parametrize("size", [(3, 2), (10, 3), (14, 5), (200, 50)])
async def test_no_size_is_too_small_or_too_large(size: tuple[int, int]) -> None:
    app = ChartApp()
    async with app.run_test(size=size) as pilot:
        app.chart.show([line("loss", [1, 2], [0.0, math.inf], "$primary")], v_lines=[VLine(1, "a long label")])
        await pilot.pause()
        assert all(len(text) == size[0] for text in screen_lines(app))


async def test_a_new_point_paints_only_cells_that_differ() -> None:
    app = ChartApp()
    async with app.run_test(size=(80, 20)) as pilot:
        ys = [float(step % 7) for step in range(60)]
        app.chart.show([line("loss", range(60), ys, "$primary")], x_range=(0, 100))
        await pilot.pause()
        painted: list[Region] = []

        def note(*regions: Region, **_: bool) -> LineChart:
            painted.extend(regions)
            return app.chart

        app.chart.refresh = note  # type: ignore[method-assign]
        app.chart.show([line("loss", range(60), ys, "$primary")], x_range=(0, 100))
        assert painted == []
        app.chart.show([line("loss", range(61), [*ys, 3.0], "$primary")], x_range=(0, 100))
        assert 1 <= sum(region.area for region in painted) <= 12


@given(
    points=st.lists(st.tuples(st.integers(0, 500), st.floats(-1e3, 1e3)), min_size=1, max_size=80),
    width=st.integers(2, 60),
)
def test_a_bands_columns_hold_the_lowest_and_highest_of_their_points(
    points: list[tuple[int, float]], width: int
) -> None:
    points.sort(key=lambda point: point[0])
    per_x = (width - 1) / 500
    found = values_by_dot_column(band("raw", [(x, y, y) for x, y in points], ""), 0, per_x, width)
    by_column: dict[int, list[float]] = {}
    for x, y in points:
        by_column.setdefault(round(x * per_x), []).append(y)
    assert found == [(column, min(ys), max(ys)) for column, ys in sorted(by_column.items())]


@given(low=st.floats(-1e6, 1e6), extent=st.floats(1e-3, 1e6), most=st.integers(1, 20))
def test_ticks_are_round_evenly_spaced_and_within_the_range(low: float, extent: float, most: int) -> None:
    high = low + extent
    ticks = round_ticks(low, high, most)
    assert 1 <= len(ticks) <= max(1, most)
    if len(ticks) > 1:
        distance = ticks[1] - ticks[0]
        power = 10 ** math.floor(math.log10(distance) + 1e-6)
        assert min(abs(distance / power - factor) for factor in (1, 2, 5, 10)) < 1e-3
        slack = extent * 1e-6
        assert all(low - slack <= tick <= high + slack for tick in ticks)


@pytest.mark.parametrize(
    ("value", "distance", "text"),
    [(0.15, 0.05, "0.15"), (0.1, 0.1, "0.1"), (0.125, 0.025, "0.12"), (3, 1, "3"), (250_000, 50_000, "2e5")],
)
def test_a_loss_has_the_decimals_its_axis_needs(value: float, distance: float, text: str) -> None:
    assert decimal_text(value, distance) == text
