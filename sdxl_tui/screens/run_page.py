"""The page of a run as far as it is the same for runs of ours and watched ones: head, loss, learning rate, and panes below them.

In a small terminal the panes share a place. What a page reads, and what its panes show, is the subclass's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Grid
from textual.content import Content
from textual.events import Resize
from textual.widget import Widget
from textual.worker import get_current_worker

from sdxl_tui.fleet.across import Across
from sdxl_tui.fleet.run_marks import RunMarks
from sdxl_tui.fleet.run_page import RunCurves
from sdxl_tui.fleet.runs import RunSummary
from sdxl_tui.screens.place import PlaceName
from sdxl_tui.screens.reading import ReadingPlace
from sdxl_tui.screens.run_place import RunPlace
from sdxl_tui.terminal.clean import clean
from sdxl_tui.widgets.explored_chart import ExploredChart
from sdxl_tui.widgets.painted import Row
from sdxl_tui.widgets.run_cells import run_style
from sdxl_tui.widgets.run_charts import (
    Measured,
    loss_chart,
    next_measured,
    rate_chart,
    show_measured,
    show_rate,
    title_charts,
    x_axis,
)
from sdxl_tui.widgets.run_header import RunHeader

if TYPE_CHECKING:
    from sdxl_tui.workspace import Workspace

LOOK_SECONDS: Final = 1.0
READ_ON_SECONDS: Final = 0.05
"""Between two looks while there is more to read."""


class RunPage(ReadingPlace, RunPlace):
    """``run_id`` need not be known yet to the app: a run that was just launched appears with the next look."""

    place: ClassVar[PlaceName] = PlaceName.RUNS
    DEFAULT_CSS = """
    RunPage {
        #grid { height: 1fr; grid-size: 2; grid-rows: 1fr 1fr; }
        .panel {
            border: round $border-blurred; border-title-color: $foreground 60%; border-subtitle-color: $foreground 50%;
            width: 1fr; height: 1fr;
        }
        .panel:focus { border: round $primary; border-title-color: $foreground; }
        .pane { padding: 0 1; column-span: 2; display: none; }
        &.-wide.-high #grid { grid-size: 14; grid-rows: 3fr 2fr; }
        &.-wide.-high #loss, &.-wide.-high #rate { column-span: 7; }
        &.-wide.-high .pane { display: block; }
        #grid.-zoomed { layout: vertical; }
        #grid.-zoomed .panel { display: none; }
        #grid.-zoomed .panel.-zoomed { display: block; }
    }
    """
    PAGE_KEYS: ClassVar[list[BindingType]] = [
        Binding("v", "view", "View"),
        Binding("z", "zoom", "Zoom"),
        Binding("m", "measured", "Other curve"),
        Binding("u", "across", "Step, epoch, time"),
        Binding("y", "copy_path", "Copy path"),
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (140, "-wide")]  # noqa: RUF012 - Textual declares it so
    VERTICAL_BREAKPOINTS = [(0, "-low"), (36, "-high")]  # noqa: RUF012

    def __init__(self, workspace: Workspace, run_id: str, curves: RunCurves, panes: Mapping[str, Widget]) -> None:
        """panes: by their names, those below the charts; the first is shown first where they share a place."""
        super().__init__(workspace)
        self.run_id = run_id
        self._summary: RunSummary | None = None
        self._curves = curves
        self._header = RunHeader(run_id)
        self._loss = loss_chart()
        self._rate = rate_chart()
        self._panes = dict(panes)
        self._grid = Grid(self._loss, self._rate, *self._panes.values(), id="grid")
        self.across = Across.STEP
        """The unit of the x axes."""
        self.measured: str = Measured.LOSS
        """What the chart on the left shows."""
        self.view = next(iter(self._panes))
        """The pane that is shown where there is room for one."""

    def compose_body(self) -> Iterable[Widget]:
        yield self._header
        yield self._grid

    def on_mount(self) -> None:
        """Follow the run."""
        title_charts(self._loss, self._rate)
        self._show_view()
        self.watch(self.app, "runs", self._take_runs)
        self.read_every(LOOK_SECONDS)

    def on_screen_resume(self) -> None:
        """What happened while another page was looked at."""
        self._show_header()
        self.read_soon()

    @property
    def run(self) -> RunSummary | None:
        return self._summary

    # Reading

    def _take_runs(self, runs: Sequence[RunSummary] | None) -> None:
        found = next((run for run in runs or () if self._is_it(run)), None)
        if found is not None:
            self._summary = found
            if self.is_active:
                self._show_header()
                self.refresh_bindings()

    def _is_it(self, run: RunSummary) -> bool:
        return run.id == self.run_id

    def read_and_show(self) -> None:
        changed = self._curves.poll()
        if changed and not get_current_worker().is_cancelled:
            self.app.call_from_thread(self._show, changed)
        if not self._curves.caught_up and not get_current_worker().is_cancelled:
            self.app.call_from_thread(self.set_timer, READ_ON_SECONDS, self.read_if_seen)

    # Showing

    def _show(self, changed: frozenset[str]) -> None:
        """Paint what differs; called between two looks, never during one."""
        if changed & {"history", "plan"}:
            self._show_charts()

    def _show_charts(self) -> None:
        curves = self._curves
        total = self._summary.total_steps if self._summary else 0
        measured, rates = (x_axis(curves.history, self.across, chart.window) for chart in (self._loss, self._rate))
        show_measured(self._loss, curves.history, measured, self.measured)
        show_rate(self._rate, curves.history, curves.plan, total, rates)

    def _show_header(self) -> None:
        summary, latest = self._head()
        marks: RunMarks | None = getattr(self.app, "marks", None)
        colour = marks.shown_colour(self.run_id) if marks else None
        self._header.show(summary, latest, self.now(), "" if colour is None else run_style(colour))

    def _head(self) -> tuple[RunSummary | None, Row]:
        """The run, and what there is to say of it besides."""
        raise NotImplementedError

    @property
    def is_large(self) -> bool:
        """There is room for all panes at once."""
        return self.has_class("-wide") and self.has_class("-high")

    def _show_titles(self) -> None:
        """In a small terminal the panes that share a place are named in each one's title."""
        tabs = Content("  ").join(
            Content.styled(name.title(), "bold $foreground" if name == self.view else "") for name in self._panes
        )
        for name, pane in self._panes.items():
            pane.border_title = Content(name.title()) if self.is_large else tabs

    def on_resize(self, event: Resize) -> None:
        """Another size may show other panes."""
        self.call_after_refresh(self._show_titles)

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done."""
        if action == "view":
            return not self.is_large
        return super().check_action(action, parameters)

    def action_view(self) -> None:
        """The next pane in the place that they share."""
        names = list(self._panes)
        self.view = names[(names.index(self.view) + 1) % len(names)]
        self._show_view()
        self._panes[self.view].focus()

    def _show_view(self) -> None:
        for name in self._panes:
            self.set_class(name == self.view, f"-{name}")
        self._show_titles()

    def action_measured(self) -> None:
        """The loss, the gradient's norm, the speed, the GPU's memory: whatever was measured, one after the other."""
        self.measured = next_measured(self.measured, self._curves.history)
        self._draw_soon()

    def action_across(self) -> None:
        """The x axes count steps, epochs or the time trained."""
        self.across = self.across.next
        for chart in (self._loss, self._rate):
            chart.look_whole()
        self._draw_soon()

    @on(ExploredChart.Explored)
    def _look_closer(self) -> None:
        """A part has more detail than the whole has room for."""
        self._draw_soon()

    def _draw_soon(self) -> None:
        """At once, or when the look that is under way has ended: the curves are read by one thread at a time."""
        if self._reading:
            self.set_timer(0.03, self._draw_soon)
        else:
            self._show_charts()

    def action_zoom(self) -> None:
        """The part in focus takes the whole page, or gives it back."""
        zoomed = self._grid.has_class("-zoomed")
        for part in self._grid.children:
            part.set_class(not zoomed and part is self.focused, "-zoomed")
        self._grid.set_class(not zoomed and self.focused is not None, "-zoomed")

    async def action_leave(self) -> None:
        """Give a zoomed part's place back; else go back."""
        if self._grid.has_class("-zoomed"):
            self.action_zoom()
        else:
            await self.run_action("app.back")

    def action_copy_path(self) -> None:
        """The run's folder into the terminal's clipboard (OSC 52)."""
        self._copy(str(self._curves.run.path))

    def _copy(self, path: str) -> None:
        self.app.copy_to_clipboard(path)
        self.notify(clean(path), title="Copied", markup=False, timeout=3)
