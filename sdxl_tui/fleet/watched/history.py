"""The curves of a watched run, read from its event files and followed while they grow.

One curve per scalar. Those that mean the same as ours do (``tags.py``) are the loss, its average, the rates; every other one is
kept under its own name. Where a trainer writes no average, it is taken here, over as many values as ours.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from engine.foreign.event_file import EventFile, open_to_read, readings_near
from engine.foreign.event_record import Reading
from engine.run.layout import RunDirectory
from engine.run.metrics import MetricPoint
from sdxl_tui.fleet.run_history import OVERVIEW_POINTS, Curve, RunHistory
from sdxl_tui.fleet.watched.event_folder import event_files
from sdxl_tui.fleet.watched.tags import Meaning, Tag, understand
from sdxl_tui.terminal.clean import clean

OVERVIEW_BYTES: Final = 3_000_000
"""Of event files, from which an overview stands in until all of them are read."""
PLACE_BYTES: Final = 1024
"""Read at each place of an overview: the scalars of a step and more."""
AVERAGED: Final = 100
"""Values of the loss that an average is taken over."""
SETTLED_SECONDS: Final = 3.0
"""After which a folder whose time is the same holds the same names, however coarse its clock is."""
SCALARS: Final = 200
"""Further ones that a run writes are not kept."""
RESUMES: Final = 1000
"""The newest that are kept."""
NAME_CHARACTERS: Final = 80
POINTS: Final = 4_000_000
"""Values of all scalars of a run that are kept; what else is not loss or rate is left out then."""


class WatchedHistory(RunHistory):
    """Follows a folder with event files. Used by one thread at a time."""

    def __init__(self, folder: Path, *, brief: bool = False) -> None:
        """brief: only losses and rates, by step alone."""
        self._folder = folder
        self._files: list[EventFile] = []
        self._at = 0
        """Which of the files is followed: those before it are read, and what comes in later ones replaces what is there."""
        self._listed: int | None = None
        self._caught_up = False
        super().__init__(RunDirectory(folder), brief=brief)

    def _begin(self) -> None:
        super()._begin()
        self._loss_rank = self._validation_rank = 99
        self._names: dict[Meaning, str] = {}
        """Of the scalars that are shown as the loss and as that of held-out images."""
        self._found_d: set[str] = set()
        """Groups whose rate is known with the factor of an adaptive optimizer."""
        self.is_cut = False
        """More is written than is kept."""
        self._averages_itself = False
        self._recent: deque[float] = deque(maxlen=AVERAGED)
        self._step, self._time, self._attempts = 0, 0.0, 1
        self._trained = 0.0
        self._begins_anew = False
        self._has_steps = False
        """Scalars whose step is known to be one of the training were found; until then all others stand in for them."""
        self._written: dict[Curve, int] = {}
        """What was written since the last loss, or since the file began: from which step on."""
        self._count = 0
        self._epoch = 1

    @property
    def caught_up(self) -> bool:
        return self._caught_up

    @property
    def damaged(self) -> int:
        """Records that were passed over."""
        return sum(file.damaged for file in self._files)

    @property
    def problem(self) -> str:
        """Why what is followed cannot be read; empty if it can."""
        return self._files[self._at].problem if self._at < len(self._files) else ""

    def poll(self) -> bool:
        self._list_again()
        self._caught_up = True
        if self._at >= len(self._files):
            return False
        file = self._files[self._at]
        found = file.poll()
        if file.restarted and (self._step or self._at):
            self._begin_all_again()
            return True
        self._take_all(found)
        self._caught_up = file.caught_up
        if file.caught_up and self._at + 1 < len(self._files):
            following = self._files[self._at + 1]
            beginning = following.poll()
            if beginning or not following.caught_up or self._at + 2 < len(self._files):
                self._at += 1
                self._begins_anew = self._step > 0
                self._written.clear()
                self._take_all(beginning)
                found += beginning
                self._caught_up = False
        self._sum_up()
        return bool(found)

    def _begin_all_again(self) -> None:
        self._begin()
        self._files, self._at, self._listed, self._caught_up = [], 0, None, False

    def _list_again(self) -> None:
        """New files come last; the folder is listed when it has changed."""
        try:
            changed = self._folder.stat().st_mtime_ns
            if changed == self._listed and time.time() - changed / 1e9 > SETTLED_SECONDS:
                return
            names = event_files(self._folder)
        except OSError:
            return
        self._listed = changed
        known = {file.path for file in self._files}
        self._files += [EventFile(path) for path, _ in names if path not in known]

    def overview(self) -> WatchedHistory | None:
        self._list_again()
        sizes = [(file.path, _size(file.path)) for file in self._files]
        if sum(size for _, size in sizes) < OVERVIEW_BYTES:
            return None
        found = WatchedHistory(self._folder, brief=self._brief)
        for path, readings in _looks(sizes, OVERVIEW_POINTS):
            del path
            found._take_all([reading for reading in readings if reading.tag and not understand(reading.tag).by_epoch])
        found._sum_up()
        return found if found.last else None

    # Taking in

    def _take_all(self, readings: Sequence[Reading]) -> None:
        for reading in readings:
            if reading.tag is None:
                self._written.clear()
                self._restart(reading.step)
                continue
            tag = understand(reading.tag)
            if self._tells_step(tag, reading.step):
                if self._begins_anew or self._goes_back(tag, reading.step):
                    self._begins_anew = False
                    self._restart(reading.step)
                if reading.step > self._step:
                    self._next_step(reading)
            self._take_scalar(tag, reading)

    def _tells_step(self, tag: Tag, step: int) -> bool:
        """How far the training is: by what is known to count steps, else by whatever does not count epochs."""
        if not tag.is_by_step:
            return not (self._has_steps or tag.by_epoch)
        if not self._has_steps:
            self._has_steps = True
            if self._step:  # what stood in may have counted anything
                self.seconds, self.speed = Curve(), Curve()
                self._forget_epochs(step)
                self._step, self._time, self._trained = 0, 0.0, 0.0
        return True

    def _goes_back(self, tag: Tag, step: int) -> bool:
        """The loss is written of a step before its last one; other scalars may lag behind it."""
        is_loss = tag.meaning is Meaning.LOSS and tag.rank == self._loss_rank
        return is_loss and len(self.loss) > 0 and step < self.loss.steps[-1]

    def _restart(self, step: int) -> None:
        """What is known from this step on is void, but for what was written on the way back: the loss need not be the first."""
        for curve in (*self._curves(), *self.others.values()):
            if self._written.get(curve, step + 1) > step:
                curve.cut(step)
        self._forget_epochs(step)
        if self._step and len(self.loss) + len(self.loss_avg):
            self._attempts += 1
            while self.resumes and self.resumes[-1] >= step - 1:
                self.resumes.pop()
            self.resumes.append(step - 1)
            if len(self.resumes) > RESUMES:
                del self.resumes[0]
                self.is_cut = True
        self._recent = deque(self.loss.values[-AVERAGED:], maxlen=AVERAGED)
        self._trained = self.seconds.values[-1] if len(self.seconds) else 0.0
        self._step, self._time = min(self._step, max(0, step - 1)), 0.0

    def _forget_epochs(self, step: int) -> None:
        """Those that began with this step or after it; one whose first step it is stands, but for a fresh start."""
        while self.epoch_starts and self.epoch_starts[-1][0] >= step:
            self.epoch_starts.pop()
        if len(self.epoch_starts) == 1 and self.epoch_starts[0][0] >= step - 1:
            self.epoch_starts.clear()

    def _next_step(self, reading: Reading) -> None:
        """The first of what is written of a step."""
        took = max(0.0, reading.time - self._time) if self._time and reading.time else 0.0
        steps = reading.step - self._step
        self._trained += took
        if not self._brief:
            self.seconds.add(reading.step, self._trained)
            if took > 0 < steps:
                self.speed.add(reading.step, steps / took)
            if not self.epoch_starts:
                self.epoch_starts.append((max(0, reading.step - 1), self._epoch))
        self._step, self._time = reading.step, reading.time

    def _take_scalar(self, tag: Tag, reading: Reading) -> None:
        step, value = reading.step, reading.value
        match tag.meaning:
            case Meaning.LOSS if tag.rank <= self._loss_rank:
                if tag.rank < self._loss_rank:
                    self.loss, self._loss_rank = self._instead(tag, self.loss), tag.rank
                self.loss.add(step, value)
                self._written.clear()
                if not self._averages_itself:
                    self._average(step, value)
            case Meaning.AVERAGE:
                if not self._averages_itself:
                    self._averages_itself, self.loss_avg = True, Curve()
                self._put(self.loss_avg, step, value)
            case Meaning.VALIDATION if tag.rank <= self._validation_rank:
                if tag.rank < self._validation_rank:
                    self.validation, self._validation_rank = self._instead(tag, self.validation), tag.rank
                self._put(self.validation, self._place(tag, step), value)
            case Meaning.RATE if tag.rank == 0 or tag.group not in self._found_d:
                self._take_rate(tag, step, value)
            case Meaning.GRAD_NORM if not self._brief:
                self._put(self.grad_norm, step, value)
            case Meaning.EPOCH if not self._brief:
                self._take_epoch(step, value)
            case _ if not self._brief:
                self._take_other(tag, step, value)
        if tag.by_epoch and not self._brief:
            self._end_epoch(step)

    def _put(self, curve: Curve, step: int, value: float) -> None:
        self._written[curve] = min(step, self._written.get(curve, step))
        curve.add(step, value)

    def _average(self, step: int, value: float) -> None:
        if not math.isnan(value):
            self._recent.append(value)
        known = [one for one in self._recent if not math.isnan(one)]
        self.loss_avg.add(step, sum(known) / len(known) if known else math.nan)

    def _instead(self, tag: Tag, curve: Curve) -> Curve:
        """A better scalar is found: what stood in for it goes by its own name."""
        if len(curve):
            self.others[clean(self._names[tag.meaning], limit=NAME_CHARACTERS)] = curve
        self._names[tag.meaning] = tag.name
        return Curve()

    def _take_rate(self, tag: Tag, step: int, value: float) -> None:
        group = clean(tag.group, limit=60)
        if tag.rank == 0 and tag.group not in self._found_d:
            self._found_d.add(tag.group)
            if group in self.lr:
                self.others[f"lr/{group}"] = self.lr.pop(group)
        if group not in self.lr:
            if len(self.lr) >= SCALARS:
                self.is_cut = True
                return
            self.lr[group] = Curve()
        self._put(self.lr[group], step, value)

    def _take_other(self, tag: Tag, step: int, value: float) -> None:
        name = clean(tag.name, limit=NAME_CHARACTERS)
        if name not in self.others:
            if len(self.others) >= SCALARS:
                self.is_cut = True
                return
            self.others[name] = Curve()
        if self._count < POINTS:
            self._count += 1
            self._put(self.others[name], self._place(tag, step), value)
        else:
            self.is_cut = True

    def _place(self, tag: Tag, step: int) -> int:
        """The step at which it was measured: what is written once an epoch counts epochs."""
        return max(step, self._step) if tag.by_epoch else step

    def _take_epoch(self, step: int, value: float) -> None:
        """The number of the epoch, written with each step."""
        if not 0 <= value < 1e9:
            return
        number = int(value) + (not float(value).is_integer())
        if number > (self.epoch_starts[-1][1] if self.epoch_starts else 0):
            while self.epoch_starts and self.epoch_starts[-1][0] >= step - 1:
                self.epoch_starts.pop()
            self.epoch_starts.append((max(0, step - 1), number))

    def _end_epoch(self, step: int) -> None:
        """An epoch ended with the last step, its number the step if that is no step."""
        if not self.epoch_starts or self._step <= self.epoch_starts[-1][0]:
            return
        number = step if 0 < step < self._step else self.epoch_starts[-1][1]
        start, before = self.epoch_starts[-1]
        if len(self.epoch_starts) == 1 and number > before == 1:
            self.epoch_starts[0] = (start, number)  # it went on from a state
        self.epoch_starts.append((self._step, max(number, before) + 1))

    def _sum_up(self) -> None:
        if not self._step:
            return
        rates = {
            group: curve.values[-1] for group, curve in self.lr.items() if len(curve) and curve.steps[-1] == self._step
        }
        self.last = MetricPoint(
            self._step,
            self._attempts,
            self.epoch_starts[-1][1] if self.epoch_starts else 0,
            self._time,
            _at(self.loss, self._step),
            _at(self.loss_avg, self._step),
            {group: rate for group, rate in rates.items() if not math.isnan(rate)},
        )


def _at(curve: Curve, step: int) -> float | None:
    """The last value, if it is of ``step``."""
    return curve.values[-1] if len(curve) and curve.steps[-1] == step and not math.isnan(curve.values[-1]) else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _looks(sizes: Sequence[tuple[Path, int]], places: int) -> Iterator[tuple[Path, list[Reading]]]:
    """What is found at places all over the files, the last one at their end."""
    total = sum(size for _, size in sizes)
    for path, size in sizes:
        here = max(1, places * size // max(1, total))
        try:
            descriptor = open_to_read(path)
        except OSError:
            continue
        try:
            last = max(0, size - PLACE_BYTES)
            for at in range(here + 1):
                yield path, readings_near(descriptor, last * at // here, PLACE_BYTES)
        except OSError:
            continue
        finally:
            os.close(descriptor)


def watched_trend(files: Sequence[Path], places: int) -> tuple[float | None, ...]:
    """The averaged loss, else the loss, at ``places`` places of a run's newest file; empty where nothing is measured."""
    sizes = [(path, size) for path in files[-1:] if (size := _size(path))]
    found = [_loss(readings) for _, readings in _looks(sizes, places)]
    return tuple(found[1:]) if any(loss is not None for loss in found) else ()


def _loss(readings: Sequence[Reading]) -> float | None:
    best: tuple[int, float] | None = None
    for reading in readings:
        if reading.tag is not None and not math.isnan(reading.value):
            tag = understand(reading.tag)
            rank = {Meaning.AVERAGE: 0, Meaning.LOSS: 1 + tag.rank}.get(tag.meaning)
            if rank is not None and (best is None or rank <= best[0]):
                best = rank, reading.value
    return best[1] if best else None
