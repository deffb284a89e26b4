"""Checkpoints as rows of a list: families as a tree with guides, without what is folded or filtered out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Final

from engine.checkpoint.describe import BrokenCheckpoint
from engine.run.liveness import RunState
from sdxl_tui.fleet.checkpoint_order import BY_FAMILY, Sorting
from sdxl_tui.fleet.checkpoint_query import EVERYTHING, Query
from sdxl_tui.fleet.families import CheckpointEntry, Family
from sdxl_tui.fleet.foreign_states import ForeignEntry, StateFolder
from sdxl_tui.terminal.numbers import format_age, format_count, format_lr, format_percent
from sdxl_tui.widgets.row_list import Row, Styled

MUTED: Final = "$foreground 60%"
CHILD_SIGN: Final = "↳"
PIN: Final = "⚑"
PIN_OF_OLD: Final = "⚐"
"""Pinned when a later attempt reached its step again, and kept aside."""
MARKS: Final = "AB"
"""The two checkpoints that are to be compared, in the order they were marked."""


@dataclass(frozen=True)
class View:
    """How the list is looked at."""

    folded: Set[str] = frozenset()
    """Keys of runs whose checkpoints are hidden; nothing is hidden while something is looked for."""
    query: Query = EVERYTHING
    sorting: Sorting = BY_FAMILY
    marked: tuple[str, ...] = ()
    """Keys of up to two checkpoints or states."""
    now: float = 0.0
    """Unix seconds."""

    def fits(self, family: Family, entry: CheckpointEntry) -> bool:
        """Whether a checkpoint is what is looked for."""
        return self.query.is_empty or self.query.fits(family.run, entry, self.now)

    def fits_state(self, folder: StateFolder, entry: ForeignEntry) -> bool:
        """Whether a state or LoRA file is what is looked for."""
        return self.query.is_empty or self.query.fits_state(folder, entry, self.now)

    def fits_any(self, family: Family) -> bool:
        """Whether anything of a family is."""
        return self.query.is_empty or any(
            self.query.fits_run(run.run) or any(self.fits(run, entry) for entry in run.checkpoints)
            for run in family.walk()
        )


def state_mark(family: Family) -> Styled:
    """One sign for the state of a run."""
    state = family.run.state
    if family.run.alive:
        return ("● ", "$success" if state is not RunState.PAUSED else "$warning")
    if state in (RunState.FAILED, RunState.KILLED, RunState.LOST):
        return ("✗ ", "$error")
    return ("✓ ", "$primary") if state is RunState.FINISHED else ("■ ", MUTED)


def family_rows(families: Sequence[Family], view: View) -> list[Row]:
    """The rows of all families as trees."""
    rows: list[Row] = []
    for family in families:
        if view.fits_any(family):
            rows += _run_rows(family, view, guides="", below="", parent=None)
    return rows


def _run_rows(family: Family, view: View, *, guides: str, below: str, parent: str | None) -> Iterator[Row]:
    """The run's own row with ``guides`` before it, and all rows under it with ``below``."""
    shown = tuple(entry for entry in family.checkpoints if view.fits(family, entry))
    children = [child for child in family.children if view.fits_any(child)]
    is_folded = family.key in view.folded and view.query.is_empty
    yield Row(
        key=family.key,
        label=(state_mark(family), (family.run.id, "bold" if family.run.alive else "")),
        tail=(_standing(family), MUTED),
        guides=guides,
        fold=("closed" if is_folded else "open") if shown or children else None,
        parent=parent,
    )
    if is_folded:
        return
    names = {entry.folder.name for entry in shown}
    lost = [child for child in children if child.parent is None or child.parent.checkpoint not in names]
    blocks: list[CheckpointEntry | Family] = [*shown, *lost]
    for at, block in enumerate(blocks):
        is_last = at == len(blocks) - 1
        branch, onward = ("╰ ", "  ") if is_last else ("├ ", "│ ")
        if isinstance(block, Family):
            yield from _run_rows(block, view, guides=below + branch, below=below + onward, parent=family.key)
            continue
        yield checkpoint_row(block, view, guides=below + branch, parent=family.key)
        for child in (child for child in children if child.parent and child.parent.checkpoint == block.folder.name):
            yield from _run_rows(
                child, view, guides=f"{below}{onward}{CHILD_SIGN} ", below=f"{below}{onward}  ", parent=block.key
            )


def _standing(family: Family) -> str:
    run = family.run
    return format_percent(run.share) if run.alive and run.share is not None else str(run.state)


def is_damaged(entry: CheckpointEntry) -> bool:
    """Whether anything is known to be wrong with a checkpoint."""
    described = entry.described
    return described is not None and (isinstance(described, BrokenCheckpoint) or not described.is_whole)


def checkpoint_row(entry: CheckpointEntry, view: View, *, guides: str, parent: str) -> Row:
    """Step, the rate it stands at, its age; or that it is damaged."""
    label = (*mark_of(entry.key, view), (format_count(entry.step), ""), *pin_of(entry))
    if is_damaged(entry):
        return Row(entry.key, (*label, ("  ✗ damaged", "$error")), guides=guides, parent=parent)
    facts = entry.facts
    if facts is None:
        return Row(entry.key, label, guides=guides, parent=parent)
    columns = ((format_lr(facts.lr), "$primary"), (short_age(view.now - facts.saved), MUTED))
    return Row(entry.key, label, columns, guides=guides, parent=parent)


def mark_of(key: str, view: View) -> tuple[Styled, ...]:
    """The letter of a row that is marked to be compared."""
    if key not in view.marked:
        return ()
    return ((f"{MARKS[view.marked.index(key)]} ", "bold $accent"),)


def pin_of(entry: CheckpointEntry) -> tuple[Styled, ...]:
    """The sign of a checkpoint that is kept."""
    if entry.is_replaced:
        return ((f" {PIN_OF_OLD}", "$warning"),)
    return ((f" {PIN}", "$warning"),) if entry.pinned else ()


def short_age(seconds: float) -> str:
    """An age for a narrow column: ``5 min``, ``now``."""
    return format_age(seconds).removesuffix(" ago").replace("just now", "now")
