"""The torch half of an attempt: assemble the training, run the loop, and say in plain words when memory does not suffice."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch

from engine.checkpoint.retention import bytes_of, sweep_leftovers
from engine.data.errors import PreparationStopped
from engine.errors import UserError
from engine.estimate.estimate import Took, estimate
from engine.run.layout import RunDirectory
from engine.train.assemble import StopBeforeTraining, assemble
from engine.train.attempt import Start
from engine.train.compilation import compilation_failure
from engine.train.compute import MemoryGauge
from engine.train.crew import Crew, Place
from engine.train.loop import Outcome, follow, train
from engine.train.meter import StepMeter
from engine.train.rehearsal import rehearse
from engine.train.reporter import Reporter, SilentReporter
from engine.train.requests import Requests
from engine.train.sampler import Sampler
from engine.train.saver import Saver
from engine.train.trackers import open_trackers
from engine.train.training import Progress, Training
from engine.train.validator import Validator

_GPU_MEMORY: Final = re.compile(r"CUDA error: out of memory|CU(BLAS|DNN)_STATUS_ALLOC_FAILED")
"""What CUDA's libraries say of their own allocations, for which torch has no type of its own."""
_HOST_MEMORY: Final = re.compile(r"DefaultCPUAllocator|not enough memory|Cannot allocate memory", re.IGNORECASE)


class OutOfMemoryError(UserError):
    """The training needs more memory than there is."""


def train_run(
    run: RunDirectory,
    attempt: int,
    start: Start,
    reporter: Reporter,
    requests: Requests,
    *,
    crew: Crew | None = None,
) -> None:
    """Train one attempt of ``run``, whose lock the caller holds, until it is finished or stopped.

    crew: the processes that train beside this one. Raises a ``UserError`` for whatever a person can mend, memory that does
    not suffice and a lost process among it.
    """
    try:
        with naming_shortage():
            _train(run, attempt, start, reporter, requests, crew=crew)
    except UserError:
        raise
    except Exception as error:
        loss = crew.loss() if crew else None
        if loss is None:
            raise
        raise loss from error


def train_beside(run: RunDirectory, attempt: int, checkpoint: Path | None, place: Place) -> None:
    """Train in one of the processes beside rank 0, until that one says that it is over."""
    with naming_shortage():
        follow(assemble(run, attempt, checkpoint, SilentReporter(), Requests(), place=place, keep_stored=True))


@contextmanager
def naming_shortage() -> Iterator[None]:
    """Turn a lack of memory into a ``UserError`` that says what to lower."""
    try:
        yield
    except Exception as error:
        shortage = _shortage(error) or compilation_failure(error)
        if shortage is None:
            raise
        raise shortage from error


def _train(
    run: RunDirectory,
    attempt: int,
    start: Start,
    reporter: Reporter,
    requests: Requests,
    *,
    crew: Crew | None,
) -> None:
    sweep_leftovers(run)
    for damaged in start.damaged:
        reporter.warning(f"passed over, {damaged}", str(run.checkpoints))
    try:
        place = crew.place if crew else None
        training = assemble(
            run, attempt, start.checkpoint, reporter, requests, place=place, keep_stored=start.keep_stored
        )
    except (PreparationStopped, StopBeforeTraining):
        if crew:
            crew.abandon()
        reporter.stopped(start.step)
        return
    if training.profile.logging.trackers:
        reporter.track_with(open_trackers(run, training, reporter.warning))
    expected = estimate(training.profile, run.path.parent, done=training.progress.step, without=run.id)
    reporter.estimate(expected, on_gpu=training.compute.device.type == "cuda")
    if start.checkpoint is None and training.profile.checkpoints.rehearsal:
        began = time.monotonic()
        saved = rehearse(run, training)
        reporter.rehearsed(saved, seconds=time.monotonic() - began)
    before = replace(training.progress)
    meter = StepMeter(training, reporter)
    sampler = Sampler(run, training, reporter)
    validator = Validator(training, reporter)
    reporter.training_begins(epochs=training.epochs, epoch=training.epoch)
    with Saver(run, training, meter, reporter, requests) as saver:
        outcome = train(training, meter, saver, sampler, validator, requests=requests, reporter=reporter)
    training.compute.exchange.dismiss()
    reporter.estimate_result(expected, _took(run, training, before))
    if outcome is Outcome.FINISHED:
        reporter.finished(training.progress.step)
    else:
        reporter.stopped(training.progress.step)


def _took(run: RunDirectory, training: Training, before: Progress) -> Took:
    """What the steps since ``before`` took."""
    done, device = training.progress, training.compute.device
    megabytes = MemoryGauge(device).megabytes()
    folders = run.checkpoint_folders()
    return Took(
        steps=done.step - before.step,
        seconds=done.elapsed_seconds - before.elapsed_seconds,
        peak_memory=None if megabytes is None else megabytes * 1e6,
        on_gpu=device.type == "cuda",
        checkpoint=bytes_of(folders[-1]) if folders else None,
    )


def _shortage(error: Exception) -> OutOfMemoryError | None:
    """What to do about ``error`` if it is a lack of memory; else None."""
    is_torchs = isinstance(error, torch.OutOfMemoryError)
    if is_torchs or (isinstance(error, RuntimeError) and _GPU_MEMORY.search(str(error))):
        return OutOfMemoryError(
            "the GPU's memory is full",
            where="training.batch_size, training.gradient_checkpointing, dataset.resolution, network.rank",
            hint="Switch gradient_checkpointing on, lower one of the others, set precision.compute to bf16 or precision.base to "
            "fp8 or int8; training.gradient_accumulation makes up for a smaller batch. nvidia-smi shows what else uses the card.",
        )
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _HOST_MEMORY.search(str(error))):
        return OutOfMemoryError(
            "the machine's memory is full",
            where="training.batch_size, training.gradient_checkpointing, dataset.resolution, network.rank",
            hint="Switch gradient_checkpointing on, lower one of the others, or end other programs.",
        )
    return None
