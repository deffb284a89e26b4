"""The page of one run: progress, loss and learning rate, log, events, samples. In a small terminal the last three share a pane.

Everything is read in threads: the summary by the app's watch, the rest by ``RunPageData``, once a second while the page is in
front.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Grid
from textual.content import Content
from textual.events import Resize
from textual.widget import Widget
from textual.worker import get_current_worker

from engine.run.layout import RunDirectory
from sdxl_tui.fleet.across import Across
from sdxl_tui.fleet.log_pages import LogPages
from sdxl_tui.fleet.run_marks import RunMarks
from sdxl_tui.fleet.run_page import RunPageData
from sdxl_tui.fleet.runs import RunSummary
from sdxl_tui.screens.place import PlaceName
from sdxl_tui.screens.reading import ReadingPlace
from sdxl_tui.screens.run_place import RunPlace
from sdxl_tui.terminal.clean import clean
from sdxl_tui.widgets.event_text import event_row
from sdxl_tui.widgets.explored_chart import ExploredChart
from sdxl_tui.widgets.line_view import LineView
from sdxl_tui.widgets.log_view import STAMP_CELLS, LogView
from sdxl_tui.widgets.place_bar import short_path
from sdxl_tui.widgets.run_cells import run_style
from sdxl_tui.widgets.run_charts import (
    Measured,
    loss_chart,
    rate_chart,
    show_measured,
    show_rate,
    title_charts,
    x_axis,
)
from sdxl_tui.widgets.run_header import RunHeader
from sdxl_tui.widgets.sample_rows import sample_rows
from sdxl_tui.widgets.search_bar import SearchBar

if TYPE_CHECKING:
    from sdxl_tui.workspace import Workspace

LOOK_SECONDS: Final = 1.0
READ_ON_SECONDS: Final = 0.05
"""Between two looks while there is more to read."""
PANES: Final = ("log", "events", "samples")


class RunScreen(ReadingPlace, RunPlace):
    """``run_id`` need not be known yet to the app: a run that was just launched appears with the next look."""

    place: ClassVar[PlaceName] = PlaceName.RUNS
    topic: ClassVar[str] = "A run"
    about: ClassVar[tuple[str, ...]] = (
        "Loss: each step dim (lowest and highest where several share a column), the running average bright; spikes "
        "beyond the scale are drawn at its edge. LR: what each step used, then dim what the stored schedule has in store. "
        "A dotted line marks a resume.",
        "In the log, / looks for words in all that was printed, however long it is; n and N go on, e finds the first error, w "
        "leaves only warnings or errors of what is shown. Scrolling up reads earlier lines; G follows the end again.",
        "m shows the gradient's norm, the speed, the GPU's memory instead of the loss, u counts epochs or time instead of steps. "
        "In a chart (tab, or a click): ← → move a cursor and the values stand below, + - zoom, [ ] pan, 0 shows all, o is a "
        "logarithmic scale, z gives it the whole page.",
        "i shows the samples as pictures: the same prompt from step to step.",
        "Leaving this page, or the app, changes nothing for the run.",
    )

    DEFAULT_CSS = """
    RunScreen {
        layers: default search;
        #grid { height: 1fr; grid-size: 2; grid-rows: 1fr 1fr; }
        .panel {
            border: round $border-blurred; border-title-color: $foreground 60%; border-subtitle-color: $foreground 50%;
            width: 1fr; height: 1fr;
        }
        .panel:focus { border: round $primary; border-title-color: $foreground; }
        .pane { padding: 0 1; column-span: 2; display: none; }
        &.-log #log, &.-events #events, &.-samples #samples { display: block; }
        &.-wide.-high #grid { grid-size: 14; grid-rows: 3fr 2fr; }
        &.-wide.-high #loss, &.-wide.-high #rate { column-span: 7; }
        &.-wide.-high #log { column-span: 6; }
        &.-wide.-high #events { column-span: 5; }
        &.-wide.-high #samples { column-span: 3; }
        &.-wide.-high .pane { display: block; }
        #grid.-zoomed { layout: vertical; }
        #grid.-zoomed .panel { display: none; }
        #grid.-zoomed .panel.-zoomed { display: block; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *RunPlace.RUN_KEYS,
        Binding("v", "view", "View"),
        Binding("i", "pictures", "Pictures"),
        Binding("z", "zoom", "Zoom"),
        Binding("m", "measured", "Other curve"),
        Binding("u", "across", "Step, epoch, time"),
        Binding("y", "copy_path", "Copy path"),
        *RunPlace.LABEL_KEYS,
        Binding("escape", "leave", "Back"),
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (140, "-wide")]  # noqa: RUF012 - Textual declares it so
    VERTICAL_BREAKPOINTS = [(0, "-low"), (36, "-high")]  # noqa: RUF012
    AUTO_FOCUS: ClassVar[str | None] = "#log"

    def __init__(self, workspace: Workspace, run_id: str) -> None:
        super().__init__(workspace)
        self.run_id = run_id
        self._summary: RunSummary | None = None
        self._data = RunPageData(RunDirectory(workspace.runs / run_id))
        self._header = RunHeader(run_id)
        self._loss = loss_chart()
        self._rate = rate_chart()
        self._search_bar = SearchBar()
        self._log = LogView(LogPages(self._data.run), self._search_bar.open, id="log", classes="panel pane")
        self._events = LineView(
            follows=True, empty="Nothing has happened yet", hang=STAMP_CELLS, id="events", classes="panel pane"
        )
        self._samples = LineView(empty="No samples yet", hang=2, id="samples", classes="panel pane")
        self._samples.border_subtitle = "i shows the pictures"
        self._panes = dict(zip(PANES, (self._log, self._events, self._samples), strict=True))
        self._grid = Grid(self._loss, self._rate, *self._panes.values(), id="grid")
        self.across = Across.STEP
        """The unit of the x axes."""
        self.measured = Measured.LOSS
        """What the chart on the left shows."""
        self.view = PANES[0]
        """The pane that is shown where there is room for one."""

    def compose_body(self) -> Iterable[Widget]:
        yield self._header
        yield self._grid
        yield self._search_bar

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
        found = next((run for run in runs or () if run.id == self.run_id), None)
        if found is not None:
            self._summary = found
            if self.is_active:
                self._show_header()
                self.refresh_bindings()

    def read_and_show(self) -> None:
        changed = self._data.poll()
        if changed and not get_current_worker().is_cancelled:
            self.app.call_from_thread(self._show, changed)
        if not self._data.caught_up and not get_current_worker().is_cancelled:
            self.app.call_from_thread(self.set_timer, READ_ON_SECONDS, self.read_if_seen)

    # Showing

    def _show(self, changed: frozenset[str]) -> None:
        """Paint what differs; called between two looks, never during one."""
        data = self._data
        if "log" in changed:
            self._log.show_log(tuple(data.log.lines), data.log.unfinished, data.log.dropped)
        if "events" in changed:
            self._events.show([event_row(event) for event in data.events])
        if changed & {"events", "gone"}:
            self._show_header()
        if changed & {"samples", "plan"}:
            prompts = data.plan.prompts if data.plan else ()
            self._samples.show(sample_rows(data.samples, prompts, clean(short_path(data.run.samples))))
        if changed & {"history", "plan"}:
            self._show_charts()

    def _show_charts(self) -> None:
        data = self._data
        total = self._summary.total_steps if self._summary else 0
        measured, rates = (x_axis(data.history, self.across, chart.window) for chart in (self._loss, self._rate))
        show_measured(self._loss, data.history, measured, self.measured)
        show_rate(self._rate, data.history, data.plan, total, rates)

    def _show_header(self) -> None:
        latest = event_row(self._data.events[-1]) if self._data.events else ()
        if self._data.is_gone:
            self._summary, latest = None, (("There is no such run in this workspace (any more).", "$warning"),)
        marks: RunMarks | None = getattr(self.app, "marks", None)
        colour = marks.shown_colour(self.run_id) if marks else None
        self._header.show(self._summary, latest, self.now(), "" if colour is None else run_style(colour))

    @property
    def is_large(self) -> bool:
        """There is room for all panes at once."""
        return self.has_class("-wide") and self.has_class("-high")

    def _show_titles(self) -> None:
        """In a small terminal the panes that share a place are named in each one's title."""
        tabs = Content("  ").join(
            Content.styled(name.title(), "bold $foreground" if name == self.view else "") for name in PANES
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
        self.view = PANES[(PANES.index(self.view) + 1) % len(PANES)]
        self._show_view()
        self._panes[self.view].focus()

    def _show_view(self) -> None:
        for name in PANES:
            self.set_class(name == self.view, f"-{name}")
        self._show_titles()

    def action_measured(self) -> None:
        """The loss, the gradient's norm, the speed, the GPU's memory: whatever was measured, one after the other."""
        self.measured = self.measured.next_of(self._data.history)
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

    def action_pictures(self) -> None:
        """The samples as pictures, step by step."""
        from sdxl_tui.screens.samples import SamplesPage  # noqa: PLC0415 - Pillow, where pictures are looked at

        self.app.push_screen(SamplesPage(self.workspace, self._data.run))

    def action_zoom(self) -> None:
        """The part in focus takes the whole page, or gives it back."""
        zoomed = self._grid.has_class("-zoomed")
        for part in self._grid.children:
            part.set_class(not zoomed and part is self.focused, "-zoomed")
        self._grid.set_class(not zoomed and self.focused is not None, "-zoomed")

    async def action_leave(self) -> None:
        """End a search, or give a zoomed part's place back; else go back."""
        if self._log.has_focus and self._log.forget_search():
            return
        if self._grid.has_class("-zoomed"):
            self.action_zoom()
        else:
            await self.run_action("app.back")

    @on(SearchBar.Wanted)
    def _search_wanted(self, event: SearchBar.Wanted) -> None:
        self._log.search(event.text)

    def action_copy_path(self) -> None:
        """The run's folder, or that of its samples while they are in focus, into the terminal's clipboard (OSC 52)."""
        run = self._data.run
        path = str(run.samples if self.focused is self._samples else run.path)
        self.app.copy_to_clipboard(path)
        self.notify(clean(path), title="Copied", markup=False, timeout=3)
