"""The two curves of a run's page: the loss as measured, and the learning rate as used and as planned."""

from __future__ import annotations

from typing import Final

from textual.content import Content

from sdxl_tui.fleet.run_history import Curve, RunHistory
from sdxl_tui.fleet.run_page import Plan
from sdxl_tui.widgets.axis import decimal_text, rate_text, widened
from sdxl_tui.widgets.chart import LineChart, Series, VLine, band, line

RAW: Final = "$foreground 25%"
RAW_LEGEND: Final = "$foreground 45%"
AVERAGE: Final = "$primary"
HELD_OUT: Final = "$accent"
USED: Final = "$success"
PLANNED: Final = "$success 40%"
SEAM: Final = "$warning 80%"
PLANNED_POINTS: Final = 400
GROUP_STYLES: Final = (USED, "$accent", "$warning", "$secondary")


def loss_chart() -> LineChart:
    """The loss of each step dim, its running average bright."""
    chart = LineChart(y_text=decimal_text, empty="The loss appears with the first step", id="loss", classes="panel")
    chart.can_focus = True  # to be zoomed
    return chart


def rate_chart() -> LineChart:
    """The learning rate used so far bright, the rest of the schedule dim."""
    chart = LineChart(
        y_text=rate_text, y_from_zero=True, empty="The schedule is not known yet", id="rate", classes="panel"
    )
    chart.can_focus = True
    return chart


def title_charts(loss: LineChart, rate: LineChart) -> None:
    """Name the curves in their colours."""
    loss.border_title = Content.assemble("Loss  ", ("each step", RAW_LEGEND), "  ", ("average", AVERAGE))
    rate.border_title = Content.assemble("LR  ", ("used", USED), "  ", ("planned", PLANNED))


def show_loss(chart: LineChart, history: RunHistory) -> None:
    """Draw what is measured so far, on an axis that ends a little after the newest step, so that it seldom moves."""
    series = [band("raw", history.loss.spans(), RAW), line_of(history.loss_avg, "average", AVERAGE)]
    if len(history.validation):
        series.append(line_of(history.validation, "held out", HELD_OUT))
        chart.border_title = Content.assemble(
            "Loss  ", ("each step", RAW_LEGEND), "  ", ("average", AVERAGE), "  ", ("held out", HELD_OUT)
        )
    chart.show(
        series, v_lines=_seams(history), x_range=widened(0, max(history.last.step, 10), 0.06) if history.last else None
    )


def show_rate(chart: LineChart, history: RunHistory, plan: Plan | None, total_steps: int) -> None:
    """Draw the rate of each step on an axis of all steps, and what the schedule says about those to come."""
    series: list[Series] = []
    done = history.last.step if history.last else 0
    if plan is not None:
        series.append(planned_series(plan, history))
        total_steps = max(total_steps, plan.schedule.total_steps)
    styles = dict(zip(history.lr, GROUP_STYLES, strict=False))
    series += [line_of(curve, group, styles.get(group, USED)) for group, curve in history.lr.items()]
    chart.show(series, v_lines=_seams(history), x_range=(0, max(total_steps, done, 1)))


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


def line_of(curve: Curve, name: str, style: str) -> Series:
    """A curve's middle values."""
    return Series(name, curve.means(), style)


def _seams(history: RunHistory) -> list[VLine]:
    return [VLine(step, "resumed" if len(history.resumes) <= 3 else "", SEAM) for step in history.resumes]
