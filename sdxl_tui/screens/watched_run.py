"""The page of a watched run: its curves as those of our own, the files it saved, and what is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from sdxl_tui.fleet.runs import RunSummary
from sdxl_tui.fleet.watched.page import WatchedPageData
from sdxl_tui.screens.run_page import RunPage
from sdxl_tui.widgets.line_view import LineView
from sdxl_tui.widgets.painted import Row
from sdxl_tui.widgets.run_charts import title_rate
from sdxl_tui.widgets.watched_rows import fact_rows, file_rows, history_notes

if TYPE_CHECKING:
    from sdxl_tui.workspace import Workspace


class WatchedRunScreen(RunPage):
    """Curves, files, facts."""

    topic: ClassVar[str] = "A watched run"
    about: ClassVar[tuple[str, ...]] = (
        "Another trainer's run, read from the TensorBoard event files that it writes, and followed while it writes them. Whether "
        "it still trains is not known: the line on top says when it last wrote. Nothing of it is ever changed.",
        "Loss, its average, rates, held-out loss, epochs and time are shown as those of runs of ours; m goes through everything "
        "else that it writes, by its own names. A dotted line marks where it went on in a new file; what that trained anew "
        "replaces what stood there. Where it writes no average, LOSS is averaged over 100 values here.",
        "Files are the states and LoRA files in the folder that was added which it saved; c shows them among the checkpoints, "
        "where c trains on from one. It cannot be stopped, resumed or labelled here: that is done where it was started.",
        "In a chart (tab, or a click): ← → move a cursor and the values stand below, + - zoom, [ ] pan, 0 shows all, o is a "
        "logarithmic scale, z gives it the whole page.",
    )
    DEFAULT_CSS = """
    WatchedRunScreen {
        &.-files #files, &.-about #about { display: block; }
        &.-wide.-high #files, &.-wide.-high #about { column-span: 7; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *RunPage.RUN_KEYS,
        *RunPage.PAGE_KEYS,
        *RunPage.LABEL_KEYS,
        Binding("escape", "leave", "Back"),
    ]
    AUTO_FOCUS: ClassVar[str | None] = "#files"

    def __init__(self, workspace: Workspace, run: RunSummary) -> None:
        self._data = WatchedPageData(run)
        self._files = LineView(
            empty="Nothing was saved yet in the folder that is shown", id="files", classes="panel pane"
        )
        self._facts = LineView(hang=11, id="about", classes="panel pane")
        super().__init__(workspace, run.id, self._data, {"files": self._files, "about": self._facts})
        self._summary = run

    def _is_it(self, run: RunSummary) -> bool:
        """Its name may be known only when its settings are written: then it is called otherwise."""
        return run.watched is not None and run.watched.folder == self._data.run.path

    def read_and_show(self) -> None:
        if self._summary is not None:
            self._data.summary = self._summary
        super().read_and_show()

    def _show(self, changed: frozenset[str]) -> None:
        if "files" in changed:
            self._files.show(file_rows(self._data, self.now()))
        if changed & {"facts", "files", "history"}:
            self._facts.show(fact_rows(self._data))
        if "gone" in changed:
            self._show_header()
        title_rate(self._rate, is_planned=self._data.plan is not None)
        super()._show(changed)

    def _head(self) -> tuple[RunSummary | None, Row]:
        if self._data.is_gone:
            return self._summary, (("Its event files are gone, or cannot be read any more.", "$warning"),)
        return self._summary, history_notes(self._data)
