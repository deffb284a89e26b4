"""The list of runs with their checkpoints: folded, filtered or sorted, the cursor on one row, following whatever is shown next.

Reading is left to the screen; what a row looks like to ``family_rows`` and ``state_rows``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from sdxl_tui.fleet.checkpoint_order import Sorting
from sdxl_tui.fleet.checkpoint_query import parse_query
from sdxl_tui.fleet.families import CheckpointEntry, Family
from sdxl_tui.fleet.foreign_keys import FOREIGN_KEY
from sdxl_tui.fleet.foreign_states import ForeignEntry, StateFolder
from sdxl_tui.terminal.numbers import format_count
from sdxl_tui.widgets.family_rows import MARKS, View, family_rows
from sdxl_tui.widgets.filter_bar import FilterBar
from sdxl_tui.widgets.flat_rows import flat_rows
from sdxl_tui.widgets.row_list import RowList
from sdxl_tui.widgets.state_rows import state_rows

UNFOLDED_ROWS: Final = 30
"""A list longer than this starts with the older runs folded."""


@dataclass(frozen=True)
class Selection:
    """The run under the cursor and the checkpoint: on a run's own row its newest one, None if it has none."""

    family: Family
    entry: CheckpointEntry | None


def is_checkpoint(key: str) -> bool:
    """Whether a row's key is that of one of our checkpoints: not a run's, nor of anything of sd-scripts."""
    return "/" in key and not key.startswith(FOREIGN_KEY)


def is_comparable(key: str) -> bool:
    """Whether it is that of a checkpoint, a state or a LoRA file: not a run's nor a folder's."""
    return "/" in key and not (key.startswith(FOREIGN_KEY) and key.endswith("/"))


class MarkableRows(RowList):
    """Rows of which two can be marked: space, where there is nothing to fold."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("space", "mark", "Mark")]

    @dataclass
    class Marking(Message):
        """Space on a row that has nothing to fold."""

        key: str

    def action_mark(self) -> None:
        """Fold or unfold; a row with nothing to fold is marked."""
        if self.key is None:
            return
        if self.rows[self.cursor].fold:
            self.action_toggle_fold()
        else:
            self.post_message(self.Marking(self.key))


class FamilyList(Vertical):
    """Runs, their checkpoints, and a line to filter them."""

    DEFAULT_CSS = """
    FamilyList {
        width: 36%; min-width: 30; max-width: 56; border-right: solid $foreground 15%;
        & > #order { display: none; height: 1; padding: 0 1; color: $foreground 60%; text-wrap: nowrap; text-overflow: ellipsis; }
        & > #order.-shown { display: block; }
    }
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
        self.states: tuple[StateFolder, ...] = ()
        self.view = View()
        self._wanted_run: str | None = None
        self._head, self._rows, self._filter = Static(id="order"), MarkableRows(), FilterBar()
        self._said = ""

    def compose(self) -> ComposeResult:
        yield self._head
        yield self._rows
        yield self._filter

    # What there is

    @property
    def is_empty(self) -> bool:
        """Nothing is listed: there is nothing, or nothing fits the filter."""
        return not self._rows.rows

    @property
    def is_filtered(self) -> bool:
        """Something is looked for."""
        return not self.view.query.is_empty

    @property
    def selection(self) -> Selection | None:
        """The run or checkpoint under the cursor."""
        return self._selection_of(self._rows.key)

    @property
    def is_on_checkpoint(self) -> bool:
        """The cursor is on a checkpoint's own row: what destroys or keeps one is not about a run's row."""
        return self._rows.key is not None and is_checkpoint(self._rows.key)

    @property
    def state(self) -> ForeignEntry | StateFolder | None:
        """What of sd-scripts is under the cursor."""
        key = self._rows.key
        return self._state_of(key) if key is not None and key.startswith(FOREIGN_KEY) else None

    def _state_of(self, key: str) -> ForeignEntry | StateFolder | None:
        every: list[ForeignEntry | StateFolder] = [
            *self.states,
            *(item for folder in self.states for item in folder.entries),
        ]
        return next((item for item in every if item.key == key), None)

    @property
    def marked(self) -> tuple[Path, ...]:
        """What is marked and still there, checkpoints and states, in the order it was marked."""
        found = (self._path_of(key) for key in self.view.marked)
        return tuple(path for path in found if path is not None)

    def _path_of(self, key: str) -> Path | None:
        if key.startswith(FOREIGN_KEY):
            state = self._state_of(key)
            return state.path if state is not None else None
        selection = self._selection_of(key)
        return selection.entry.folder if selection is not None and selection.entry is not None else None

    def _selection_of(self, key: str | None) -> Selection | None:
        if key is None or key.startswith(FOREIGN_KEY):
            return None
        run_id, _, name = key.partition("/")
        family = self._family(run_id)
        if family is None:
            return None
        entries = [entry for entry in family.checkpoints if not name or entry.folder.name == name]
        return Selection(family, entries[0]) if entries else Selection(family, None) if not name else None

    def in_sight(self) -> list[CheckpointEntry]:
        """The checkpoints that have to be read: of runs that are not folded, from the top; all while sorted or filtered."""
        runs = (run for root in self.families or () for run in root.walk())
        every = self.view.sorting.is_flat or self.is_filtered
        return [entry for run in runs if every or run.key not in self.view.folded for entry in run.checkpoints]

    def states_in_sight(self) -> list[ForeignEntry]:
        """Those of folders that are not folded; all while sorted or filtered."""
        every = self.view.sorting.is_flat or self.is_filtered
        opened = [folder for folder in self.states if every or folder.key not in self.view.folded]
        return [entry for folder in opened for entry in folder.entries]

    # Showing

    def show(self, families: tuple[Family, ...], now: float, states: tuple[StateFolder, ...] = ()) -> None:
        """Show these; the cursor stays where it is. now: Unix seconds."""
        first, self.families, self.states = self.families is None, families, states
        self.view = replace(self.view, now=now)
        if first:
            self._fold_older()
        self._draw()
        if first and (newest := next((row.key for row in self._rows.rows if is_checkpoint(row.key)), None)):
            self._rows.move_to(newest)
        if self._wanted_run is not None:
            self.go_to_run(self._wanted_run)

    def _go_to_state(self, key: str) -> None:
        folder = next((folder for folder in self.states if any(entry.key == key for entry in folder.entries)), None)
        if folder is not None:
            self._wanted_run = None
            self._look(folded=self.view.folded - {folder.key})
            self._rows.move_to(key)

    def go_to_run(self, run_id: str) -> None:
        """Put the cursor on the newest checkpoint of a run, unfolding it; as soon as it is listed.

        Or on a state or LoRA file of another trainer, by its key.
        """
        self._wanted_run = run_id
        if run_id.startswith(FOREIGN_KEY):
            self._go_to_state(run_id)
            return
        family = self._family(run_id)
        if family is None:
            return
        self._wanted_run = None
        root = next(root for root in self.families or () if family in root.walk())
        self._look(folded=self.view.folded - {run.key for run in root.walk()})
        self._rows.move_to(family.checkpoints[0].key if family.checkpoints else family.key)

    def take_focus(self) -> None:
        """Put the keyboard's focus on the rows."""
        self._rows.focus()

    def open_filter(self) -> None:
        """Type what is looked for."""
        self._filter.open()

    def sort(self, sorting: Sorting) -> None:
        """List in this order, the cursor on what now comes first; back in the tree it stays where it is."""
        self._look(sorting=sorting)
        if sorting.is_flat:
            self._rows.action_edge(0)
        self.post_message(self.Unfolded())

    def unmark(self) -> None:
        """Nothing is marked any more."""
        self._look(marked=())

    def _look(self, **changes: object) -> None:
        """Show the same in another way."""
        self.view = replace(self.view, **changes)  # type: ignore[arg-type]
        self._draw()

    def _draw(self) -> None:
        if self.view.sorting.is_flat:
            rows = flat_rows(self.families or (), self.states, self.view)
        else:
            rows = [*family_rows(self.families or (), self.view), *state_rows(self.states, self.view)]
        if list(self._rows.rows) != rows:
            self._rows.show_rows(rows)
        every = sum(len(run.checkpoints) for root in self.families or () for run in root.walk())
        every += sum(len(folder.entries) for folder in self.states)
        folders = {folder.key for folder in self.states}
        shown = sum("/" in row.key and row.key not in folders for row in rows)
        self._filter.count(shown, every, self.view.query.problem)
        self._draw_head(shown)

    def _draw_head(self, shown: int) -> None:
        """What is not the usual way to look at it."""
        parts = []
        if self.view.sorting.is_flat:
            parts.append(f"{self.view.sorting.words} · {format_count(shown)}")
        if self.view.marked:
            marks = " ".join(MARKS[: len(self.view.marked)])
            parts.append(f"{marks} marked: = compares" if len(self.view.marked) == 2 else f"{marks} marked, one more")
        if (said := " · ".join(parts)) != self._said:
            self._said = said
            self._head.update(Content(said))
            self._head.set_class(bool(parts), "-shown")

    def _fold_older(self) -> None:
        """In a long list only live runs and the newest one, with those it came from, are open, and no folder of states."""
        runs = [run for root in self.families or () for run in root.walk()]
        length = sum(1 + len(run.checkpoints) for run in runs)
        folded = frozenset[str]()
        if length > UNFOLDED_ROWS:
            newest = max(runs, key=lambda run: run.run.created)
            opened = {run.key for run in runs if run.run.alive or any(below is newest for below in run.walk())}
            folded = frozenset(run.key for run in runs) - opened
        if length + sum(1 + len(folder.entries) for folder in self.states) > UNFOLDED_ROWS:
            folded |= {folder.key for folder in self.states}
        self.view = replace(self.view, folded=folded)

    def _family(self, run_id: str) -> Family | None:
        return next((run for root in self.families or () for run in root.walk() if run.key == run_id), None)

    # What the rows and the filter say

    @on(RowList.Highlighted)
    def _row_highlighted(self, event: RowList.Highlighted) -> None:
        event.stop()
        self.post_message(self.Moved())

    @on(RowList.Folding)
    def _row_folding(self, event: RowList.Folding) -> None:
        event.stop()
        folded = frozenset(self.view.folded)
        self._look(folded=folded | {event.key} if event.folded else folded - {event.key})
        self.post_message(self.Unfolded())

    @on(MarkableRows.Marking)
    def _row_marking(self, event: MarkableRows.Marking) -> None:
        """A third mark takes the place of the first."""
        event.stop()
        if not is_comparable(event.key):
            return
        marked = tuple(key for key in self.view.marked if key != event.key)
        if len(marked) == len(self.view.marked):
            marked = (*marked, event.key)[-2:]
        self._look(marked=marked)
        self.post_message(self.Moved())

    @on(RowList.Chosen)
    def _row_chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        selection = self.selection
        if selection is not None and selection.entry is not None and is_checkpoint(event.key):
            self.post_message(self.Chosen(selection.entry))
        else:
            self._rows.action_toggle_fold()

    @on(FilterBar.Changed)
    def _filter_typed(self, event: FilterBar.Changed) -> None:
        event.stop()
        self._look(query=parse_query(event.words))
        self.post_message(self.Unfolded())
        self.post_message(self.Moved())

    @on(FilterBar.Left)
    def _filter_left(self, event: FilterBar.Left) -> None:
        event.stop()
        self.take_focus()
