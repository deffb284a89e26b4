"""The validation loss: how well held-out images are predicted, always at the same timesteps and with the same noise.

It is the plain mean squared error of what the model predicts, whatever ``[loss]`` trains with, so that runs can be compared.
Noise depends on seed, picture and timestep alone; no generator of the training is touched, and dropout is off.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.data.batches import Batch, TrainingSet
from engine.model.sampling import evaluation_mode
from engine.train import rng
from engine.train.compilation import eagerly
from engine.train.objective.loss import predict
from engine.train.reporter import Reporter
from engine.train.training import Training
from engine.train.transfer import batch_to_device, to_device


@dataclass(frozen=True)
class ValidationResult:
    """The loss on the held-out images, and by timestep."""

    loss: float
    by_timestep: dict[int, float]
    images: int


class Validator:
    """Measures the held-out images of one training."""

    def __init__(self, training: Training, reporter: Reporter) -> None:
        """Nothing is measured yet in this attempt."""
        self._training, self._reporter = training, reporter

    @property
    def has_images(self) -> bool:
        """There is something to measure."""
        return len(self._training.held_out) > 0

    def is_due(self) -> bool:
        """Whether a validation is due by itself after the steps done, and was not made there yet."""
        training, settings = self._training, self._training.profile.validation
        step = training.progress.step
        if not self.has_images or training.progress.validated_step == step:
            return False
        if step == 0:
            return settings.at_start
        return training.is_finished or bool(settings.every_steps and step % settings.every_steps == 0)

    def validate(self, should_stop: Callable[[], bool]) -> str | None:
        """Measure and report. Returns None, or why there is no result: interrupted, or no memory."""
        training, began = self._training, time.monotonic()
        self._reporter.state("validating", step=training.progress.step)
        try:
            result = self.measure(should_stop)
        except (MemoryError, torch.OutOfMemoryError):
            problem = "no validation: not enough memory for a forward pass beside the training"
            self._reporter.warning(problem, "training.batch_size")
            return problem
        finally:
            self._reporter.state("training")
        if result is None:
            return "interrupted"
        training.progress.validated_step = training.progress.step
        training.progress.validation_loss = result.loss if math.isfinite(result.loss) else None
        self._reporter.validated(training.progress.step, result, time.monotonic() - began)
        return None

    @torch.no_grad()
    def measure(self, should_stop: Callable[[], bool]) -> ValidationResult | None:
        """The losses of the weights that would be handed out now; None once ``should_stop`` says yes.

        It is asked before each forward pass.
        """
        training = self._training
        steps = timesteps_of(training.profile.validation.timesteps, training.objective.process.timesteps)
        found: dict[int, list[Tensor]] = {timestep: [] for timestep in steps}
        with ExitStack() as stack:
            stack.enter_context(training.averaged(training.profile.ema.validation))
            stack.enter_context(eagerly(compiled=training.profile.launch.compile))
            for model in training.adapter.models.values():
                stack.enter_context(evaluation_mode(model))
            for data, members in training.held_out.batches(training.profile.training.batch_size):
                batch = batch_to_device(data.batch(members), training.compute.device)
                batch = training.conditioned(batch, batch.captions)
                for timestep in steps:
                    if should_stop():
                        return None
                    noise = self._noise(data, members, timestep, batch.latents)
                    found[timestep].append(self._errors(batch, noise, timestep))
        means = torch.stack(
            [torch.cat(errors).mean() for errors in found.values()]
        ).tolist()  # the one wait for the device
        return ValidationResult(
            sum(means) / len(means), dict(zip(steps, means, strict=True)), len(self._training.held_out)
        )

    def _errors(self, batch: Batch, noise: Tensor, timestep: int) -> Tensor:
        """(B,): of each image the mean squared error, by its mask if it has one."""
        training, process = self._training, self._training.objective.process
        timesteps = torch.full((len(noise),), timestep, device=noise.device)
        noisy = process.noised(batch.latents, noise, timesteps)
        with training.compute.accelerator.autocast():
            predicted = predict(training.unet, batch, noisy, timesteps, dtype=training.compute.dtype)
        errors = (predicted - process.target(batch.latents, noise, timesteps)) ** 2
        return (errors if batch.masks is None else errors * batch.masks).mean(dim=(1, 2, 3))

    def _noise(self, data: TrainingSet, members: list[int], timestep: int, latents: Tensor) -> Tensor:
        seed = self._training.profile.validation.seed
        drawn = []
        for index in members:
            purpose = f"validation, {data.items[index].image.digest}, timestep {timestep}"
            generator = torch.Generator().manual_seed(rng.derived_seed(seed, purpose))
            drawn.append(torch.randn(latents.shape[1:], generator=generator))
        return to_device(torch.stack(drawn), latents.device)


def timesteps_of(count: int, train_timesteps: int) -> list[int]:
    """The middles of ``count`` equal parts of the process; fewer where it has not so many timesteps."""
    return sorted({int((part + 0.5) * train_timesteps / count) for part in range(count)})
