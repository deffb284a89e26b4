"""Looking into a chart by keys: what is in sight, what the cursor says, and the axes in other units."""

from __future__ import annotations

import math
import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult

from engine.run.layout import RunDirectory
from engine.run.metrics import MetricPoint, MetricsLog
from sdxl_tui.fleet.across import Across, step_at, x_of
from sdxl_tui.fleet.run_history import Curve, RunHistory
from sdxl_tui.screens.run import RunScreen
from sdxl_tui.theme import CALM
from sdxl_tui.widgets.axis import Scale, log_ticks
from sdxl_tui.widgets.chart import GUTTER, band, line
from sdxl_tui.widgets.explored_chart import ExploredChart
from sdxl_tui.widgets.run_charts import Measured
from tests.sdxl_tui.app.conftest import OpenApp
from tests.sdxl_tui.app.run_field import NOW, RunField
from tests.sdxl_tui.app.screen_text import screen_lines, wait_for, wait_for_text


class ChartApp(App[None]):
    """One chart on the whole screen, in a border that carries what the cursor says."""

    CSS = "ExploredChart { border: round white; }"

    def __init__(self) -> None:
        super().__init__()
        self.register_theme(CALM)
        self.theme = CALM.name
        self.chart = ExploredChart()
        self.looked: list[tuple[float, float] | None] = []

    def compose(self) -> ComposeResult:
        yield self.chart

    def on_explored_chart_explored(self, event: ExploredChart.Explored) -> None:
        self.looked.append(event.chart.window)


def window(app: ChartApp) -> tuple[float, float] | None:
    return app.chart.window


async def test_zooming_halves_what_is_in_sight_towards_the_newest_and_0_shows_all() -> None:
    app = ChartApp()
    async with app.run_test(size=(60, 14)) as pilot:
        app.chart.show([line("loss", range(401), range(401), "$primary")])
        await pilot.press("+", "+")
        assert window(app) == (300.0, 400.0)
        await pilot.press("[")
        assert window(app) == (275.0, 375.0)
        await pilot.press("[", *["["] * 40)
        assert window(app) == (0.0, 100.0)
        await pilot.press("-")
        assert window(app) == (0.0, 200.0)
        await pilot.press("-")
        assert window(app) is None
        await pilot.press("+", "0")
        assert window(app) is None
        assert app.looked[-1] is None and (300.0, 400.0) in app.looked


async def test_the_value_axis_spans_what_is_in_sight() -> None:
    app = ChartApp()
    async with app.run_test(size=(60, 14)) as pilot:
        app.chart.show([line("loss", range(401), [1000.0] * 200 + [1.0] * 201, "$primary")])
        await pilot.pause()
        assert "1000" in "\n".join(screen_lines(app))
        await pilot.press("+", "+")
        await pilot.pause()
        assert "1000" not in "\n".join(screen_lines(app))


async def test_the_cursor_says_the_step_and_the_value_of_every_curve_below_it() -> None:
    app = ChartApp()
    async with app.run_test(size=(100, 14)) as pilot:
        steps = range(101)
        app.chart.show(
            [
                band("each step", [(float(step), step / 2, step * 2.0) for step in steps], "$primary"),
                line("average", steps, [step + 0.5 for step in steps], "$accent"),
                line("held out", [0, 50, 100], [9.0, 8.0, 7.0], "$success"),
            ],
            x_range=(0, 100),
        )
        await pilot.press("left")
        await pilot.pause()
        assert "step 100  each step 50 – 200  average 100.5  held out 7" in screen_lines(app)[-1]
        await pilot.press("H", "H")
        await pilot.pause()
        cursor = app.chart.cursor
        assert cursor is not None and 70 < cursor < 90
        at = math.floor(cursor)
        assert f"average {at + 0.5:.4g}  held out 8" in screen_lines(app)[-1]
        column = next(at for at, letter in enumerate(screen_lines(app)[1]) if at > GUTTER + 2 and letter == "│")
        assert abs((column - GUTTER - 2) / (98 - GUTTER - 2) * 100 - cursor) < 2
        await pilot.press("escape")
        await pilot.pause()
        assert "average" not in screen_lines(app)[-1]


async def test_the_cursor_takes_what_is_in_sight_along() -> None:
    app = ChartApp()
    async with app.run_test(size=(60, 14)) as pilot:
        app.chart.show([line("loss", range(401), range(401), "$primary")])
        await pilot.press("+", "+", "left", *["H"] * 8)
        assert app.chart.cursor is not None and app.chart.window is not None
        assert app.chart.window[0] <= app.chart.cursor < 300
        assert app.chart.window[1] - app.chart.window[0] == pytest.approx(100)


async def test_a_logarithmic_scale_gives_each_power_of_ten_the_same_room() -> None:
    app = ChartApp()
    async with app.run_test(size=(60, 32)) as pilot:
        app.chart.show([line("loss", range(4), [1.0, 0.1, 0.01, 0.001], "$primary")])
        await pilot.press("o")
        await pilot.pause()
        lines = screen_lines(app)
    rows = [
        next(at for at, row in enumerate(lines) if f" {text} ┤" in row) for text in ("1.0", "0.10", "0.010", "0.001")
    ]
    distances = [below - above for above, below in pairwise(rows)]
    assert max(distances) - min(distances) <= 1


async def test_nothing_above_0_is_said_instead_of_drawn_on_a_logarithmic_scale() -> None:
    app = ChartApp()
    async with app.run_test(size=(60, 14)) as pilot:
        app.chart.show([line("LR", range(4), [0.0, 0.0, -1.0, 0.0], "$primary")])
        await pilot.press("o")
        await pilot.pause()
        assert "Nothing was measured in this part" in "\n".join(screen_lines(app))


async def test_keys_on_a_chart_without_points_do_no_harm() -> None:
    app = ChartApp()
    async with app.run_test(size=(60, 14)) as pilot:
        await pilot.press("+", "-", "[", "]", "0", "o", "left", "right", "H", "L", "escape")
        app.chart.show([line("loss", [5], [1.0], "$primary")])
        await pilot.press("+", "-", "left", "right", "[", "]", "0", "o")
        await pilot.pause()


@given(low=st.floats(1e-12, 1e6), factor=st.floats(1.0001, 1e9), most=st.integers(2, 8))
def test_ticks_of_a_logarithmic_axis_lie_within_it_and_are_no_more_than_asked_for(
    low: float, factor: float, most: int
) -> None:
    ticks = log_ticks(low, low * factor, most)
    assert 1 <= len(ticks) <= most
    assert ticks == sorted(ticks)
    assert all(low * 0.999999 <= tick <= low * factor * 1.000001 for tick in ticks)


@given(value=st.floats(1e-6, 1e6))
def test_a_logarithmic_place_is_between_those_of_smaller_and_larger_values(value: float) -> None:
    scale = Scale(1e-6, 1e6, True)
    assert -1e-9 <= scale.share(value) <= 1 + 1e-9
    assert scale.share(value / 2) < scale.share(value) < scale.share(value * 2)
    assert math.isnan(scale.share(0.0)) and math.isnan(scale.share(-1.0))


def history_of(points: list[MetricPoint]) -> RunHistory:
    history = RunHistory(RunDirectory(Path("/nowhere")))
    for point in points:
        history.take(point)
    return history


def point(step: int, *, epoch: int = 1, time: float = 0.0, attempt: int = 1, **more: float) -> MetricPoint:
    return MetricPoint(step, attempt, epoch, time, 0.1, 0.1, {"unet": 1e-4}, **more)


def test_epochs_end_at_whole_numbers() -> None:
    history = history_of([point(step, epoch=(step - 1) // 6 + 1) for step in range(1, 19)])
    epochs = x_of(history, Across.EPOCH)
    assert [epochs(step) for step in (0, 3, 6, 12, 18)] == [0.0, 0.5, 1.0, 2.0, 3.0]
    assert epochs(24) == 4.0, "steps to come go on as the last ones did"


def test_time_is_what_was_trained_without_what_lies_between_two_attempts() -> None:
    first = [point(step, time=1000.0 + step * 2, step_seconds=2.0) for step in range(1, 6)]
    second = [point(step, time=9000.0 + step * 2, attempt=2, step_seconds=2.0) for step in range(4, 9)]
    seconds = x_of(history_of([*first, *second]), Across.TIME)
    assert [seconds(step) for step in (0, 1, 3, 4, 8)] == [0.0, 2.0, 6.0, 8.0, 16.0]
    assert seconds(10) == pytest.approx(20.0)


def test_a_clock_that_is_set_back_does_not_turn_time_round() -> None:
    history = history_of([point(step, time=1000.0 - step * 50, step_seconds=1.0) for step in range(1, 9)])
    seconds = x_of(history, Across.TIME)
    places = [seconds(step) for step in range(9)]
    assert places == sorted(places)


@given(st.data())
def test_the_step_at_a_place_is_the_first_that_stands_there_or_later(data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, 1000))
    noise, points, epoch = random.Random(seed), [], 1
    for step in range(1, data.draw(st.integers(2, 60))):
        epoch += noise.random() < 0.2
        points.append(point(step, epoch=epoch, time=step * noise.random() * 9, step_seconds=0.5))
    history = history_of(points)
    last = points[-1].step
    across = data.draw(st.sampled_from(list(Across)))
    place = x_of(history, across)
    asked = data.draw(st.integers(0, last))
    found = step_at(history, across, place(asked), last)
    assert place(found) == pytest.approx(place(asked))
    assert found <= asked


@given(st.integers(1, 3000), st.integers(1, 200), st.data())
def test_a_part_has_every_extreme_of_its_steps(count: int, most: int, data: st.DataObject) -> None:
    noise = random.Random(count)
    curve = Curve()
    for step in range(1, count + 1):
        curve.add(step, noise.random())
    first = data.draw(st.integers(0, count))
    last = data.draw(st.integers(first, count + 5))
    found = curve.spans_between(first, last, most)
    inside = [value for step, value in zip(curve.steps, curve.values, strict=True) if first <= step <= last]
    if inside:
        assert min(low for _, low, _ in found) <= min(inside)
        assert max(high for _, _, high in found) >= max(inside)


async def test_a_runs_page_changes_unit_and_curve_and_keeps_its_other_keys(runs: RunField, open_app: OpenApp) -> None:
    run = runs.run("fox", state="training", step=200, total=400)
    runs.history(run, 200)
    app = open_app(run.id)
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for_text(pilot, "average")
        await pilot.press("u")
        await wait_for_text(pilot, "ep 4")
        await pilot.press("u")
        await wait_for_text(pilot, "min")
        screen = app.screen
        assert isinstance(screen, RunScreen) and screen.measured is Measured.LOSS
        await pilot.press("m")
        await pilot.pause()
        assert screen.measured is Measured.LOSS, "nothing else was measured in this run"
        log = MetricsLog(run.metrics)
        log.write(point(201, time=NOW, grad_norm=0.5))
        log.close()
        await wait_for(pilot, lambda: len(screen._data.history.grad_norm) > 0)
        await pilot.press("m")
        await wait_for_text(pilot, "Gradient norm")
