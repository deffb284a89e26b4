"""Measures optimizer steps without waiting for the device: the numbers of a step are read after the next was dispatched.

Reading a scalar from a GPU at once would leave it idle until the host has prepared the next step. So loss and gradient
norm travel to pinned memory on their own, an event tells when they are there, and the metrics line of step n is written
while step n + 1 computes. On a CPU nothing is ever in flight, and a step is measured at once.
"""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from engine.errors import UserError
from engine.run.metrics import MetricPoint
from engine.train.compute import MemoryGauge
from engine.train.reporter import Reporter
from engine.train.training import Training

SPEED_WINDOW: Final = 20


class NonFiniteError(UserError):
    """The training has diverged: what it computes is NaN or infinite."""


@dataclass(frozen=True)
class StepResult:
    """An optimizer step that was dispatched, with what it gives still on the device."""

    step: int
    """Optimizer steps done with this one."""
    epoch: int
    lr: dict[str, float]
    loss: Tensor
    """Mean over the micro-batches, scalar."""
    grad_norm: Tensor
    """Before clipping, scalar."""
    images: int
    began: float
    """``time.monotonic()`` before its first batch."""
    d: float | None = None
    """What an adaptive optimizer multiplied the rate by; contained in ``lr``."""
    dropped_in_a_row: int = 0
    """Of the steps up to this one that were not finite; 0 where they are not looked for."""


class _InFlight:
    """Two scalars of a step on their way to the host."""

    def __init__(self, result: StepResult) -> None:
        self.result = result
        scalars = torch.stack((result.loss, result.grad_norm.to(result.loss.dtype)))
        self._ready: torch.cuda.Event | None = None
        if scalars.device.type == "cuda":
            self._host = torch.empty(2, dtype=scalars.dtype, pin_memory=True)
            self._host.copy_(scalars, non_blocking=True)
            self._ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._ready.record()
        else:
            self._host = scalars

    def read(self) -> tuple[float, float]:
        """Loss and gradient norm; waits for this step alone, not for what was dispatched after it."""
        if self._ready is not None:
            self._ready.synchronize()
        loss, grad_norm = self._host.tolist()
        return loss, grad_norm


class StepMeter:
    """Keeps the training's loss, average and elapsed time, and reports each step one step late."""

    def __init__(self, training: Training, reporter: Reporter) -> None:
        """No step has been measured in this attempt."""
        self._training = training
        self._reporter = reporter
        self._memory = MemoryGauge(training.compute.device)
        self._in_flight: _InFlight | None = None
        self._previous_end = -math.inf
        self._recent: deque[float] = deque(maxlen=SPEED_WINDOW)

    def step_dispatched(self, result: StepResult) -> None:
        """Take note of a step. Measures the one before, or on a CPU, where nothing is in flight, this one.

        Raises ``NonFiniteError`` if the measured step has diverged.
        """
        previous, self._in_flight = self._in_flight, _InFlight(result)
        if previous is not None:
            self._measure(previous)
        if result.loss.device.type == "cpu":
            self.flush()

    def flush(self) -> None:
        """Measure the step that is still in flight: before a checkpoint, at a pause and at the end."""
        previous, self._in_flight = self._in_flight, None
        if previous is not None:
            self._measure(previous)

    def _measure(self, in_flight: _InFlight) -> None:
        result = in_flight.result
        loss, grad_norm = in_flight.read()
        end = time.monotonic()
        # The steps of a GPU overlap their dispatch: one lasts from the end of the one before, unless there was a pause.
        seconds = end - max(self._previous_end, result.began)
        self._previous_end = end
        is_finite = self._is_finite(result, loss, grad_norm)
        training = self._training
        if is_finite:
            training.average.add(loss)
            training.progress.loss = loss
        training.progress.elapsed_seconds += seconds
        self._recent.append(seconds)
        point = MetricPoint(
            step=result.step,
            attempt=training.origin.attempt,
            epoch=result.epoch,
            time=time.time(),
            loss=loss if math.isfinite(loss) else None,
            loss_avg=training.average.value,
            lr=result.lr,
            grad_norm=grad_norm if math.isfinite(grad_norm) else None,
            step_seconds=seconds,
            images_per_second=result.images / seconds if seconds > 0 else None,
            memory_mb=self._memory.megabytes(),
            d=result.d,
        )
        seconds_per_step = sum(self._recent) / len(self._recent)
        self._reporter.step(point, total_steps=training.total_steps, seconds_per_step=seconds_per_step)

    def _is_finite(self, result: StepResult, loss: float, grad_norm: float) -> bool:
        """Whether the loss counts. What is not finite is reported, and ends the training unless the step is dropped.

        In fp16 the scaler drops a step with gradients that are not finite, and adapts its scale: that is no divergence.
        """
        settings = self._training.profile.training
        skips = settings.on_nonfinite == "skip"
        for what, value in (("loss", loss), ("gradient norm", grad_norm)):
            if math.isfinite(value):
                continue
            is_scalers = what == "gradient norm" and self._training.compute.scaler is not None
            self._reporter.nonfinite(result.step, what, dropped=skips or is_scalers)
            if is_scalers:
                continue
            if not skips:
                raise _diverged(
                    f"the {what} of step {result.step} is {value}",
                    "with precision.compute fp16 try bf16; training.on_nonfinite = skip drops such steps",
                )
            if result.dropped_in_a_row >= settings.nonfinite_limit:
                raise _diverged(
                    f"{result.dropped_in_a_row} steps in a row, the last one {result.step}, were not finite",
                    "training.nonfinite_limit says how many may be",
                )
            break
        return math.isfinite(loss)


def _diverged(what: str, remark: str) -> NonFiniteError:
    return NonFiniteError(
        f"{what}: the training has diverged",
        where="optimizer.lr",
        hint=f"Its weights were not saved. Resume from the last checkpoint or continue from it with a lower LR; {remark}.",
    )
