"""Checkpoints, states and LoRA files as one sorted list, without the rows of what they belong to."""

from __future__ import annotations

from collections.abc import Sequence

from sdxl_tui.fleet.checkpoint_order import Order
from sdxl_tui.fleet.families import CheckpointEntry, Family
from sdxl_tui.fleet.foreign_states import ForeignEntry, ForeignProblem, StateFolder
from sdxl_tui.fleet.stored_facts import StoredFacts
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count, format_loss, format_lr
from sdxl_tui.widgets.family_rows import MUTED, View, is_damaged, mark_of, pin_of, short_age
from sdxl_tui.widgets.row_list import Row, Styled

NOT_STORED = "–"


def flat_rows(families: Sequence[Family], folders: Sequence[StateFolder], view: View) -> list[Row]:
    """The rows of everything that fits, in the order of ``view``."""
    every: list[tuple[Family | StateFolder, CheckpointEntry | ForeignEntry]] = []
    for run in (run for root in families for run in root.walk()):
        every += ((run, entry) for entry in run.checkpoints if view.fits(run, entry))
    for folder in folders:
        every += ((folder, entry) for entry in folder.entries if view.fits_state(folder, entry))
    return [_row(holder, entry, view) for holder, entry in view.sorting.sorted(every)]


def _row(holder: Family | StateFolder, entry: CheckpointEntry | ForeignEntry, view: View) -> Row:
    """Step and run, of a state its name; what it is sorted by, or the rate."""
    step = NOT_STORED if entry.step is None else format_count(entry.step)
    pin: tuple[Styled, ...] = ()
    head = (*mark_of(entry.key, view), (f"{step:>6}", "bold"))
    if isinstance(entry, ForeignEntry):
        is_broken, name = isinstance(entry.described, ForeignProblem), clean(entry.path.name)
    else:
        is_broken, pin, name = is_damaged(entry), pin_of(entry), holder.title
    label = (*head, *pin, *((("  ✗ damaged", "$error"),) if is_broken else ()), (f" {name}", MUTED))
    if is_broken or entry.facts is None:
        return Row(entry.key, label)
    return Row(entry.key, label, ((_value(entry.facts, view), "$primary"),))


def _value(facts: StoredFacts, view: View) -> str:
    match view.sorting.order:
        case Order.DATE:
            return short_age(view.now - facts.saved)
        case Order.LOSS:
            return format_loss(facts.loss)
        case Order.HELD_OUT:
            return format_loss(facts.held_out)
    return format_lr(facts.lr)
