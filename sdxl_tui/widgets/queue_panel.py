"""What waits on this machine, below the table of runs: who is next, and why nobody starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sdxl_tui.fleet.queue.words import PAUSED, STALE
from sdxl_tui.fleet.runs import RunSummary
from sdxl_tui.terminal.numbers import format_count
from sdxl_tui.widgets.painted import Painted, Piece, Row

MUTED: Final = "$foreground 60%"
MOST: Final = 5
"""Lines with the heading."""


class QueuePanel(Painted):
    """Hidden while nothing waits. The runs in it stand in the table too, where the keys change their order."""

    DEFAULT_CSS = """
    QueuePanel { display: none; height: 1; padding: 0 1; }
    """

    def __init__(self) -> None:
        super().__init__(id="queue")
        self._waiting: tuple[RunSummary, ...] = ()

    def show(self, runs: Sequence[RunSummary], *, room: int) -> None:
        """Draw those of ``runs`` that wait. room: lines that there are at most; the heading is always shown."""
        self._waiting = tuple(sorted((run for run in runs if run.turn), key=lambda run: run.turn))
        self.display = bool(self._waiting)
        height = min(len(self._waiting) + 1, max(1, room), MOST)
        if self.styles.height is not None and self.styles.height.value != height:
            self.styles.height = height
        self.repaint()

    def rows_for(self, width: int, height: int) -> Sequence[Row]:
        """A heading, then the runs in the order of their turns."""
        if not self._waiting:
            return ()
        shown = self._waiting[: height - 1]
        more = len(self._waiting) - len(shown)
        heading = self._heading(more if shown else 0)
        return [heading, *(_row(run, width) for run in shown)]

    def _heading(self, more: int) -> Row:
        count = "1 run waits" if len(self._waiting) == 1 else f"{format_count(len(self._waiting))} runs wait"
        word = next((run.waits for run in self._waiting if run.waits in {STALE, PAUSED}), "")
        hidden: list[Piece] = [(f"  {more} more in the table", MUTED)] if more else []
        if word:
            what = "This machine was restarted" if word == STALE else "The queue is paused"
            return ((f"{what}: {count}.  ", "$warning"), ("w", "bold $primary"), ("  let the queue go on", ""), *hidden)
        return (("Queue  ", "bold"), (count, MUTED), *hidden)


def _row(run: RunSummary, width: int) -> Row:
    name = run.id if width >= 100 else run.id[: max(12, width // 2)]
    style = "$warning" if run.waits.startswith("held") else MUTED
    return ((f"{run.turn:>2} ", "bold"), (name, ""), (f"  {run.waits}", style))
