"""The curves of the run under the cursor, below the table of runs where the terminal is high enough."""

from __future__ import annotations

from typing import Final

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.timer import Timer
from textual.worker import get_current_worker

from sdxl_tui.fleet.run_page import RunCurves, curves_of
from sdxl_tui.fleet.runs import RunSummary
from sdxl_tui.widgets.run_charts import loss_chart, rate_chart, show_loss, show_rate, title_charts, title_rate

REST_SECONDS: Final = 0.12
"""The cursor rests this long on a run before its curves are read."""
KEPT: Final = 12
"""Runs whose curves stay in memory."""


class RunPreview(Horizontal):
    """``show`` names the run, and is called again whenever something of it changed."""

    DEFAULT_CSS = """
    RunPreview { height: 13; }
    RunPreview .panel { border: round $border-blurred; border-title-color: $foreground 60%; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._loss = loss_chart()
        self._rate = rate_chart()
        for chart in (self._loss, self._rate):
            chart.can_focus = False
        self._run: RunSummary | None = None
        self._curves: dict[str, RunCurves] = {}
        self._resting: Timer | None = None
        self._reading = False
        self._drawn: str | None = None

    def compose(self) -> ComposeResult:
        title_charts(self._loss, self._rate)
        yield self._loss
        yield self._rate

    def show(self, run: RunSummary | None) -> None:
        """Draw this run's curves, once the cursor rests."""
        self._run = run
        if run is None or not self.region.height:
            return
        if not self._reading and run.id in self._curves and run.id != self._drawn:
            self._draw(run.id)
        if self._resting is None:
            self._resting = self.set_timer(REST_SECONDS, self._rested)

    def _rested(self) -> None:
        self._resting = None
        if self._run is not None and not self._reading:
            self._reading = True
            self._read(self._run, self._curves_of(self._run))

    def _curves_of(self, run: RunSummary) -> RunCurves:
        """Of a run, the ones looked at last being kept."""
        curves = self._curves.pop(run.id, None) or curves_of(run, brief=True)
        self._curves[run.id] = curves
        while len(self._curves) > KEPT:
            del self._curves[next(iter(self._curves))]
        return curves

    @work(thread=True, group="preview")
    def _read(self, run: RunSummary, curves: RunCurves) -> None:
        changed = curves.poll()
        if not get_current_worker().is_cancelled:
            self.app.call_from_thread(self._have_read, run, bool(changed))

    def _have_read(self, run: RunSummary, has_changed: bool) -> None:
        self._reading = False
        if self._run is None:
            return
        if self._run.id != run.id:
            self._rested()  # the cursor moved on meanwhile
        elif has_changed or self._drawn != run.id:
            self._draw(run.id)

    def _draw(self, run_id: str) -> None:
        curves = self._curves[run_id]
        self._drawn = run_id
        title_rate(self._rate, is_planned=self._run is None or self._run.watched is None)
        show_loss(self._loss, curves.history)
        show_rate(self._rate, curves.history, curves.plan, self._run.total_steps if self._run else 0)
