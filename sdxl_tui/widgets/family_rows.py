"""Families of runs as rows of a list: what is shown, folded or filtered out, and the guides that join it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from typing import Final

from engine.checkpoint.describe import BrokenCheckpoint
from engine.run.liveness import RunState
from sdxl_tui.fleet.families import CheckpointEntry, Family
from sdxl_tui.terminal.numbers import format_age, format_count, format_lr, format_percent
from sdxl_tui.widgets.filter_bar import matches
from sdxl_tui.widgets.row_list import Row, Styled

MUTED: Final = "$foreground 60%"
ROUTE_SIGNS: Final = {"continue": "↳", "reschedule": "↳", "resize": "↳"}


def state_mark(family: Family) -> Styled:
    """One sign for the state of a run."""
    state = family.run.state
    if family.run.alive:
        return ("● ", "$success" if state is not RunState.PAUSED else "$warning")
    if state in (RunState.FAILED, RunState.KILLED, RunState.LOST):
        return ("✗ ", "$error")
    return ("✓ ", "$primary") if state is RunState.FINISHED else ("■ ", MUTED)


def family_rows(families: Sequence[Family], folded: Set[str], words: Sequence[str], now: float) -> list[Row]:
    """The rows of all families. folded: keys of runs whose checkpoints are hidden. words: lower case, only what has them
    all is shown, and nothing is folded then. now: Unix seconds.
    """
    rows: list[Row] = []
    for family in families:
        if _matches(family, words):
            rows += _run_rows(family, frozenset() if words else folded, words, now, guides="", below="", parent=None)
    return rows


def _matches(family: Family, words: Sequence[str]) -> bool:
    return not words or any(
        _fits(run, words) or any(_fits_checkpoint(entry, words) for entry in run.checkpoints) for run in family.walk()
    )


def _fits(family: Family, words: Sequence[str]) -> bool:
    return matches(words, family.run.id, family.run.name, family.run.state)


def _fits_checkpoint(entry: CheckpointEntry, words: Sequence[str]) -> bool:
    return matches(words, entry.key, str(entry.step), "damaged" if _reason(entry) else "")


def _run_rows(
    family: Family, folded: Set[str], words: Sequence[str], now: float, *, guides: str, below: str, parent: str | None
) -> Iterator[Row]:
    """The run's own row with ``guides`` before it, and all rows under it with ``below``."""
    shown = family.checkpoints
    if words and not _fits(family, words):
        shown = tuple(entry for entry in shown if _fits_checkpoint(entry, words))
    children = [child for child in family.children if _matches(child, words)]
    has_more = bool(shown or children)
    yield Row(
        key=family.key,
        label=(state_mark(family), (family.run.id, "bold" if family.run.alive else "")),
        tail=(_standing(family), MUTED),
        guides=guides,
        fold=("closed" if family.key in folded else "open") if has_more else None,
        parent=parent,
    )
    if family.key in folded:
        return
    steps = {entry.step for entry in shown}
    lost = [child for child in children if child.parent is None or child.parent.step not in steps]
    blocks: list[CheckpointEntry | Family] = [*shown, *lost]
    for at, block in enumerate(blocks):
        is_last = at == len(blocks) - 1
        branch, onward = ("╰ ", "  ") if is_last else ("├ ", "│ ")
        if isinstance(block, Family):
            yield from _run_rows(
                block, folded, words, now, guides=below + branch, below=below + onward, parent=family.key
            )
            continue
        yield checkpoint_row(block, now, guides=below + branch, parent=family.key)
        for child in (child for child in children if child.parent is not None and child.parent.step == block.step):
            sign = ROUTE_SIGNS.get(child.parent.route if child.parent else "", "↳")
            yield from _run_rows(
                child,
                folded,
                words,
                now,
                guides=f"{below}{onward}{sign} ",
                below=f"{below}{onward}  ",
                parent=block.key,
            )


def _standing(family: Family) -> str:
    run = family.run
    return format_percent(run.share) if run.alive and run.share is not None else str(run.state)


def _reason(entry: CheckpointEntry) -> str:
    """What is wrong with a checkpoint; empty while nothing is known to be."""
    described = entry.described
    if isinstance(described, BrokenCheckpoint):
        return described.reason
    return "" if described is None or described.is_whole else described.integrity


def checkpoint_row(entry: CheckpointEntry, now: float, *, guides: str, parent: str) -> Row:
    """Step, the rate it stands at, its age; or that it is damaged."""
    step: Styled = (format_count(entry.step), "")
    described = entry.described
    if _reason(entry):
        return Row(entry.key, (step, ("  ✗ damaged", "$error")), guides=guides, parent=parent)
    if described is None or isinstance(described, BrokenCheckpoint):
        return Row(entry.key, (step,), guides=guides, parent=parent)
    rate = described.groups[0].last_lr if described.groups else None
    columns = ((format_lr(rate), "$primary"), (_short_age(now - described.created), MUTED))
    return Row(entry.key, (step,), columns, guides=guides, parent=parent)


def _short_age(seconds: float) -> str:
    return format_age(seconds).removesuffix(" ago").replace("just now", "now")
