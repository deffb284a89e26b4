"""The orders in which checkpoints are listed: as the tree of their families, or one flat list by what they say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter
from typing import Final

from engine.checkpoint.describe import CheckpointSummary
from sdxl_tui.fleet.families import CheckpointEntry, Family


class Order(StrEnum):
    """By what the list is sorted, in the words of the dialog."""

    FAMILY = "family"
    STEP = "step"
    LOSS = "loss"
    HELD_OUT = "held-out loss"
    LR = "LR"
    RUN = "run"
    DATE = "date"
    PINNED = "pinned"


@dataclass(frozen=True)
class _Sorting:
    """How one order compares. read: None goes last whichever way round the rest is."""

    read: Callable[[Family, CheckpointEntry, CheckpointSummary | None], float | str | None]
    falls: bool
    """What comes first when it is chosen: the highest."""
    words: tuple[str, str]
    """How rising and falling are called."""


def _saved(found: CheckpointSummary | None) -> float | None:
    return None if found is None else found.created


_SORTINGS: Final[dict[Order, _Sorting]] = {
    Order.STEP: _Sorting(lambda run, entry, found: entry.step, True, ("lowest first", "highest first")),
    Order.LOSS: _Sorting(
        lambda run, entry, found: found.loss_avg if found else None, False, ("lowest first", "highest first")
    ),
    Order.HELD_OUT: _Sorting(
        lambda run, entry, found: found.validation_loss if found else None, False, ("lowest first", "highest first")
    ),
    Order.LR: _Sorting(
        lambda run, entry, found: found.groups[0].used_lr if found and found.groups else None,
        True,
        ("lowest first", "highest first"),
    ),
    Order.RUN: _Sorting(lambda run, entry, found: run.run.id, False, ("A to Z", "Z to A")),
    Order.DATE: _Sorting(lambda run, entry, found: _saved(found), True, ("oldest first", "newest first")),
    Order.PINNED: _Sorting(lambda run, entry, found: 1 if entry.pinned else 0, True, ("pinned last", "pinned first")),
}


@dataclass(frozen=True)
class Sorting:
    """An order and which way round."""

    order: Order = Order.FAMILY
    reversed: bool = False

    @property
    def is_flat(self) -> bool:
        """One list of checkpoints, without their runs' rows."""
        return self.order is not Order.FAMILY

    @property
    def words(self) -> str:
        """``by loss, lowest first``."""
        if not self.is_flat:
            return "by family"
        sorting = _SORTINGS[self.order]
        return f"by {self.order}, {sorting.words[sorting.falls != self.reversed]}"

    def chosen(self, order: Order) -> Sorting:
        """After ``order`` was chosen: once more turns it round."""
        return Sorting(order, order is self.order and order is not Order.FAMILY and not self.reversed)

    def sorted(self, entries: Iterable[tuple[Family, CheckpointEntry]]) -> Sequence[tuple[Family, CheckpointEntry]]:
        """The checkpoints in this order, newest first among equals; what says nothing about it comes last."""
        sorting = _SORTINGS[self.order]
        known: list[tuple[float | str, float, Family, CheckpointEntry]] = []
        unknown: list[tuple[float, Family, CheckpointEntry]] = []
        for family, entry in entries:
            found = entry.described if isinstance(entry.described, CheckpointSummary) else None
            value = sorting.read(family, entry, found)
            if value is None:
                unknown.append((_saved(found) or 0.0, family, entry))
            else:
                known.append((value, _saved(found) or 0.0, family, entry))
        unknown.sort(key=lambda item: (-item[0], -item[2].step))
        known.sort(key=lambda item: (-item[1], -item[3].step))
        known.sort(key=itemgetter(0), reverse=sorting.falls != self.reversed)
        return [*((run, entry) for _, _, run, entry in known), *((run, entry) for _, run, entry in unknown)]


BY_FAMILY: Final = Sorting()
