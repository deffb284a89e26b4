"""Runs over each other: loss, held-out loss and learning rate in one chart each, and a table of how they did and what differs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Grid, VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.widget import Widget
from textual.widgets import Static
from textual.worker import get_current_worker

from sdxl_tui.fleet.across import Across
from sdxl_tui.fleet.run_comparison import Figures, SettingsCompared, compare_settings, figures_of
from sdxl_tui.fleet.run_marks import RunMarks
from sdxl_tui.fleet.run_page import RunCurves, curves_of
from sdxl_tui.screens.place import PlaceName
from sdxl_tui.screens.reading import ReadingPlace
from sdxl_tui.terminal.numbers import format_loss, format_lr
from sdxl_tui.widgets.axis import decimal_text, rate_text, spread_range
from sdxl_tui.widgets.chart import Series
from sdxl_tui.widgets.explored_chart import ExploredChart
from sdxl_tui.widgets.run_cells import run_style
from sdxl_tui.widgets.run_charts import XAxis, middles, x_axis
from sdxl_tui.widgets.run_table import ComparedRun, figures_table, settings_table

if TYPE_CHECKING:
    from sdxl_tui.fleet.runs import RunSummary
    from sdxl_tui.workspace import Workspace

LOOK_SECONDS: Final = 2.0
LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CHARTS: Final = {"loss": "Loss, averaged", "held-out": "Held-out loss", "rate": "LR"}


def letter_of(at: int) -> str:
    """``A``, ``B`` … ``Z``, ``A2``."""
    again, letter = divmod(at, len(LETTERS))
    return LETTERS[letter] + (str(again + 1) if again else "")


class CompareRunsPage(ReadingPlace):
    """``run_ids`` in the order in which they were marked; the colours are those of ``marks``."""

    place: ClassVar[PlaceName] = PlaceName.RUNS
    topic: ClassVar[str] = "Comparing runs"
    about: ClassVar[tuple[str, ...]] = (
        "Each run has a colour and a letter, the same in every chart and table. The loss is the running average of 100 steps; "
        "LOWEST is its lowest value and the step it was measured at, not counting the first 100 steps. The best of each column "
        "stands out.",
        "Below: the settings of the profiles that are not the same everywhere, each value with the letters of the runs that "
        "have it.",
        "u counts epochs or time trained instead of steps, in which runs of other batch sizes or speeds can be compared. In a "
        "chart: ← → a cursor with everybody's values, + - zoom, [ ] pan, 0 all, o logarithmic scale.",
    )
    DEFAULT_CSS = """
    CompareRunsPage {
        #grid { height: 1fr; grid-size: 1; grid-rows: 3fr 2fr; }
        .panel {
            border: round $border-blurred; border-title-color: $foreground 60%; border-subtitle-color: $foreground 50%;
            width: 1fr; height: 1fr;
        }
        .panel:focus { border: round $primary; border-title-color: $foreground; }
        ExploredChart { display: none; }
        &.-loss #loss, &.-held-out #held-out, &.-rate #rate { display: block; }
        #tables { padding: 0 1; height: 1fr; scrollbar-size-vertical: 1; }
        #tables Static { height: auto; }
        #figures { margin-bottom: 1; }
        &.-wide #grid { grid-size: 3; grid-rows: 3fr 2fr; }
        &.-wide ExploredChart { display: block; }
        &.-wide #tables { column-span: 3; }
        #grid.-zoomed { layout: vertical; }
        #grid.-zoomed > * { display: none; }
        #grid.-zoomed > .-zoomed { display: block; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "chart", "Next chart"),
        Binding("u", "across", "Step, epoch, time"),
        Binding("z", "zoom", "Zoom"),
        Binding("J", "scroll(1)", "Scroll the tables", show=False),
        Binding("K", "scroll(-1)", "Scroll the tables back", show=False),
        Binding("escape", "leave", "Back"),
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (150, "-wide")]  # noqa: RUF012 - Textual declares it so
    AUTO_FOCUS: ClassVar[str | None] = "#loss"

    def __init__(self, workspace: Workspace, runs: Sequence[RunSummary], marks: RunMarks) -> None:
        super().__init__(workspace)
        self._runs = {run.id: run for run in runs}
        self._styles = {run.id: run_style(marks.colour_of(run.id)) for run in runs}
        self._curves = {run.id: curves_of(run) for run in runs}
        self._figures: dict[str, Figures] = {}
        self._settings = SettingsCompared((), 0, ())
        self._settings_read = False
        self.across = Across.STEP
        """The unit of the x axes."""
        self.chart = "loss"
        """The chart that is shown where there is room for one."""
        self._charts = {
            name: ExploredChart(
                y_text=rate_text if name == "rate" else decimal_text,
                y_from_zero=name == "rate",
                empty="Reading …",
                id=name,
                classes="panel",
            )
            for name in CHARTS
        }
        for name, chart in self._charts.items():
            chart.value_text = format_lr if name == "rate" else format_loss
        self._figures_text, self._settings_text = Static(id="figures"), Static(id="settings")

    def compose_body(self) -> Iterable[Widget]:
        tables = VerticalScroll(self._figures_text, self._settings_text, id="tables", classes="panel")
        tables.border_title = Content("Runs")
        yield Grid(*self._charts.values(), tables, id="grid")

    def on_mount(self) -> None:
        """Read the runs, and follow those that train."""
        self._show_chart()
        self.watch(self.app, "runs", self._take_runs)
        self.read_every(LOOK_SECONDS)

    def _take_runs(self, runs: Sequence[RunSummary] | None) -> None:
        self._runs |= {run.id: run for run in runs or () if run.id in self._runs}

    # Reading

    def read_and_show(self) -> None:
        worker = get_current_worker()
        if not self._settings_read:
            self._settings = compare_settings(list(self._runs.values()))
            self._settings_read = True
        caught_up = False
        changed = False
        while not caught_up and not worker.is_cancelled:
            for run_id, curves in self._curves.items():
                if curves.poll() or run_id not in self._figures:
                    self._figures[run_id] = figures_of(curves.history)
                    changed = True
            caught_up = all(curves.history.caught_up for curves in self._curves.values())
            if changed and not worker.is_cancelled:
                self.app.call_from_thread(self._show)
                changed = False

    def _draw_soon(self) -> None:
        """At once, or when the look that is under way has ended: the curves are read by one thread at a time."""
        if self._reading:
            self.set_timer(0.03, self._draw_soon)
        else:
            self._show()

    # Showing

    def _show(self) -> None:
        for name, chart in self._charts.items():
            self._draw(name, chart)
        self._write_tables()

    def _draw(self, name: str, chart: ExploredChart) -> None:
        axes = {run_id: x_axis(curves.history, self.across, chart.window) for run_id, curves in self._curves.items()}
        series = []
        for at, (run_id, curves) in enumerate(self._curves.items()):
            history, axis = curves.history, axes[run_id]
            first_rate = next(iter(history.lr.values()), None)
            measured = {"loss": history.loss_avg, "held-out": history.validation, "rate": first_rate}[name]
            if measured is None or not len(measured):
                continue
            spans = axis.placed(measured.spans()) if name == "held-out" else axis.of(measured)
            series.append(Series(letter_of(at), middles(spans), self._styles[run_id]))
        # The axis of the run that trained longest names the places of all.
        longest = max(axes, key=lambda run_id: _end(self._curves[run_id], axes[run_id]))
        axis = axes[longest]
        chart.x_says = axis.says
        ends = spread_range([0.0, *(_end(self._curves[run_id], axes[run_id]) for run_id in axes)])
        empty = "No run has measured held-out images" if name == "held-out" else "Nothing has been measured yet"
        chart.show(series, x_range=ends, x_text=axis.text, x_unit=axis.unit, empty=empty)
        chart.border_title = Content.assemble(
            CHARTS[name],
            *((f"  {letter_of(at)}", f"bold {self._styles[run_id]}") for at, run_id in enumerate(self._curves)),
        )

    def _write_tables(self) -> None:
        width = self.query_one("#tables").content_size.width
        compared = self._compared()
        if not compared:
            return
        self._figures_text.update(figures_table(compared, width))
        self._settings_text.update(settings_table(compared, self._settings, width))

    def _compared(self) -> list[ComparedRun]:
        return [
            ComparedRun(self._runs[run_id], self._figures[run_id], letter_of(at), self._styles[run_id])
            for at, run_id in enumerate(self._curves)
            if run_id in self._figures
        ]

    def on_resize(self, event: Resize) -> None:
        """The tables follow the width."""
        self.call_after_refresh(self._draw_soon)
        self.call_after_refresh(self.refresh_bindings)

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done."""
        return not self.has_class("-wide") if action == "chart" else True

    def action_chart(self) -> None:
        """The next of the charts that share a place."""
        names = list(CHARTS)
        self.chart = names[(names.index(self.chart) + 1) % len(names)]
        zoomed = self.query_one("#grid").has_class("-zoomed")
        if zoomed:
            self.action_zoom()
        self._show_chart()
        self._charts[self.chart].focus()
        if zoomed:
            self.call_after_refresh(self.action_zoom)

    def _show_chart(self) -> None:
        for name in CHARTS:
            self.set_class(name == self.chart, f"-{name}")

    def action_across(self) -> None:
        """The x axes count steps, epochs or the time trained."""
        self.across = self.across.next
        for chart in self._charts.values():
            chart.look_whole()
        self._draw_soon()

    @on(ExploredChart.Explored)
    def _look_closer(self) -> None:
        """A part has more detail than the whole has room for."""
        self._draw_soon()

    def action_scroll(self, by: int) -> None:
        """The tables, whatever has the focus."""
        self.query_one("#tables").scroll_relative(y=by * 3, animate=False)

    def action_zoom(self) -> None:
        """The part in focus takes the whole page, or gives it back."""
        grid = self.query_one("#grid")
        zoomed = grid.has_class("-zoomed")
        for part in grid.children:
            part.set_class(not zoomed and part is self.focused, "-zoomed")
        grid.set_class(not zoomed and self.focused is not None, "-zoomed")

    async def action_leave(self) -> None:
        """Give a zoomed part's place back; else go back."""
        if self.query_one("#grid").has_class("-zoomed"):
            self.action_zoom()
        else:
            await self.run_action("app.back")


def _end(curves: RunCurves, axis: XAxis) -> float:
    last = curves.history.last
    return axis.place(last.step) if last else 0.0
