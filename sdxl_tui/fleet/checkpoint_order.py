"""The orders in which checkpoints are listed: as the tree of their families, or one flat list by what they say."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter
from typing import Final, Protocol, TypeVar

from sdxl_tui.fleet.stored_facts import StoredFacts


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


class Titled(Protocol):
    """What holds checkpoints or states: a run, or a folder."""

    @property
    def title(self) -> str:
        """What it is sorted by."""


class Listed(Protocol):
    """A checkpoint, or a state or LoRA file of sd-scripts."""

    @property
    def step(self) -> int | None:
        """None where none is stored."""

    @property
    def pinned(self) -> bool:
        """Kept whatever is pruned."""

    @property
    def facts(self) -> StoredFacts | None:
        """The numbers stored in it; None where it cannot be read, or was not yet."""


HolderT = TypeVar("HolderT", bound=Titled)
EntryT = TypeVar("EntryT", bound=Listed)


@dataclass(frozen=True)
class _Sorting:
    """How one order compares. read: None goes last whichever way round the rest is."""

    read: Callable[[Titled, Listed, StoredFacts | None], float | str | None]
    falls: bool
    """What comes first when it is chosen: the highest."""
    words: tuple[str, str] = ("lowest first", "highest first")
    """How rising and falling are called."""


_SORTINGS: Final[dict[Order, _Sorting]] = {
    Order.STEP: _Sorting(lambda holder, entry, facts: entry.step, True),
    Order.LOSS: _Sorting(lambda holder, entry, facts: facts.loss if facts else None, False),
    Order.HELD_OUT: _Sorting(lambda holder, entry, facts: facts.held_out if facts else None, False),
    Order.LR: _Sorting(lambda holder, entry, facts: facts.lr if facts else None, True),
    Order.RUN: _Sorting(lambda holder, entry, facts: holder.title, False, ("A to Z", "Z to A")),
    Order.DATE: _Sorting(
        lambda holder, entry, facts: facts.saved if facts else None, True, ("oldest first", "newest first")
    ),
    Order.PINNED: _Sorting(
        lambda holder, entry, facts: 1 if entry.pinned else 0, True, ("pinned last", "pinned first")
    ),
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

    def sorted(self, entries: Iterable[tuple[HolderT, EntryT]]) -> list[tuple[HolderT, EntryT]]:
        """The checkpoints in this order, newest first among equals; what says nothing about it comes last."""
        sorting = _SORTINGS[self.order]
        known: list[tuple[float | str, tuple[float, int], tuple[HolderT, EntryT]]] = []
        unknown: list[tuple[tuple[float, int], tuple[HolderT, EntryT]]] = []
        for holder, entry in entries:
            facts = entry.facts
            newest_first = (-facts.saved if facts else 0.0, -(entry.step or 0))
            value = sorting.read(holder, entry, facts)
            if value is None:
                unknown.append((newest_first, (holder, entry)))
            else:
                known.append((value, newest_first, (holder, entry)))
        unknown.sort(key=itemgetter(0))
        known.sort(key=itemgetter(1))
        known.sort(key=itemgetter(0), reverse=sorting.falls != self.reversed)
        return [*(item for *_, item in known), *(item for *_, item in unknown)]


BY_FAMILY: Final = Sorting()
