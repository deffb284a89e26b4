"""The measured curves of one run, followed while it trains: loss, learning rates, gradient norm, speed, memory over the steps.

Everything stays in memory as plain numbers; what is handed out is grouped to a bounded number of spans, and grouping is done
once per group, so that a look at a run of a million steps costs what was added since the last one.
"""

from __future__ import annotations

import math
import os
from array import array
from bisect import bisect_left, bisect_right
from typing import Final

from engine.run.layout import RunDirectory
from engine.run.metrics import MetricPoint, MetricsReader, ValidationPoint

Span = tuple[float, float, float]
"""(step, lowest value, highest value)"""

OVERVIEW_BYTES: Final = 8_000_000
"""Of metrics, from which an overview stands in until all of them are read."""
OVERVIEW_POINTS: Final = 1500
LINE_BYTES: Final = 4096
"""Longer ones are passed over in an overview."""
SPANS: Final = 2048
"""Spans of a curve that are handed out at most; twice as many as a terminal of 500 columns has dots across."""


class Curve:
    """Values over rising steps. NaN: not measured, or not finite."""

    def __init__(self) -> None:
        self.steps = array("q")
        self.values = array("d")
        self._groups: list[Span] = []
        self._per_group = 1

    def __len__(self) -> int:
        return len(self.steps)

    def add(self, step: int, value: float | None) -> None:
        """Append a value; what stood at this step or after it is replaced."""
        if self.steps and step <= self.steps[-1]:
            self.cut(step)
        self.steps.append(step)
        self.values.append(math.nan if value is None else value)

    def cut(self, step: int) -> None:
        """Forget ``step`` and all after it."""
        at = bisect_left(self.steps, step)
        del self.steps[at:], self.values[at:]
        del self._groups[at // self._per_group :]

    def spans(self, most: int = SPANS) -> list[Span]:
        """Lowest and highest value per group of neighbouring steps, at most about ``most`` groups."""
        needed = 1
        while len(self) > needed * most:
            needed *= 2
        if needed != self._per_group:
            self._per_group, self._groups = needed, []
        whole = len(self) // needed
        self._groups += (self._group(at) for at in range(len(self._groups), whole))
        return self._groups if whole * needed == len(self) else [*self._groups, self._group(whole)]

    def spans_between(self, first: float, last: float, most: int = SPANS) -> list[Span]:
        """As ``spans``, of the steps within [first, last] alone and the one on either side: the detail of a part."""
        begin = max(0, bisect_left(self.steps, math.floor(first)) - 1)
        end = min(len(self), bisect_right(self.steps, math.ceil(last)) + 1)
        count = end - begin
        if 2 * count > len(self) and len(self) > most:
            return self.spans(most)
        size = max(1, -(-count // most))
        return [self._span(at, min(end, at + size)) for at in range(begin, end, size)]

    def means(self, most: int = SPANS) -> list[Span]:
        """As ``spans``, with the middle of each group as both its values: a line."""
        return [(step, (low + high) / 2, (low + high) / 2) for step, low, high in self.spans(most)]

    def _group(self, at: int) -> Span:
        first = at * self._per_group
        return self._span(first, first + self._per_group)

    def _span(self, first: int, end: int) -> Span:
        values = [value for value in self.values[first:end] if not math.isnan(value)]
        if not values:
            return self.steps[first], math.nan, math.nan
        return self.steps[first], min(values), max(values)


class RunHistory:
    """Follows a run's ``metrics.jsonl``. Used by one thread at a time."""

    def __init__(self, run: RunDirectory, attempt: int | None = None, *, brief: bool = False) -> None:
        """attempt: the last one that counts; what later ones trained anew is another history. None: all count.

        brief: only losses and rates, by step alone, in half the memory.
        """
        self._run = run
        self._brief = brief
        self._reader = MetricsReader(run.metrics)
        self._attempt = attempt
        self._begin()

    def _begin(self) -> None:
        self.loss = Curve()
        self.loss_avg = Curve()
        self.validation = Curve()
        """The loss on held-out images, where there are any."""
        self.lr: dict[str, Curve] = {}
        self.grad_norm, self.speed, self.memory = Curve(), Curve(), Curve()
        """The gradient's norm before clipping, steps a second, and megabytes of the GPU's memory; empty where never measured."""
        self.others: dict[str, Curve] = {}
        """What other trainers measure besides, by its name (safe to print), in the order of its appearance."""
        self.seconds = Curve()
        """Of training up to each step: what lies between two attempts does not count."""
        self.epoch_starts: list[tuple[int, int]] = []
        """(steps done before an epoch's first, its number from 1), rising."""
        self.resumes: list[int] = []
        """The last step before each resume."""
        self.last: MetricPoint | None = None

    def poll(self) -> bool:
        """Take in what was added; whether anything was."""
        points = self._reader.poll()
        if self._reader.restarted:
            self._begin()
        for point in points:
            self.take(point)
        for validation in self._reader.validations:
            self.take_validation(validation)
        return bool(points or self._reader.validations) or self._reader.restarted

    def overview(self) -> RunHistory | None:
        """What a few points all over a long file say; None of a short one, which is read at once."""
        path = self._reader.path
        try:
            with path.open("rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                if size < OVERVIEW_BYTES:
                    return None
                found = RunHistory(self._run, self._attempt, brief=self._brief)
                last = max(0, size - LINE_BYTES)
                for at in range(OVERVIEW_POINTS + 1):
                    file.seek(last * at // OVERVIEW_POINTS)
                    found._take_one(file.read(LINE_BYTES))
        except OSError:
            return None
        return found if found.last else None

    def _take_one(self, data: bytes) -> None:
        """Take the first point that begins in ``data``."""
        for line in data.split(b"\n")[1:-1]:
            point = MetricPoint.from_line(line)
            if point is not None and (
                self.last is None or point.attempt > self.last.attempt or point.step > self.last.step
            ):
                self.take(point)
                return

    @property
    def caught_up(self) -> bool:
        """There was no more to read at the last poll."""
        return self._reader.caught_up

    def take(self, point: MetricPoint) -> None:
        """Attempts follow each other in the file, and each replaces what is older from its own first step on."""
        if self._is_later(point.attempt) or (self.last is not None and point.attempt < self.last.attempt):
            return
        if self.last is not None and point.attempt > self.last.attempt:
            self.resumes = [*(step for step in self.resumes if step < point.step - 1), point.step - 1]
            for curve in self._curves():
                curve.cut(point.step)
            self.epoch_starts = [start for start in self.epoch_starts if start[0] < point.step - 1]
        self.loss.add(point.step, point.loss)
        self.loss_avg.add(point.step, point.loss_avg)
        for group, rate in point.lr.items():
            self.lr.setdefault(group, Curve()).add(point.step, rate)
        if not self._brief:
            self._take_rest(point)
        self.last = point

    def _take_rest(self, point: MetricPoint) -> None:
        """What few look at; a curve begins where it is first measured."""
        speed = 1 / point.step_seconds if point.step_seconds else None
        for curve, value in (
            (self.grad_norm, point.grad_norm),
            (self.speed, speed),
            (self.memory, point.memory_mb),
        ):
            if value is not None or len(curve):
                curve.add(point.step, value)
        before = self.last
        took = point.step_seconds or 0.0
        if before is not None and before.attempt == point.attempt:
            took = max(0.0, point.time - before.time)  # a clock may be set back
        self.seconds.add(point.step, (self.seconds.values[-1] if len(self.seconds) else 0.0) + took)
        if not self.epoch_starts or point.epoch > self.epoch_starts[-1][1]:
            self.epoch_starts.append((point.step - 1, point.epoch))

    def _curves(self) -> tuple[Curve, ...]:
        measured = (self.loss, self.loss_avg, self.validation, *self.lr.values())
        return (*measured, self.grad_norm, self.speed, self.memory, self.seconds)

    def take_validation(self, point: ValidationPoint) -> None:
        """A validation of the newest attempt replaces what an older one measured from its step on."""
        if not self._is_later(point.attempt) and (self.last is None or point.attempt >= self.last.attempt):
            self.validation.add(point.step, point.validation_loss)

    def _is_later(self, attempt: int) -> bool:
        return self._attempt is not None and attempt > self._attempt
