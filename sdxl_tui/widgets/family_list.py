"""The list of runs with their checkpoints: folded and filtered, the cursor on one row, following whatever is shown next.

Reading families is left to the screen; what a row looks like to ``family_rows``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message

from sdxl_tui.fleet.families import CheckpointEntry, Family
from sdxl_tui.widgets.family_rows import family_rows
from sdxl_tui.widgets.filter_bar import FilterBar
from sdxl_tui.widgets.row_list import RowList

UNFOLDED_ROWS: Final = 30
"""A list longer than this starts with the older runs folded."""


@dataclass(frozen=True)
class Selection:
    """The run under the cursor and the checkpoint: on a run's own row its newest one, None if it has none."""

    family: Family
    entry: CheckpointEntry | None


class FamilyList(Vertical):
    """Runs, their checkpoints, and a line to filter them."""

    DEFAULT_CSS = """
    FamilyList { width: 36%; min-width: 30; max-width: 56; border-right: solid $foreground 15%; }
    """

    class Moved(Message):
        """The cursor stands on another row, or its row is another."""

    class Unfolded(Message):
        """Checkpoints came into sight that may not have been read."""

    @dataclass
    class Chosen(Message):
        """Enter on a checkpoint."""

        entry: CheckpointEntry

    def __init__(self) -> None:
        super().__init__()
        self.families: tuple[Family, ...] | None = None
        """None until they are shown once."""
        self.folded: frozenset[str] = frozenset()
        self.words: tuple[str, ...] = ()
        self._now = 0.0
        self._wanted_run: str | None = None
        self._rows, self._filter = RowList(), FilterBar()

    def compose(self) -> ComposeResult:
        yield self._rows
        yield self._filter

    @property
    def is_empty(self) -> bool:
        """Nothing is listed: there is nothing, or nothing fits the filter."""
        return not self._rows.rows

    @property
    def selection(self) -> Selection | None:
        """What is under the cursor."""
        key = self._rows.key
        if key is None:
            return None
        run_id, _, name = key.partition("/")
        family = self._family(run_id)
        if family is None:
            return None
        entries = [entry for entry in family.checkpoints if not name or entry.folder.name == name]
        return Selection(family, entries[0] if entries else None)

    def in_sight(self) -> list[CheckpointEntry]:
        """The checkpoints of runs that are not folded, from the top."""
        runs = (run for root in self.families or () for run in root.walk())
        return [entry for run in runs if run.key not in self.folded for entry in run.checkpoints]

    def show(self, families: tuple[Family, ...], now: float) -> None:
        """Show these; the cursor stays where it is. now: Unix seconds."""
        first, self.families, self._now = self.families is None, families, now
        if first:
            self._fold_older()
        self._draw()
        if first and (newest := next((row.key for row in self._rows.rows if "/" in row.key), None)):
            self._rows.move_to(newest)
        if self._wanted_run is not None:
            self.go_to_run(self._wanted_run)

    def go_to_run(self, run_id: str) -> None:
        """Put the cursor on the newest checkpoint of a run, unfolding it; as soon as it is listed."""
        self._wanted_run = run_id
        family = self._family(run_id)
        if family is None:
            return
        self._wanted_run = None
        root = next(root for root in self.families or () if family in root.walk())
        self.folded -= {run.key for run in root.walk()}
        self._draw()
        self._rows.move_to(family.checkpoints[0].key if family.checkpoints else family.key)

    def take_focus(self) -> None:
        """Put the keyboard's focus on the rows."""
        self._rows.focus()

    def open_filter(self) -> None:
        """Type what is looked for."""
        self._filter.open()

    def _draw(self) -> None:
        rows = family_rows(self.families or (), self.folded, self.words, self._now)
        if list(self._rows.rows) != rows:
            self._rows.show_rows(rows)
        shown = sum("/" in row.key for row in rows)
        everything = sum(len(run.checkpoints) for root in self.families or () for run in root.walk())
        self._filter.count(shown, everything)

    def _fold_older(self) -> None:
        """In a long list only live runs and the newest one are open."""
        runs = [run for root in self.families or () for run in root.walk()]
        if sum(1 + len(run.checkpoints) for run in runs) > UNFOLDED_ROWS:
            newest = max(runs, key=lambda run: run.run.created)
            self.folded = frozenset(run.key for run in runs if not run.run.alive and run is not newest)

    def _family(self, run_id: str) -> Family | None:
        return next((run for root in self.families or () for run in root.walk() if run.key == run_id), None)

    @on(RowList.Highlighted)
    def _row_highlighted(self, event: RowList.Highlighted) -> None:
        event.stop()
        self.post_message(self.Moved())

    @on(RowList.Folding)
    def _row_folding(self, event: RowList.Folding) -> None:
        event.stop()
        self.folded = self.folded | {event.key} if event.folded else self.folded - {event.key}
        self._draw()
        self.post_message(self.Unfolded())

    @on(RowList.Chosen)
    def _row_chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        selection = self.selection
        if "/" not in event.key:
            self._rows.action_toggle_fold()
        elif selection is not None and selection.entry is not None:
            self.post_message(self.Chosen(selection.entry))

    @on(FilterBar.Changed)
    def _filter_typed(self, event: FilterBar.Changed) -> None:
        event.stop()
        self.words = event.words
        self._draw()
        self.post_message(self.Moved())

    @on(FilterBar.Left)
    def _filter_left(self, event: FilterBar.Left) -> None:
        event.stop()
        self.take_focus()
