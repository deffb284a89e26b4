"""In what order runs are listed. What a run does not know about the order stands last, whichever way round."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sdxl_tui.fleet.runs import RunSummary


class RunOrder(StrEnum):
    """By what they are sorted, in words for a person."""

    TURN = "live, waiting, newest"
    NAME = "name"
    STATE = "state"
    DONE = "share done"
    LOSS = "loss"
    HELD_OUT = "held-out loss"
    LR = "LR"
    ETA = "time left"
    AGE = "age"

    @property
    def next(self) -> RunOrder:
        """The order after this one."""
        orders = list(RunOrder)
        return orders[(orders.index(self) + 1) % len(orders)]


_KEYS: Final[dict[RunOrder, Callable[[RunSummary], Any]]] = {
    RunOrder.NAME: lambda run: run.id,
    RunOrder.STATE: lambda run: run.state.value,
    RunOrder.DONE: lambda run: run.share,
    RunOrder.LOSS: lambda run: run.loss if run.loss_avg is None else run.loss_avg,
    RunOrder.HELD_OUT: lambda run: run.validation_loss,
    RunOrder.LR: lambda run: run.lr,
    RunOrder.ETA: lambda run: run.eta_seconds if run.alive else None,
    RunOrder.AGE: lambda run: -run.created,
}


@dataclass(frozen=True)
class RunSorting:
    """An order, and whether it is turned round."""

    order: RunOrder = RunOrder.TURN
    turned: bool = False

    def sorted(self, runs: Iterable[RunSummary]) -> list[RunSummary]:
        """``runs``, which come newest first, in this order; equal ones stay as they come."""
        if self.order is RunOrder.TURN:
            return sorted(runs, key=lambda run: (not run.alive, not run.turn, run.turn))
        key = _KEYS[self.order]
        every = list(runs)
        known = [run for run in every if key(run) is not None]
        return [
            *sorted(known, key=key, reverse=self.turned),
            *(run for run in every if key(run) is None),
        ]
