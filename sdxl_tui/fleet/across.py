"""What stands on the x axis of a run's curves: steps, epochs or the time trained. All is measured by steps; these are maps."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from enum import StrEnum

from sdxl_tui.fleet.run_history import RunHistory


class Across(StrEnum):
    """The unit of the x axis."""

    STEP = "step"
    EPOCH = "epoch"
    TIME = "time"

    @property
    def next(self) -> Across:
        """The unit after this one."""
        units = list(Across)
        return units[(units.index(self) + 1) % len(units)]


Map = Callable[[float], float]


def x_of(history: RunHistory, across: Across) -> Map:
    """The place of a step on the axis, rising with it: itself, epochs done with it, or seconds trained up to it.

    Steps to come go on as the last ones did.
    """
    match across:
        case Across.STEP:
            return lambda step: step
        case Across.EPOCH:
            return _epochs(history)
        case Across.TIME:
            return _seconds(history)


def step_at(history: RunHistory, across: Across, x: float, last: int) -> int:
    """The first step, from 0 to ``last``, that stands at ``x`` or after it."""
    if across is Across.STEP:
        return min(last, max(0, round(x)))
    return min(last, bisect_left(range(last + 1), x - 1e-9, key=x_of(history, across)))


def _epochs(history: RunHistory) -> Map:
    starts = [step for step, _ in history.epoch_starts]
    numbers = [epoch for _, epoch in history.epoch_starts]
    done = history.last.step if history.last else 0
    if not starts:
        return lambda step: 0.0
    # The last epoch is as long as the one before, or longer if it already is.
    whole = (starts[-1] - starts[-2]) / max(1, numbers[-1] - numbers[-2]) if len(starts) > 1 else 0.0
    last_length = max(whole, done - starts[-1], 1.0)

    def epochs(step: float) -> float:
        at = max(0, bisect_right(starts, step) - 1)
        begin, number = starts[at], numbers[at]
        if at + 1 < len(starts):
            share = (step - begin) / max(1, starts[at + 1] - begin) * (numbers[at + 1] - number)
        else:
            share = (step - begin) / last_length
        return max(0.0, number - 1 + share)

    return epochs


def _seconds(history: RunHistory) -> Map:
    steps, seconds = history.seconds.steps, history.seconds.values
    if not len(history.seconds):
        return lambda step: 0.0
    done, total = steps[-1], seconds[-1]
    pace = total / max(1, done - steps[0] + 1)

    def trained(step: float) -> float:
        if step > done:
            return total + (step - done) * pace
        at = bisect_right(steps, step) - 1
        return seconds[at] if at >= 0 else 0.0

    return trained


def time_unit(seconds: float) -> tuple[float, str]:
    """(seconds in a unit, its name): the one in which a span of this length is read."""
    for size, name in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return size, name
    return 1.0, "s"
