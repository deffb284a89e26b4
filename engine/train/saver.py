"""When a checkpoint is due, what happens when the disk refuses it, and which older ones go.

How one is written is ``engine.checkpoint.save``'s business, what it holds ``training.py``'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from engine.checkpoint.retention import prune
from engine.checkpoint.save import SaveError, save_checkpoint
from engine.errors import UserError
from engine.run.layout import RunDirectory
from engine.train.meter import NonFiniteError, StepMeter
from engine.train.reporter import Reporter
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


class Saver:
    """Saves checkpoints of one training into its run."""

    def __init__(
        self,
        run: RunDirectory,
        training: Training,
        meter: StepMeter,
        reporter: Reporter,
        *,
        clock: Callable[[], float] = time.monotonic,
        patience: Patience | None = None,
    ) -> None:
        """What the training stands at now is taken to be on disk, or not worth saving: it has just been made or loaded."""
        self._run, self._training, self._meter, self._reporter = run, training, meter, reporter
        self._clock = clock
        self._patience = patience or Patience()
        self._saved_step = training.progress.step
        self._saved_at = clock()
        self._failed_at: float | None = None

    @property
    def is_up_to_date(self) -> bool:
        """Every step that was made is in a checkpoint."""
        return self._saved_step == self._training.progress.step

    def due(self) -> str | None:
        """``interval`` or ``timer`` if a checkpoint is due by itself; None if not."""
        if self.is_up_to_date:
            return None
        now, settings = self._clock(), self._training.profile.checkpoints
        if self._failed_at is not None:
            return "timer" if now - self._failed_at >= RETRY_SECONDS else None
        if settings.every_steps and self._training.progress.step % settings.every_steps == 0:
            return "interval"
        if settings.every_minutes and now - self._saved_at >= settings.every_minutes * 60:
            return "timer"
        return None

    def save(self, reason: str) -> str | None:
        """Save now, unless it is saved. Returns None, or why it failed; earlier checkpoints are as they were then."""
        if self.is_up_to_date:
            return None
        self._meter.flush()
        if not self._training.weights_are_finite():
            self._reporter.nonfinite(self._training.progress.step, "weights")
            raise NonFiniteError(
                f"after step {self._training.progress.step} the weights are not finite: the training has diverged",
                where="optimizer.lr",
                hint="Resume from the last checkpoint or continue from it with a lower LR.",
            )
        self._reporter.state("saving")
        failure = self._try(reason)
        self._reporter.state("training")
        return failure

    def save_last(self, reason: str, *, give_up: Callable[[], bool]) -> None:
        """Save at the end of an attempt, again and again for a while if the disk refuses (see ``Patience``).

        Raises ``UnsavedError`` when time is up or ``give_up()`` says so.
        """
        began = self._clock()
        patience = self._patience.finish if reason == "finish" else self._patience.stop
        pause = self._patience.pause
        while (failure := self.save(reason)) is not None:
            if self._clock() - began >= patience or give_up():
                raise UnsavedError(
                    f"the training ended at step {self._training.progress.step} and could not be saved: {failure}",
                    where=str(self._run.checkpoints),
                    hint="Free some space, then resume: what was trained since the last checkpoint is trained again.",
                )
            time.sleep(pause)
            pause = min(2 * pause, self._patience.longest_pause)

    def _try(self, reason: str) -> str | None:
        step = self._training.progress.step
        self._reporter.sync_metrics()
        try:
            saved = save_checkpoint(self._run.checkpoint(step), self._training.content())
        except SaveError as error:
            self._failed_at = self._clock()
            self._reporter.save_failed(step, str(error))
            return str(error)
        self._saved_step, self._saved_at, self._failed_at = step, self._clock(), None
        self._reporter.saved(saved, reason)
        for gone in prune(self._run, self._training.profile.checkpoints.keep_last, latest=saved.folder):
            self._reporter.pruned(gone.name)
        return None
