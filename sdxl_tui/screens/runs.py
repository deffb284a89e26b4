"""The Runs place: every run of the workspace in one live table, and what can be done with the one under the cursor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.content import Content
from textual.events import Resize
from textual.widget import Widget
from textual.widgets import Static
from textual.worker import get_current_worker

from sdxl_tui.fleet.queue.words import PAUSED, STALE
from sdxl_tui.fleet.run_filter import found_runs
from sdxl_tui.fleet.run_marks import RunMarks
from sdxl_tui.fleet.run_order import RunOrder, RunSorting
from sdxl_tui.fleet.runs import RunSummary
from sdxl_tui.fleet.trends import Trend, Trends
from sdxl_tui.screens.place import LookNow, OpenRun, PlaceName
from sdxl_tui.screens.run_place import RunPlace
from sdxl_tui.terminal.clean import clean
from sdxl_tui.widgets.filter_bar import FilterBar
from sdxl_tui.widgets.gpu_panel import GpuPanel
from sdxl_tui.widgets.live_table import LiveTable
from sdxl_tui.widgets.place_bar import short_path
from sdxl_tui.widgets.queue_panel import QueuePanel
from sdxl_tui.widgets.run_brief import RunBrief
from sdxl_tui.widgets.run_cells import run_columns, run_style

if TYPE_CHECKING:
    from sdxl_tui.fleet.gpu_readings import GpuReading
    from sdxl_tui.widgets.run_preview import RunPreview
    from sdxl_tui.workspace import Workspace

AGES_SECONDS: Final = 5.0
"""Between looks at the clock for the ages."""
TRENDS_SECONDS: Final = 3.0
TRENDS_CELLS: Final = 120
"""Narrower tables have no place for them."""
SMALL: Final = 16
"""Screens of fewer lines keep them for the runs."""


COLUMN_OF: Final = {
    RunOrder.NAME: "RUN",
    RunOrder.STATE: "STATE",
    RunOrder.DONE: "DONE",
    RunOrder.LOSS: "LOSS",
    RunOrder.LR: "LR",
    RunOrder.ETA: "ETA",
    RunOrder.AGE: "AGE",
}
"""The column whose heading says how the table is sorted, where it has one."""


class RunsScreen(RunPlace):
    """The table, live runs on top; or what to do while there are none."""

    place: ClassVar[PlaceName] = PlaceName.RUNS
    topic: ClassVar[str] = "Runs"
    about: ClassVar[tuple[str, ...]] = (
        "On top the machine's GPUs: busy, full, hot, power, and who is on them (yellow: not a run of this workspace); at the "
        "bottom what waits. Between them every run: live ones first, then those that wait, then the newest. LOSS is the running "
        "average, LR the rate of the last step, ↳ a run that came from another one's checkpoint.",
        "/ finds runs by words in id, state, profile, device, tags, note: fox failed. #good is a tag, state: name: tag: profile: "
        "device: note: folder: look in one place, -cpu must not fit, archived finds what was put away.",
        "◎ is another trainer's run, in a folder that you added (f): read from its TensorBoard files while it writes them, "
        "compared with ours, never changed. c shows what it saved.",
        "Runs do not need this app: quit, lose the connection, come back, they train on. A run that waits starts when its turn "
        "has come and its devices are free; after a restart of the machine the queue stands still until someone lets it go on.",
        "What another machine trains here can be asked and stopped, not killed; a folder you cannot write is read-only.",
    )

    DEFAULT_CSS = """
    RunsScreen {
        #message { width: 100%; height: 1fr; content-align: center middle; color: $foreground 60%; }
        #table-page { height: 1fr; display: none; }
        #table-page.-shown { display: block; }
        #message.-hidden { display: none; }
        #preview { display: none; height: 13; }
        &.-tiny RunBrief { display: none; }
        &.-wide.-high #preview { display: block; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open"),
        *RunPlace.RUN_KEYS,
        Binding("w", "turn_queue", "Queue on / off"),
        Binding("o", "sort", "Sort", show=False),
        Binding("O", "turn_sorting", "Sort the other way round", show=False),
        Binding("A", "show_archived", "Show those put away", show=False),
        Binding("f", "folders", "Folders of others", show=False),
        Binding("slash", "filter", "Filter", priority=True),
        Binding("space", "mark", "Mark"),
        Binding("equals_sign", "compare", "Compare", key_display="="),
        *RunPlace.LABEL_KEYS,
        Binding("escape", "leave", "Back", show=False),
    ]

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 - Textual declares it so
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (8, "-low"), (34, "-high")]  # noqa: RUF012

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._preview: RunPreview | None = None
        self._trends = Trends()
        self._shown_trends: dict[str, Trend] = {}
        self._reading_trends = False
        columns = run_columns(self.now, self._mark_of, lambda run_id: self._shown_trends.get(run_id, ()))
        self._table = LiveTable[RunSummary](columns, lambda run: run.id, id="runs")
        self._with_archived = False
        self._sorting = RunSorting()
        self._gpus, self._queue = GpuPanel(), QueuePanel()

    def compose_body(self) -> Iterable[Widget]:
        yield Static("Reading the runs …", id="message")
        with Vertical(id="table-page"):
            yield self._gpus
            yield self._table
            yield FilterBar()
            yield RunBrief()
            yield Container(id="preview")
            yield self._queue

    def on_mount(self) -> None:
        """Follow the runs and the clock."""
        self.watch(self.app, "runs", self._show_if_seen)
        self.watch(self.app, "gpus", self._show_gpus, init=False)
        self.set_interval(AGES_SECONDS, self._show_if_seen)
        self.set_interval(TRENDS_SECONDS, self._look_at_trends)
        self.set_timer(0.5, self._look_at_trends)

    def on_screen_resume(self) -> None:
        """What happened while another place was looked at."""
        self._show(self._runs())

    def on_resize(self, event: Resize) -> None:
        """A higher terminal has room for the curves."""
        self.call_after_refresh(self._show_if_seen)

    @property
    def run(self) -> RunSummary | None:
        return self._table.item

    def _runs(self) -> tuple[RunSummary, ...] | None:
        runs: tuple[RunSummary, ...] | None = getattr(self.app, "runs", None)
        return runs

    def _show_if_seen(self) -> None:
        if self.is_active:
            self._show(self._runs())

    def _show(self, runs: Sequence[RunSummary] | None) -> None:
        if runs is None:
            return
        message, page = self.query_one("#message", Static), self.query_one("#table-page")
        message.set_class(bool(runs), "-hidden")
        page.set_class(bool(runs), "-shown")
        if not runs:
            problem: str = getattr(self.app, "runs_problem", "")
            message.update(Content.styled(clean(problem, lines=True), "$error") if problem else self._first_steps())
        elif not self._table.items and self.focused is None:
            self._table.focus()
        words = self.query_one(FilterBar).words
        found = found_runs(runs, words, with_archived=self._with_archived)
        self._table.show(self._sorting.sorted(found))
        self._show_gpus()
        self._show_queue(runs)
        self.query_one(FilterBar).count(len(found), len(runs))
        self._show_brief()

    def _look_at_trends(self) -> None:
        """Of the runs in sight, if there is room for them."""
        if self.is_active and not self._reading_trends and self.size.width > TRENDS_CELLS:
            self._reading_trends = True
            self._read_trends(self._table.items_in_sight)

    @work(thread=True, group="trends")
    def _read_trends(self, runs: Sequence[RunSummary]) -> None:
        found = self._trends.read(runs)
        self._reading_trends = False
        if found != self._shown_trends and not get_current_worker().is_cancelled:
            self.app.call_from_thread(self._take_trends, dict(found))

    def _take_trends(self, found: dict[str, Trend]) -> None:
        self._shown_trends = found
        self._show_if_seen()

    def _show_gpus(self) -> None:
        """The GPUs stand above the table as far as a third of the screen goes; in a very small one they have no place."""
        if self.is_active:
            height = self.size.height
            readings: tuple[GpuReading, ...] = getattr(self.app, "gpus", ())
            self._gpus.show(readings, room=height // 3 if height >= SMALL else 0)

    def _show_queue(self, runs: Sequence[RunSummary]) -> None:
        """What waits, and that a queue that starts nothing has to be told to go on."""
        height = self.size.height
        self._queue.show(runs, room=height // 6 if height >= SMALL else 1)

    def _show_brief(self) -> None:
        self.query_one(RunBrief).show(self.run, self.now())
        if self._preview is not None:
            self._preview.show(self.run)
        elif self.has_class("-wide") and self.has_class("-high"):
            self.call_after_refresh(self._add_preview)
        self.refresh_bindings()

    async def _add_preview(self) -> None:
        """The curves come after the first frame, into the room kept for them."""
        from sdxl_tui.widgets.run_preview import RunPreview  # noqa: PLC0415

        if self._preview is None:
            self._preview = RunPreview()
            await self.query_one("#preview").mount(self._preview)
            self.call_after_refresh(self._show_if_seen)

    def _first_steps(self) -> Content:
        return Content("\n").join(
            (
                Content.styled("No runs yet", "bold $foreground"),
                Content(clean(short_path(self.workspace.path))),
                Content(""),
                Content.assemble(("l", "bold $primary"), "  choose a profile and launch it                        "),
                Content.assemble(("f", "bold $primary"), "  watch a folder of sd-scripts                          "),
                Content.assemble(("?", "bold $primary"), "  what the keys do                                      "),
                Content(""),
                Content.assemble("To see it at work first, in a shell: ", ("sdxl-tui demo", "bold $foreground")),
            )
        )

    @on(LiveTable.Highlighted)
    def _another_run(self) -> None:
        self._show_brief()

    @on(LiveTable.Chosen)
    def action_open(self) -> None:
        """The page of the run under the cursor."""
        if self.run is not None:
            self.post_message(OpenRun(self.run.id))

    def action_sort(self) -> None:
        """By the next of: turn, name, state, share done, loss, held-out loss, LR, time left, age."""
        self._sort(RunSorting(self._sorting.order.next))

    def action_turn_sorting(self) -> None:
        """The same the other way round."""
        self._sort(RunSorting(self._sorting.order, not self._sorting.turned))

    def _sort(self, sorting: RunSorting) -> None:
        self._sorting = sorting
        self._table.mark_column(COLUMN_OF.get(sorting.order, ""), "▴" if sorting.turned else "▾")
        self._show(self._runs())
        turned = ", the other way round" if sorting.turned and sorting.order is not RunOrder.TURN else ""
        self.notify(f"Sorted by {sorting.order.value}{turned}.", timeout=2)

    def action_show_archived(self) -> None:
        """The runs that were put away, too; or not any more."""
        self._with_archived = not self._with_archived
        self._show(self._runs())
        count = sum(run.labels.archived for run in self._runs() or ())
        word = "shown" if self._with_archived else "not shown"
        self.notify(f"{count} runs that were put away are {word}.", timeout=3)

    # Comparing

    @property
    def _marks(self) -> RunMarks:
        marks: RunMarks = getattr(self.app, "marks", None) or RunMarks()
        return marks

    def _mark_of(self, run_id: str) -> str:
        colour = self._marks.shown_colour(run_id)
        return "" if colour is None else run_style(colour)

    def action_mark(self) -> None:
        """Mark the run under the cursor to be compared, or take its mark away, and go on to the next."""
        if self.run is not None:
            self._marks.toggle(self.run.id)
            self._table.action_move(1)
            self._show(self._runs())

    def action_compare(self) -> None:
        """The marked runs over each other; where only one is marked, it and the one under the cursor."""
        from sdxl_tui.screens.compare_runs import CompareRunsPage  # noqa: PLC0415 - not for the first frame

        runs = {run.id: run for run in self._runs() or ()}
        self._marks.keep(set(runs))
        ids = list(self._marks.marked)
        if len(ids) < 2 and self.run is not None and self.run.id not in ids:
            ids.append(self.run.id)
        if len(ids) < 2:
            self.notify("Mark the runs with space, two or more, then press = again.", timeout=4)
            return
        self.app.push_screen(CompareRunsPage(self.workspace, [runs[run_id] for run_id in ids], self._marks))

    def action_folders(self) -> None:
        """Add a folder of sd-scripts, or of another trainer, whose runs are watched; or take one away."""
        from sdxl_tui.screens.folders_dialog import FoldersDialog  # noqa: PLC0415 - opened rarely

        def answered(said: str | None) -> None:
            if said:
                self.post_message(LookNow())
                self.notify(said, title="Folders of others", markup=False, timeout=6)

        self.app.push_screen(FoldersDialog(self.workspace), answered)

    def action_filter(self) -> None:
        """Type words that must fit a run: see the help."""
        self.query_one(FilterBar).open()

    @on(FilterBar.Changed)
    def _filter(self) -> None:
        self._show(self._runs())

    @on(FilterBar.Left)
    def _back_to_table(self) -> None:
        self._table.focus()

    async def action_leave(self) -> None:
        """Clear the filter, then the marks; without any, back to where this was opened from."""
        bar = self.query_one(FilterBar)
        if bar.words:
            bar.action_clear()
        elif self._marks.marked:
            self._marks.clear()
            self._show(self._runs())
        else:
            await self.run_action("app.back")

    @work(thread=True, group="queue")
    def action_turn_queue(self) -> None:
        """Let the queue start nothing more, what runs goes on; or let it go on."""
        from sdxl_tui.fleet.queue import changes  # noqa: PLC0415 - off the start of the app
        from sdxl_tui.fleet.queue.going_on import go_on  # noqa: PLC0415

        if not self._queue_stands:
            self._attempt("Queue", lambda: changes.pause(self.workspace))
        elif self._attempt("Queue", lambda: changes.let_go(self.workspace)):
            self._attempt("Queue", lambda: go_on(self.workspace))
        self.post_message(LookNow())

    @property
    def _queue_stands(self) -> bool:
        """It starts nothing until it is told to go on."""
        return any(run.waits in {STALE, PAUSED} for run in self._runs() or ())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done."""
        if action == "turn_queue":
            return any(run.turn for run in self._runs() or ())
        if action in {"open", "mark", "compare"}:
            return bool(self._runs())
        if action == "filter":
            return bool(self._runs()) and not self.is_typing
        return super().check_action(action, parameters)
