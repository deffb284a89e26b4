"""The curves of a run: what was measured, by step, epoch or time, and the learning rate as used and as planned."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from textual.content import Content

from sdxl_tui.fleet.across import Across, Map, step_at, time_unit, x_of
from sdxl_tui.fleet.run_history import Curve, RunHistory, Span
from sdxl_tui.fleet.run_page import Plan
from sdxl_tui.terminal.numbers import format_count, format_duration, format_lr
from sdxl_tui.widgets.axis import decimal_text, rate_text, widened
from sdxl_tui.widgets.chart import LineChart, Series, VLine, band, line, step_text
from sdxl_tui.widgets.explored_chart import ExploredChart, plain_text

RAW: Final = "$foreground 25%"
RAW_LEGEND: Final = "$foreground 45%"
AVERAGE: Final = "$primary"
HELD_OUT: Final = "$accent"
USED: Final = "$success"
PLANNED: Final = "$success 40%"
SEAM: Final = "$warning 80%"
PLANNED_POINTS: Final = 400
GROUP_STYLES: Final = (USED, "$accent", "$warning", "$secondary")


class Measured(StrEnum):
    """What the chart on the left shows."""

    LOSS = "Loss"
    GRAD_NORM = "Gradient norm"
    SPEED = "Steps a second"
    MEMORY = "GPU memory, MB"


def next_measured(what: str, history: RunHistory) -> str:
    """After ``what``, the next that was measured in the run: one of ``Measured``, or another scalar by its name."""
    kinds: list[str] = [kind for kind in Measured if kind is Measured.LOSS or len(_curve(history, kind))]
    kinds += [name for name, curve in history.others.items() if len(curve)]
    return kinds[(kinds.index(what) + 1) % len(kinds)] if what in kinds else Measured.LOSS


@dataclass(frozen=True)
class XAxis:
    """The x axis of a run's charts."""

    across: Across
    place: Map
    """Of a step."""
    text: Callable[[float], str]
    """Writes a label, in units."""
    says: Callable[[float], str]
    """Writes a place, as the cursor names it."""
    unit: float = 1.0
    steps: tuple[float, float] | None = None
    """The steps that are looked at; None: all."""

    def placed(self, spans: list[Span]) -> list[Span]:
        """Spans by step as spans by x."""
        if self.across is Across.STEP:
            return spans
        return [(self.place(step), low, high) for step, low, high in spans]

    def of(self, curve: Curve) -> list[Span]:
        """What there is to draw of a curve."""
        return self.placed(curve.spans() if self.steps is None else curve.spans_between(*self.steps))


def x_axis(history: RunHistory, across: Across = Across.STEP, window: tuple[float, float] | None = None) -> XAxis:
    """The axis of a run in a unit. window: the part of it that is looked at, in that unit."""
    place = x_of(history, across)
    last = history.last.step if history.last else 0
    steps: tuple[float, float] | None = None
    if window is not None:
        first, end = (step_at(history, across, x, last) for x in window)
        steps = (first, end)

    def says(x: float) -> str:
        step = round(x) if across is Across.STEP else step_at(history, across, x, last)
        words = f"step {format_count(step)}"
        if across is Across.EPOCH:
            return f"{words}, epoch {x:.2f}"
        return f"{words}, {format_duration(x)}" if across is Across.TIME else words

    if across is Across.STEP:
        return XAxis(across, place, step_text, says, steps=steps)
    if across is Across.EPOCH:
        return XAxis(across, place, lambda x: f"ep {x:.3g}", says, steps=steps)
    size, name = time_unit(place(last))
    return XAxis(across, place, lambda x: f"{x:.3g} {name}", says, size, steps)


NO_LOSS_YET: Final = "The loss appears with the first step"
NO_RATE_YET: Final = "The schedule is not known yet"
NO_LOSS: Final = "No scalar of it is known as the loss"
"""Of another trainer's, which logs others."""
NO_RATE: Final = "No scalar of it is known as the rate"


def loss_chart() -> ExploredChart:
    """The loss of each step dim, its running average bright."""
    chart = ExploredChart(y_text=decimal_text, empty=NO_LOSS_YET, id="loss", classes="panel")
    chart.value_text = plain_text
    return chart


def rate_chart() -> ExploredChart:
    """The learning rate used so far bright, the rest of the schedule dim."""
    chart = ExploredChart(y_text=rate_text, y_from_zero=True, empty=NO_RATE_YET, id="rate", classes="panel")
    chart.value_text = format_lr
    return chart


def title_charts(loss: LineChart, rate: LineChart) -> None:
    """Name the curves in their colours."""
    loss.border_title = Content.assemble("Loss  ", ("each step", RAW_LEGEND), "  ", ("average", AVERAGE))
    title_rate(rate)


def title_rate(rate: LineChart, *, is_planned: bool = True) -> None:
    """Name its curves; nobody knows the plan of some runs of others."""
    title = Content.assemble("LR  ", ("used", USED))
    rate.say_above(title + Content.assemble("  ", ("planned", PLANNED)) if is_planned else title)


def show_loss(chart: LineChart, history: RunHistory, axis: XAxis | None = None) -> None:
    """Draw what is measured so far, on an axis that ends a little after the newest step, so that it seldom moves."""
    axis = axis or x_axis(history)
    series = [
        band("each step", axis.of(history.loss), RAW),
        Series("average", middles(axis.of(history.loss_avg)), AVERAGE),
    ]
    title = Content.assemble("Loss  ", ("each step", RAW_LEGEND), "  ", ("average", AVERAGE))
    if len(history.validation):
        series.append(Series("held out", middles(axis.placed(history.validation.spans())), HELD_OUT))
        title += Content.assemble("  ", ("held out", HELD_OUT))
    chart.say_above(title)
    _show(chart, history, axis, series)


def show_measured(chart: LineChart, history: RunHistory, axis: XAxis, what: str) -> None:
    """Draw one of the things that were measured, instead of the loss."""
    if what == Measured.LOSS:
        show_loss(chart, history, axis)
        return
    chart.say_above(Content(str(what)))
    spans = axis.placed(_curve(history, what).spans()) if what in history.others else axis.of(_curve(history, what))
    name = what.partition(",")[0].lower() if isinstance(what, Measured) else what
    _show(chart, history, axis, [band(name, spans, AVERAGE)])


def _show(chart: LineChart, history: RunHistory, axis: XAxis, series: list[Series]) -> None:
    steps = widened(0, max(history.last.step, 10), 0.06) if history.last else None
    _say_below(chart, axis)
    chart.show(
        series,
        v_lines=_seams(history, axis),
        x_range=None if steps is None else (axis.place(0), axis.place(steps[1])),
        x_text=axis.text,
        x_unit=axis.unit,
        empty=NO_LOSS if history.last and history.others else NO_LOSS_YET,
    )


def show_rate(
    chart: LineChart, history: RunHistory, plan: Plan | None, total_steps: int, axis: XAxis | None = None
) -> None:
    """Draw the rate of each step on an axis of all steps, and what the schedule says about those to come."""
    axis = axis or x_axis(history)
    series: list[Series] = []
    done = history.last.step if history.last else 0
    if plan is not None:
        planned = planned_series(plan, history)
        series.append(Series(planned.name, axis.placed(list(planned.spans)), planned.style))
        total_steps = max(total_steps, plan.schedule.total_steps)
    styles = dict(zip(history.lr, GROUP_STYLES, strict=False))
    series += [Series(group, middles(axis.of(curve)), styles.get(group, USED)) for group, curve in history.lr.items()]
    _say_below(chart, axis)
    chart.show(
        series,
        v_lines=_seams(history, axis),
        x_range=(axis.place(0), axis.place(max(total_steps, done, 1))),
        x_text=axis.text,
        x_unit=axis.unit,
        empty=NO_RATE if history.last and history.others else NO_RATE_YET,
    )


def planned_series(plan: Plan, history: RunHistory, start: int = 0) -> Series:
    """The rates of the steps to come. start: steps on the axis before the run's first."""
    done, last = history.last.step if history.last else 0, plan.schedule.total_steps
    # The step after ``step`` done ones is number ``step + 1``: the metrics name a rate by the step that used it.
    places = sorted({*range(0, last, max(1, last // PLANNED_POINTS)), last - 1})
    to_come = [step for step in places if step >= done]
    base_lr = _base_to_come(plan, history, done)
    rates = [plan.schedule.lr(step, base_lr) for step in to_come]
    return line("planned", [start + step + 1 for step in to_come], rates, PLANNED)


def _base_to_come(plan: Plan, history: RunHistory, done: int) -> float:
    """The base rate of the planned curve: that of the newest rate, which may have been scaled, or found by the optimizer."""
    factor = plan.schedule.factor(done - 1) if done else 0.0
    if not factor or history.last is None or not history.last.lr:
        return plan.base_lr
    return next(iter(history.last.lr.values())) / factor


def _curve(history: RunHistory, what: str) -> Curve:
    curves: dict[str, Curve] = history.others | {
        Measured.LOSS: history.loss,
        Measured.GRAD_NORM: history.grad_norm,
        Measured.SPEED: history.speed,
        Measured.MEMORY: history.memory,
    }
    return curves[what]


def middles(spans: list[Span]) -> list[Span]:
    """Of groups, the middle as both their values: a line."""
    return [(x, (low + high) / 2, (low + high) / 2) for x, low, high in spans if not math.isnan(x)]


def _say_below(chart: LineChart, axis: XAxis) -> None:
    if isinstance(chart, ExploredChart):
        chart.x_says = axis.says


def _seams(history: RunHistory, axis: XAxis) -> list[VLine]:
    label = "resumed" if len(history.resumes) <= 3 else ""
    return [VLine(axis.place(step), label, SEAM) for step in history.resumes]
