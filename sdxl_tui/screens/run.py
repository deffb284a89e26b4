"""The page of one run of ours: besides the curves its log, events and samples.

Everything is read in threads: the summary by the app's watch, the rest by ``RunPageData``, once a second while the page is in
front.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget

from engine.run.layout import RunDirectory
from sdxl_tui.fleet.log_pages import LogPages
from sdxl_tui.fleet.run_page import RunPageData
from sdxl_tui.fleet.runs import RunSummary
from sdxl_tui.screens.run_page import RunPage
from sdxl_tui.terminal.clean import clean
from sdxl_tui.widgets.event_text import event_row
from sdxl_tui.widgets.line_view import LineView
from sdxl_tui.widgets.log_view import STAMP_CELLS, LogView
from sdxl_tui.widgets.painted import Row
from sdxl_tui.widgets.place_bar import short_path
from sdxl_tui.widgets.sample_rows import sample_rows
from sdxl_tui.widgets.search_bar import SearchBar

if TYPE_CHECKING:
    from sdxl_tui.workspace import Workspace


class RunScreen(RunPage):
    """Curves, log, events, samples."""

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
        "i shows the samples as pictures: the same prompt from step to step. p shows the profile that is trained, first what "
        "differs from its parent.",
        "Leaving this page, or the app, changes nothing for the run.",
    )

    DEFAULT_CSS = """
    RunScreen {
        layers: default search;
        &.-log #log, &.-events #events, &.-samples #samples { display: block; }
        &.-wide.-high #log { column-span: 6; }
        &.-wide.-high #events { column-span: 5; }
        &.-wide.-high #samples { column-span: 3; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *RunPage.RUN_KEYS,
        *RunPage.PAGE_KEYS,
        Binding("i", "pictures", "Pictures"),
        *RunPage.LABEL_KEYS,
        Binding("escape", "leave", "Back"),
    ]
    AUTO_FOCUS: ClassVar[str | None] = "#log"

    def __init__(self, workspace: Workspace, run_id: str) -> None:
        self._data = RunPageData(RunDirectory(workspace.runs / run_id))
        self._search_bar = SearchBar()
        self._log = LogView(LogPages(self._data.run), self._search_bar.open, id="log", classes="panel pane")
        self._events = LineView(
            follows=True, empty="Nothing has happened yet", hang=STAMP_CELLS, id="events", classes="panel pane"
        )
        self._samples = LineView(empty="No samples yet", hang=2, id="samples", classes="panel pane")
        self._samples.border_subtitle = "i shows the pictures"
        panes = {"log": self._log, "events": self._events, "samples": self._samples}
        super().__init__(workspace, run_id, self._data, panes)

    def compose_body(self) -> Iterable[Widget]:
        yield from super().compose_body()
        yield self._search_bar

    def _show(self, changed: frozenset[str]) -> None:
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
        super()._show(changed)

    def _head(self) -> tuple[RunSummary | None, Row]:
        latest = event_row(self._data.events[-1]) if self._data.events else ()
        if self._data.is_gone:
            self._summary, latest = None, (("There is no such run in this workspace (any more).", "$warning"),)
        return self._summary, latest

    def action_pictures(self) -> None:
        """The samples as pictures, step by step."""
        from sdxl_tui.screens.samples import SamplesPage  # noqa: PLC0415 - Pillow, where pictures are looked at

        self.app.push_screen(SamplesPage(self.workspace, self._data.run))

    async def action_leave(self) -> None:
        """End a search, or give a zoomed part's place back; else go back."""
        if not (self._log.has_focus and self._log.forget_search()):
            await super().action_leave()

    @on(SearchBar.Wanted)
    def _search_wanted(self, event: SearchBar.Wanted) -> None:
        self._log.search(event.text)

    def action_copy_path(self) -> None:
        """The run's folder, or that of its samples while they are in focus, into the terminal's clipboard (OSC 52)."""
        run = self._data.run
        self._copy(str(run.samples if self.focused is self._samples else run.path))
