"""When a checkpoint is due, what happens when the disk refuses it, and who is told.

The loop waits for the copy of the state alone; a thread beside it writes, syncs, renames and prunes, one checkpoint at a time.
How one is written is ``engine.checkpoint.save``'s business, what it holds ``training.py``'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from engine.checkpoint.pins import read_pins
from engine.checkpoint.retention import Retention, prune
from engine.checkpoint.save import CheckpointContent, SavedCheckpoint, SaveError, save_checkpoint
from engine.errors import UserError
from engine.run.commands import Command
from engine.run.layout import RunDirectory
from engine.train.meter import NonFiniteError, StepMeter
from engine.train.reporter import Reporter
from engine.train.requests import Requests
from engine.train.training import Training

RETRY_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Patience:
    """How long the last save of an attempt is tried again while the disk refuses it, in seconds."""

    stop: float = 10.0
    """Whoever asked for the stop waits, or the machine is going down."""
    finish: float = 1800.0
    """The result of the whole training is at stake, and only memory holds it."""
    pause: float = 2.0
    """Between the first two tries; then longer and longer, at most ``longest_pause``."""
    longest_pause: float = 60.0


class UnsavedError(UserError):
    """The run ends, and its last steps are on no disk."""


@dataclass(frozen=True)
class _Written:
    """What a save has done."""

    saved: SavedCheckpoint
    pruned: list[Path]
    kept_aside: Path | None
    """Where a pinned checkpoint of the same step lies now."""


@dataclass(frozen=True)
class _UnderWay:
    """A save that the thread is at."""

    step: int
    reason: str
    began: float
    commands: tuple[Command, ...]
    """That asked for it or had to wait for it."""
    result: Future[_Written]


class Saver:
    """Saves checkpoints of one training into its run, and answers the requests for one. To be closed at the end."""

    def __init__(
        self,
        run: RunDirectory,
        training: Training,
        meter: StepMeter,
        reporter: Reporter,
        requests: Requests,
        *,
        clock: Callable[[], float] = time.monotonic,
        patience: Patience | None = None,
    ) -> None:
        """What the training stands at now is taken to be on disk, or not worth saving: it has just been made or loaded."""
        self._run, self._training, self._meter, self._reporter = run, training, meter, reporter
        self._requests = requests
        self._clock = clock
        self._patience = patience or Patience()
        self._thread = ThreadPoolExecutor(1, "saver")
        self._under_way: _UnderWay | None = None
        self._saved_step = training.progress.step
        self._saved_at = clock()
        self._failed_at: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for the save that is under way, however the training ended, and report on it."""
        try:
            if self._under_way is not None:
                self._conclude()
        finally:
            self._thread.shutdown()

    @property
    def is_up_to_date(self) -> bool:
        """Every step that was made is in a checkpoint on the disk."""
        return self._saved_step == self._training.progress.step

    def look(self) -> None:
        """Between two steps: report on a save that has ended, begin one that is due or asked for.

        One that is due at this very step waits for the one under way; what a timer or a person asks for comes after it.
        Raises ``UnsavedError`` if the disk has refused one and the profile says to stop then.
        """
        self.report()
        if self._under_way is not None:
            if self._due() != "interval":
                return
            self._settle()
        self._answer_saved()
        reason = "command" if self._requests.saves else self._due()
        if reason is not None:
            self._begin(reason)

    def report(self) -> None:
        """Report on a save if one has ended since the last look. Raises as ``look``."""
        if self._under_way is not None and self._under_way.result.done():
            self._settle()

    def save_now(self, reason: str) -> None:
        """Save what is not saved, and wait until it is on the disk or refused. Raises as ``look``."""
        if (failure := self._save(reason)) is not None:
            self._end_if_wanted(failure)

    def save_last(self, reason: str, *, give_up: Callable[[], bool]) -> None:
        """Save at the end of an attempt, again and again for a while if the disk refuses (see ``Patience``).

        Raises ``UnsavedError`` when time is up or ``give_up()`` says so.
        """
        began = self._clock()
        patience = self._patience.finish if reason == "finish" else self._patience.stop
        pause = self._patience.pause
        while (failure := self._save(reason)) is not None:
            if self._clock() - began >= patience or give_up():
                raise UnsavedError(
                    f"the training ended at step {self._training.progress.step} and could not be saved: {failure}",
                    where=str(self._run.checkpoints),
                    hint="Free some space, then resume: what was trained since the last checkpoint is trained again.",
                )
            time.sleep(pause)
            pause = min(2 * pause, self._patience.longest_pause)

    def _save(self, reason: str) -> str | None:
        """Save what is not saved, and wait for it. Returns None, or why it failed."""
        if self._under_way is not None:
            self._conclude()
        failure = None
        if not self.is_up_to_date:
            self._begin(reason)
            failure = self._conclude()
        self._answer_saved()
        return failure

    def _due(self) -> str | None:
        """``interval`` or ``timer`` if a checkpoint of the steps done is due by itself and not made; None if not."""
        step = self._training.progress.step
        if self.is_up_to_date or (self._under_way is not None and self._under_way.step == step):
            return None
        now, settings = self._clock(), self._training.profile.checkpoints
        if self._failed_at is not None:
            return "timer" if now - self._failed_at >= RETRY_SECONDS else None
        if settings.every_steps and step % settings.every_steps == 0:
            return "interval"
        if settings.every_minutes and now - self._saved_at >= settings.every_minutes * 60:
            return "timer"
        return None

    def _begin(self, reason: str) -> None:
        """Copy the state and have it written. Raises ``NonFiniteError`` if there is nothing worth saving."""
        self._meter.flush()
        step, began = self._training.progress.step, self._clock()
        if not self._training.weights_are_finite():
            self._reporter.nonfinite(step, "weights")
            raise NonFiniteError(
                f"after step {step} the weights are not finite: the training has diverged",
                where="optimizer.lr",
                hint="Resume from the last checkpoint or continue from it with a lower LR.",
            )
        # In a row of steps that are not finite the weights may be what is wrong: nothing older gives way to them.
        prunes = self._training.progress.dropped_in_a_row == 0
        result = self._thread.submit(self._write, self._training.content(), prunes=prunes)
        self._under_way = _UnderWay(step, reason, began, tuple(self._requests.saves), result)

    def _write(self, content: CheckpointContent, *, prunes: bool) -> _Written:
        """In the thread: everything that waits for the disk."""
        self._reporter.sync_metrics()
        folder = self._run.checkpoint(content.step)
        aside = None
        if folder.name in read_pins(self._run) and folder.exists():
            aside = folder.with_name(f"replaced-{folder.name}-{self._training.origin.attempt:03d}")
        saved = save_checkpoint(folder, content, keep_replaced_as=aside)
        settings = self._training.profile.checkpoints
        retention = Retention(settings.keep_last, settings.keep_every_steps, settings.keep_best)
        return _Written(saved, prune(self._run, retention, latest=folder) if prunes else [], aside)

    def _settle(self) -> None:
        """Wait for the save under way and report on it; end the run if it failed and the profile says so."""
        if (failure := self._conclude()) is not None:
            self._end_if_wanted(failure)

    def _conclude(self) -> str | None:
        """Wait for the save under way and report on it. Returns why it failed."""
        under_way, self._under_way = self._under_way, None
        assert under_way is not None
        waits = not under_way.result.done()
        if waits:
            self._reporter.state("saving")
        try:
            written = under_way.result.result()
        except SaveError as error:
            self._failed_at = self._clock()
            self._reporter.save_failed(under_way.step, str(error))
            self._answer(under_way.commands, str(error))
            return str(error)
        finally:
            if waits:
                self._reporter.state("training")
        self._saved_step, self._saved_at, self._failed_at = under_way.step, under_way.began, None
        self._report_written(written, under_way.reason)
        self._answer(under_way.commands)
        return None

    def _report_written(self, written: _Written, reason: str) -> None:
        name = written.saved.folder.name
        self._reporter.saved(written.saved, reason)
        for gone in written.pruned:
            self._reporter.pruned(gone.name)
        if written.kept_aside is not None and written.kept_aside.exists():
            text = f"{name} was pinned and has been reached again: the earlier one is kept as {written.kept_aside.name}"
            self._reporter.warning(text, str(self._run.checkpoints))

    def _answer_saved(self) -> None:
        """Answer what was asked for and is on the disk already."""
        if self.is_up_to_date:
            self._answer(tuple(self._requests.saves))

    def _answer(self, commands: Sequence[Command], failure: str | None = None) -> None:
        for command in commands:
            self._requests.answer(command, failure is None, failure or "saved")

    def _end_if_wanted(self, failure: str) -> None:
        if self._training.profile.checkpoints.on_save_error == "stop":
            raise UnsavedError(
                f"a checkpoint could not be saved, and checkpoints.on_save_error = stop: {failure}",
                where=str(self._run.checkpoints),
                hint="Free some space, then resume: what was trained since the last checkpoint is trained again.",
            )
