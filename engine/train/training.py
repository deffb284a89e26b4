"""A training in memory: the components whose states make up a checkpoint, and how they become one.

Each component keeps its own state (order, optimizer, average, random generators); this module puts them together into
the files of docs/files.md. Making the components is ``assemble.py``'s business, putting a stored state back ``resume.py``'s.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine import __version__
from engine.checkpoint.save import CheckpointContent, host_copies
from engine.data.batches import Batch, TrainingSet
from engine.data.lora_record import data_record
from engine.data.order import BatchOrder
from engine.model.adapter import Adapter
from engine.model.lora_file import write_lora
from engine.model.lora_metadata import TrainingFacts, lora_metadata
from engine.model.open_base import Base, names_of
from engine.profile.schema import Profile
from engine.schedule import Schedule
from engine.train import rng
from engine.train.average import LossAverage
from engine.train.compute import DTYPES, Compute
from engine.train.ema import WeightAverage
from engine.train.held_out import HeldOut
from engine.train.objective.loss import Objective
from engine.train.optimizer import NamedOptimizer
from engine.train.text_conditioning import TextConditioning

STATE_FORMAT = 1


@dataclass(frozen=True)
class Origin:
    """Whose training it is: what a checkpoint says about where it comes from."""

    run: str
    attempt: int
    profile_sha256: str
    """Of the run's profile.toml."""


@dataclass
class Progress:
    """How far the training has come, over all attempts."""

    step: int = 0
    """Optimizer steps done."""
    images_seen: int = 0
    elapsed_seconds: float = 0.0
    """Spent in optimizer steps; saves and samples are not counted."""
    loss: float | None = None
    """Of the last step whose loss was read."""
    validated_step: int | None = None
    """After how many steps the held-out images were last measured."""
    validation_loss: float | None = None
    """What was found there."""
    dropped: int = 0
    """Steps dropped since their loss or gradient was not finite."""
    dropped_in_a_row: int = 0
    """Of them those without a good step since."""


@dataclass
class Training:
    """All that the loop works with."""

    origin: Origin
    profile: Profile
    base: Base
    compute: Compute
    unet: torch.nn.Module
    adapter: Adapter
    optimizer: NamedOptimizer
    schedule: Schedule
    data: TrainingSet
    order: BatchOrder
    objective: Objective
    noise: torch.Generator
    held_out: HeldOut = field(default_factory=HeldOut)
    """What is measured and not trained."""
    text: TextConditioning | None = None
    """None where no text encoder is trained."""
    ema: WeightAverage | None = None
    """None where no average of the weights is kept."""
    average: LossAverage = field(default_factory=LossAverage)
    progress: Progress = field(default_factory=Progress)
    started: float = field(default_factory=time.time)
    """Unix seconds."""

    @property
    def total_steps(self) -> int:
        """Optimizer steps in all; the schedule's."""
        return self.schedule.total_steps

    @property
    def is_finished(self) -> bool:
        """Every step is done."""
        return self.progress.step >= self.total_steps

    @property
    def epoch(self) -> int:
        """The epoch, counted from 1, that the last batch came from."""
        return self.order.epoch + 1

    @property
    def epochs(self) -> int:
        """Epochs that the whole training touches; a child that goes on in its parent's data counts those, too."""
        left = (self.total_steps - self.progress.step) * self.profile.training.gradient_accumulation
        batches = self.order.epoch * self.order.batches_per_epoch + self.order.position + left
        return math.ceil(batches / self.order.batches_per_epoch)

    def rates(self) -> dict[str, float]:
        """By group the learning rate of the next step."""
        return {
            name: self.schedule.lr(self.progress.step, base_lr) for name, base_lr in self.optimizer.base_lrs.items()
        }

    def next_batch(self) -> Batch:
        """The next batch of the order, of all processes together, on the CPU."""
        return self.data.batch(self.order.next_batch())

    def conditioned(self, batch: Batch, together: Sequence[str]) -> Batch:
        """``batch`` with its captions encoded by the text encoders as they stand, where those are trained; else as it is.

        together: the captions of the whole batch that it is a part of.
        """
        return batch if self.text is None else self.text.conditioned(batch, together)

    def encoded(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """N texts as the text encoders stand, (N, 77·k, D) and (N, P), without gradients."""
        return self.data.embeddings(texts) if self.text is None else self.text.encoded(texts)

    def weights_are_finite(self) -> bool:
        """Whether no trained weight is NaN or infinite."""
        norms = torch._foreach_norm(list[Tensor](self.optimizer.parameters), ord=math.inf)
        return bool(torch.isfinite(torch.stack(norms)).all())

    def content(self) -> CheckpointContent:
        """What a checkpoint of this moment holds, as copies: it stays so while training goes on."""
        trainable = host_copies(self.adapter.state_dict())
        ema = None if self.ema is None else host_copies(self.ema.tensors())
        return CheckpointContent(
            step=self.progress.step,
            trainable=trainable,
            optimizer=host_copies(self.optimizer.tensors()),
            state=self.state(),
            write_lora=self._lora_writer(self._handed_out(trainable, ema)),
            ema=ema,
        )

    def state(self) -> dict[str, Any]:
        """state.json (docs/files.md)."""
        return {
            "format": STATE_FORMAT,
            "run": self.origin.run,
            "attempt": self.origin.attempt,
            "created": time.time(),
            "step": self.progress.step,
            "total_steps": self.total_steps,
            "epoch": self.epoch,
            "images_seen": self.progress.images_seen,
            "elapsed_seconds": self.progress.elapsed_seconds,
            "loss": self.progress.loss,
            "loss_avg": self.average.value,
            "validation_loss": self.progress.validation_loss,
            "validated_step": self.progress.validated_step,
            "schedule": self.schedule.to_json(),
            "optimizer": self.optimizer.describe(),
            "network": self.adapter.describe(),
            "grad_scaler": None if self.compute.scaler is None else self.compute.scaler.state_dict(),
            "data": self.order.state_dict(),
            "average": self.average.state_dict(),
            "ema": None if self.ema is None else self.ema.state_dict(),
            "dropped": {"steps": self.progress.dropped, "in_a_row": self.progress.dropped_in_a_row},
            "rng": rng.capture(self.noise),
            "base_model": {
                "path": self.profile.model.base,
                "vae": self.profile.model.vae,
                "digest": self.base.digest,
            },
            "versions": versions(),
            "device": self.compute.label,
            "threads": torch.get_num_threads(),
            "profile_sha256": self.origin.profile_sha256,
            "profile": self.profile.model_dump(mode="json", by_alias=True),
        }

    def _handed_out(self, trainable: Mapping[str, Tensor], ema: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
        """The weights for ``lora.safetensors``, as copies, of ``averaged(self.profile.ema.deliverable)``."""
        if ema is not None and self.profile.ema.deliverable:
            average, limit = {**trainable, **ema}, self.profile.network.scale_weight_norms
            return average if limit is None else self.adapter.limited(average, limit)
        if not self.optimizer.has_average:
            return trainable
        with self.optimizer.averaged():
            return host_copies(self.adapter.state_dict())

    def _lora_writer(self, handed_out: Mapping[str, Tensor]) -> Callable[[Path], None]:
        """Writes ``lora.safetensors`` in the profile's ``precision.save``, with what was really used in its metadata."""
        return partial(
            write_lora,
            weights=self.adapter.weights(handed_out),
            names=names_of(self.base),
            metadata=lora_metadata(self.profile, self._facts()),
            dtype=DTYPES[self.profile.precision.save],
        )

    @contextmanager
    def averaged(self, wanted: bool) -> Iterator[None]:
        """The model computes with the average of the weights for the while: an optimizer's own; the kept one if ``wanted``.

        Factors are averaged, and the product of two averages may be larger than any product that was averaged: where norms
        are limited, what is handed out, drawn with and measured is limited once more. The kept average itself is not.
        """
        with self.optimizer.averaged(), self.ema.in_place() if self.ema is not None and wanted else nullcontext():
            limit = self.profile.network.scale_weight_norms
            if self.ema is not None and wanted and limit is not None:
                self.adapter.limit_norms(limit)
            yield

    @cached_property
    def _data_record(self) -> dict[str, object]:
        """What the LoRA file says of the images that are trained on; they never change in a run."""
        measured = self.held_out.of(self.data)
        trained = [item for index, item in enumerate(self.data.items) if index not in measured]
        return data_record(trained, self.profile.dataset)

    def _facts(self) -> TrainingFacts:
        groups = self.optimizer.describe()["groups"]
        return TrainingFacts(
            step=self.progress.step,
            epoch=self.epoch,
            epochs=self.epochs,
            images=self.order.visits_per_epoch,
            regularisation_images=self.order.count(lambda index: self.data.items[index].image.is_regularisation),
            batches_per_epoch=self.order.batches_per_epoch,
            base_lrs={group["name"]: group["base_lr"] for group in groups},
            schedule=self.schedule,
            optimizer=_optimizer_text(self.optimizer.inner, groups[0]["hyperparameters"]),
            prediction=self.objective.process.prediction,
            seed=self.order.seed,
            started=self.started,
            finished=time.time(),
            data=self._data_record,
            validation_images=len(self.held_out),
        )


@cache
def versions() -> dict[str, str]:
    """Of this program and of the libraries that a result depends on."""
    found = {"sdxl_tui": __version__, "python": platform.python_version()}
    for package in ("torch", "diffusers", "transformers", "peft", "accelerate"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def _optimizer_text(optimizer: torch.optim.Optimizer, hyperparameters: Mapping[str, float]) -> str:
    """As sd-scripts writes it: the class and its arguments."""
    values = dict(hyperparameters)
    betas = tuple(values.pop(name) for name in ("beta1", "beta2", "beta3") if name in values)
    arguments = [f"weight_decay={values.pop('weight_decay')}", *([f"betas={betas}"] if betas else [])]
    arguments += [f"{name}={value}" for name, value in values.items()]
    kind = type(optimizer)
    return f"{kind.__module__}.{kind.__qualname__}({','.join(arguments)})"
