"""What the engine tells the world: events, status and the log, each thing said once in all the places it belongs.

Formats: docs/files.md. Nothing here raises for the disk's sake; a full disk must not end a training. Torch-free.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.errors import UserError
from engine.estimate.estimate import Estimate, Took, compared, compared_text
from engine.run.events import EventLog
from engine.run.layout import RunDirectory
from engine.run.metrics import MetricPoint, MetricsLog, ValidationPoint
from engine.run.records import Origin, Parent, Progress
from engine.run.status import StatusWriter
from engine.train.requests import StopRequest

if TYPE_CHECKING:
    from engine.checkpoint.save import SavedCheckpoint
    from engine.data.batches import Cached
    from engine.data.report import DatasetReport
    from engine.model.prediction import Prediction
    from engine.train.trackers import Trackers
    from engine.train.validator import ValidationResult

LOG_STEPS: Final = 50
LOG_SECONDS: Final = 30.0
LOG_PAUSE: Final = 2.0

log = logging.getLogger(__name__)


class Reporter:
    """Writes for one attempt of a run."""

    def __init__(self, run: RunDirectory, attempt: int) -> None:
        """Nothing is written before the first report."""
        self._events: Any = EventLog(run.events, attempt)
        self._metrics: Any = MetricsLog(run.metrics)
        self._status: Any = StatusWriter(run, attempt)
        self._trackers: Trackers | None = None
        self._logged_step = 0
        self._logged_at = 0.0

    def track_with(self, trackers: Trackers) -> None:
        """Tell ``trackers`` of every step and sample from now on."""
        self._trackers = trackers

    def close(self) -> None:
        """Write what is still held back and close the files."""
        if self._trackers is not None:
            self._trackers.close()
        self._status.flush()
        self._metrics.close()
        self._events.close()

    def state(self, state: str, **changes: Any) -> None:
        """The status says ``state`` from now on, with ``changes`` to its other fields; a preparation's progress ends."""
        self._status.update(state=state, **{"progress": None, **changes})

    def preparing(self, what: str, done: int, total: int) -> None:
        """``done`` of ``total`` items of ``what`` are ready."""
        self._status.update(state="caching", progress=Progress(what, done, total))

    def started(self, *, step: int, total_steps: int, device: str, versions: dict[str, str]) -> None:
        """The engine begins to prepare."""
        self._events.write("started", step=step, total_steps=total_steps, device=device, versions=versions)
        self._status.update(state="starting", step=step, total_steps=total_steps, device=device)
        log.info("started on %s, torch %s: %d of %d steps done", device, versions["torch"], step, total_steps)

    def base(self, name: str, prediction: Prediction) -> None:
        """What is trained to be predicted is settled. name: as the profile has it."""
        self._events.write(
            "base",
            base=name,
            prediction=prediction.type,
            zero_terminal_snr=prediction.zero_terminal_snr,
            said_by=prediction.source,
        )
        log.info("base %s: predicts %s", name, prediction.text)

    def resumed(self, checkpoint: str, step: int) -> None:
        """The stored state is in place."""
        self._events.write("resumed", checkpoint=checkpoint, step=step)
        self._status.update(checkpoint=checkpoint)
        log.info("resumed exactly from %s", checkpoint)

    def continued(self, parent: Parent) -> None:
        """What a child takes of another run's checkpoint is in place."""
        self._events.write("continued", parent_run=parent.run, checkpoint=parent.checkpoint, route=parent.route)
        log.info("%s from %s of %s", parent.route, parent.checkpoint, parent.run)

    def started_from(self, origin: Origin) -> None:
        """The weights of a file that is no checkpoint of ours are in place."""
        self._events.write("continued", origin=origin.path, kind=origin.kind, step=origin.step, route=origin.route)
        log.info("%s from %s", origin.route, origin.label)

    def dataset(self, report: DatasetReport) -> None:
        """The data is known."""
        self._events.write("dataset", **report.to_json())
        log.info(
            "%s in %s, %s per epoch, %s left out",
            *(_count(report.images, "image"), _count(len(report.buckets), "bucket")),
            *(_count(report.batches_per_epoch, "batch", "batches"), _count(len(report.skipped), "file")),
        )
        for line in report.lines():
            log.info("%s", line)

    def cached(self, cached: Cached) -> None:
        """One kind of encoded data is complete."""
        self._events.write("cached", **cached.to_json())
        what = {"latents": "latents of images", "masks": "masks of images", "text": "embeddings of texts"}.get(
            cached.what, cached.what
        )
        log.info("%d %s, %d of them encoded now, in %.1f s", cached.count, what, cached.built, cached.seconds)

    def warning(self, message: str, where: str) -> None:
        """Something a person should hear of, while work goes on."""
        self._events.write("warning", message=message, where=where)
        log.warning("warning: %s: %s", where, message)

    def estimate(self, found: Estimate, *, on_gpu: bool) -> None:
        """What the run will take, as far as it is known."""
        self._events.write("estimate", **found.to_json())
        for what, text in found.lines(on_gpu=on_gpu):
            log.info("estimate: %s %s", what, text)
        for sentence in found.warnings():
            self.warning(sentence, "checkpoints")

    def estimate_result(self, found: Estimate, took: Took) -> None:
        """What it took, beside what was estimated."""
        record = compared(found, took)
        self._events.write("estimate_result", **record)
        log.info("%s", compared_text(record))

    def training_begins(self, *, epochs: int, epoch: int) -> None:
        """The first step comes next."""
        self._status.update(state="training", progress=None, epoch=epoch, epochs=epochs)

    def step(self, point: MetricPoint, *, total_steps: int, seconds_per_step: float) -> None:
        """An optimizer step was measured."""
        self._metrics.write(point)
        if self._trackers is not None:
            self._trackers.step(point)
        eta = (total_steps - point.step) * seconds_per_step
        speed = 1.0 / seconds_per_step if seconds_per_step > 0 else None
        self._status.update(
            step=point.step,
            epoch=point.epoch,
            loss=point.loss,
            loss_avg=point.loss_avg,
            lr=point.lr,
            steps_per_second=speed,
            eta_seconds=eta,
        )
        if self._should_log(point.step):
            rates = " ".join(f"{name} {rate:.3e}" for name, rate in point.lr.items())
            log.info(
                "step %d/%d  loss %s  average %s  LR %s  %.3g s/step  %.0f s left",
                *(point.step, total_steps, _loss(point.loss), _loss(point.loss_avg), rates, seconds_per_step, eta),
            )

    def _should_log(self, step: int) -> bool:
        """At the first step, then sparsely: after so many steps or seconds, but never in a flood."""
        waited = time.monotonic() - self._logged_at
        if self._logged_step and (
            waited < LOG_PAUSE or (step < self._logged_step + LOG_STEPS and waited < LOG_SECONDS)
        ):
            return False
        self._logged_step, self._logged_at = step, time.monotonic()
        return True

    def sync_metrics(self) -> None:
        """Have every metrics line on the disk."""
        self._metrics.sync()

    def saved(self, saved: SavedCheckpoint, reason: str) -> None:
        """A checkpoint is visible."""
        name = saved.folder.name
        self._events.write(
            "saved", checkpoint=name, step=saved.step, reason=reason, bytes=saved.bytes, seconds=saved.seconds
        )
        self._status.update(checkpoint=name, message="")
        log.info("saved %s (%s), %.1f MB in %.2f s", name, reason, saved.bytes / 1e6, saved.seconds)

    def rehearsed(self, saved: SavedCheckpoint, *, seconds: float) -> None:
        """Saving, loading and resuming were tried before the first step; ``saved`` is gone again."""
        self._events.write("rehearsed", bytes=saved.bytes, seconds=seconds)
        log.info("rehearsed in %.2f s: a checkpoint of %.1f MB comes back exactly", seconds, saved.bytes / 1e6)

    def save_failed(self, step: int, message: str) -> None:
        """A checkpoint could not be written; earlier ones stay."""
        self._events.write("save_failed", step=step, message=message)
        self._status.update(message=f"step {step} could not be saved: {message}")
        log.error("step %d could not be saved: %s", step, message)

    def pruned(self, checkpoint: str) -> None:
        """An older checkpoint was deleted, as the profile's ``[checkpoints]`` says."""
        self._events.write("pruned", checkpoint=checkpoint)
        log.info("deleted %s, as [checkpoints] says", checkpoint)

    def sampled(self, step: int, files: list[Path], seconds: float) -> None:
        """Sample pictures were drawn."""
        self._events.write("sampled", step=step, files=[file.name for file in files])
        if self._trackers is not None:
            self._trackers.samples(step, files)
        log.info("drew %s in %.1f s", _count(len(files), "sample"), seconds)

    def held_out(self, images: int, *, of_the_data: int) -> None:
        """Images are measured and not trained, some of them from the data set itself."""
        self._events.write("held_out", images=images, of_the_data=of_the_data)
        log.info("%s held out to be measured, %d of them from the data set", _count(images, "image"), of_the_data)

    def validated(self, step: int, result: ValidationResult, seconds: float) -> None:
        """The held-out images were measured."""
        point = ValidationPoint(step, self._events.attempt, time.time(), result.loss)
        self._metrics.write(point)
        by_timestep = {str(timestep): loss for timestep, loss in result.by_timestep.items()}
        self._events.write(
            "validated", step=step, loss=result.loss, by_timestep=by_timestep, images=result.images, seconds=seconds
        )
        self._status.update(validation_loss=result.loss)
        if self._trackers is not None:
            self._trackers.validation(step, result.loss)
        log.info("validation loss %.4f on %s in %.1f s", result.loss, _count(result.images, "image"), seconds)

    def command(self, *, id: str, command: str, ok: bool, message: str) -> None:
        """A command was followed, or could not be."""
        self._events.write("command", id=id, command=command, ok=ok, message=message)
        log.info("command %s: %s", command, message or ("done" if ok else "not followed"))

    def paused(self, step: int) -> None:
        """No step is made until somebody asks for it."""
        self._events.write("paused", step=step)
        self.state("paused", step=step, eta_seconds=None, message="")
        log.info("paused at step %d", step)

    def heartbeat(self) -> None:
        """Nothing is new, but the engine is there."""
        self._status.update()

    def waiting_for_memory(self) -> None:
        """The pause is over, and something else fills the GPU."""
        if self._status.status.message == "":
            log.warning("cannot go on yet: the GPU's memory is full")
        self._status.update(message="cannot go on yet: something else fills the GPU's memory (see nvidia-smi)")

    def unpaused(self, step: int, seconds: float) -> None:
        """Training goes on after ``seconds`` of waiting."""
        self._events.write("unpaused", step=step, seconds=seconds)
        self.state("training", step=step, message="")
        log.info("going on at step %d after a pause of %.0f s", step, seconds)

    def lr_scaled(self, step: int, factor: float, base_lrs: dict[str, float]) -> None:
        """Every base rate was multiplied after ``step`` steps; base_lrs: the new ones by group."""
        self._events.write("lr_scaled", step=step, factor=factor, base_lr=base_lrs)
        rates = " ".join(f"{name} {base_lr:.3e}" for name, base_lr in base_lrs.items())
        log.info("LR scaled by %g from step %d on: base LR %s", factor, step + 1, rates)

    def stopping(self, request: StopRequest) -> None:
        """The run ends because somebody wants it to."""
        self._events.write("stopping", reason=request.reason)
        log.info("stopping, asked by %s", request.reason)

    def nonfinite(self, step: int, what: str, *, dropped: bool = False) -> None:
        """``what`` of ``step`` is NaN or infinite. dropped: the step changed nothing, and the training goes on."""
        self._events.write("nonfinite", step=step, what=what, dropped=dropped)
        log.error("step %d: the %s is not finite%s", step, what, ", the step is dropped" if dropped else "")

    def stopped(self, step: int) -> None:
        """The run ends here because it was asked to."""
        self._events.write("stopped", step=step)
        self.state("stopped", step=step, eta_seconds=None, message="")
        log.info("stopped at step %d", step)

    def finished(self, step: int) -> None:
        """Every step is done."""
        self._events.write("finished", step=step)
        self.state("finished", step=step, eta_seconds=0.0, message="")
        log.info("finished after %d steps", step)

    def failed(self, error: BaseException) -> None:
        """The run ends here because of ``error``."""
        where, hint = (error.where, error.hint) if isinstance(error, UserError) else (None, "The log has the details.")
        message = error.what if isinstance(error, UserError) else str(error) or type(error).__name__
        self._events.write("failed", error=type(error).__name__, message=message, where=where, hint=hint)
        self.state("failed", eta_seconds=None, message=message)


class SilentReporter(Reporter):
    """For a process that trains beside rank 0, which reports for all of them."""

    def __init__(self) -> None:
        self._events = self._metrics = self._status = _Nowhere()
        self._trackers = None
        self._logged_step = 0
        self._logged_at = math.inf
        log.setLevel(logging.CRITICAL)


class _Nowhere:
    """Takes everything and keeps nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _loss(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"
