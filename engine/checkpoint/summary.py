"""What a checkpoint says about itself, as typed values: above all the scheduler state stored in it.

Built from ``state.json`` by ``describe.py``; never from tensor data. Rates of steps to come are asked of ``Schedule``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from engine.checkpoint.manifest import CheckpointError, Manifest
from engine.run.layout import checkpoint_name
from engine.run.records import as_float, as_int
from engine.schedule import Phase, Schedule, ScheduleError

WHOLE: Final = "whole"
STATE_FORMAT: Final = 1


@dataclass(frozen=True)
class RateGroup:
    """A group of the optimizer as it was: rates and what else it was set to."""

    name: str
    base_lr: float
    """The rate the schedule's factor multiplies."""
    last_lr: float | None
    """The rate that the last completed step used; None before the first step."""
    parameters: int
    """Trainable tensors."""
    values: int
    """Trainable numbers."""
    hyperparameters: dict[str, float]
    """weight_decay, beta1, beta2, eps and others, by the optimizer."""
    d: float | None = None
    """What an adaptive optimizer multiplies the next rate by; None for others."""
    effective_lr: float | None = None
    """Of an adaptive optimizer: what the last completed step really used, d · LR."""

    @property
    def used_lr(self) -> float | None:
        """What the last completed step moved by: of an adaptive optimizer the effective rate; None before the first step."""
        return self.last_lr if self.effective_lr is None else self.effective_lr


@dataclass(frozen=True)
class NetworkPart:
    """What the adapter is on one part of the model."""

    part: str
    """``attention``, ``feed_forward``, ``convolutions``, ``text_encoder`` or ``text_encoder_2``."""
    group: str
    """The optimizer's group."""
    rank: int
    alpha: float
    modules: int


@dataclass(frozen=True)
class NetworkFacts:
    """The adapter in a checkpoint."""

    kind: str
    rank: int
    alpha: float
    dropout: float
    modules: int
    parts: tuple[NetworkPart, ...] = ()
    """Empty in checkpoints of versions that trained one part only."""
    options: tuple[str, ...] = ()
    """What else it is or was held back by, in words: ``dora``, ``rank dropout 0.1``."""

    @property
    def title(self) -> str:
        """Kind and options: ``lora, dora``."""
        return ", ".join((self.kind, *self.options))


@dataclass(frozen=True)
class CheckpointSummary:
    """A checkpoint, read from its JSON files."""

    folder: Path
    run_id: str
    step: int
    """Completed optimizer steps."""
    total_steps: int
    epoch: int
    created: float
    """Unix seconds."""
    bytes: int
    """Size of all files together."""
    loss: float | None
    loss_avg: float | None
    schedule: Schedule
    groups: tuple[RateGroup, ...]
    optimizer: str
    """Kind of update rule, ``adamw``."""
    network: NetworkFacts
    attempt: int
    """Which start of the run wrote it."""
    elapsed_seconds: float
    images_seen: int
    base_model: str
    versions: dict[str, str]
    device: str
    integrity: str
    """``whole``, or in one line what is damaged (judged by sizes)."""
    validation_loss: float | None = None
    """On held-out images; None if none were measured."""
    validated_step: int | None = None
    """After how many steps that was measured."""

    @property
    def name(self) -> str:
        """``step-00000020``."""
        return self.folder.name

    @property
    def is_whole(self) -> bool:
        """Every file is there with its recorded size."""
        return self.integrity == WHOLE

    @property
    def phase(self) -> Phase:
        """The part of the schedule that the next step lies in."""
        return self.schedule.phase(self.step)

    @property
    def share_done(self) -> float:
        """Share of the schedule's steps that is completed, in [0, 1]."""
        return self.schedule.share_done(self.step)

    @property
    def steps_left(self) -> int:
        """Optimizer steps until the schedule's end."""
        return max(0, self.schedule.total_steps - self.step)

    def at_end(self) -> Self:
        """What the run's last checkpoint will say if the steps that are left are trained as planned; no losses yet."""
        total = self.total_steps
        groups = (
            replace(group, last_lr=self.schedule.lr(total - 1, group.base_lr), effective_lr=None)
            for group in self.groups
        )
        return replace(
            self,
            folder=self.folder.with_name(checkpoint_name(total)),
            step=total,
            groups=tuple(groups),
            loss=None,
            loss_avg=None,
            validation_loss=None,
            validated_step=None,
        )

    def next_lrs(self, count: int = 5) -> dict[str, tuple[float, ...]]:
        """By group the rates that an exact resume would use next: ``count`` of them, fewer near the end, none at it."""
        steps = range(self.step, self.step + min(count, self.steps_left))
        return {group.name: tuple(self.schedule.lr(step, group.base_lr) for step in steps) for group in self.groups}


@dataclass(frozen=True)
class BrokenCheckpoint:
    """A folder that is named like a checkpoint but is none, or none that can be read."""

    folder: Path
    reason: str
    """One line."""

    @property
    def name(self) -> str:
        """``step-00000020``."""
        return self.folder.name

    @property
    def step(self) -> int:
        """The step that the folder's name claims; -1 if it claims none."""
        digits = self.folder.name.rpartition("-")[2]
        return int(digits) if digits.isascii() and digits.isdecimal() else -1


def summarize(folder: Path, manifest: Manifest, state: dict[str, Any], integrity: str) -> CheckpointSummary:
    """The typed form of ``state.json``. Raises ``CheckpointError`` naming the first thing that is missing or makes no sense."""
    version = as_int(state.get("format"))
    if version is not None and version > STATE_FORMAT:
        what = f"it was written by a newer version (state format {version}; this one reads {STATE_FORMAT})"
        raise CheckpointError(what, where=str(folder), hint="Update sdxl-tui to read it.")
    read = _Reader(folder, state)
    step = read.count("step")
    if step != manifest.step:
        raise read.error(f"its state is of step {step}, its manifest of step {manifest.step}")
    try:
        schedule = Schedule.from_json(read.table("schedule"))
    except ScheduleError as error:
        raise read.error(error.what) from None
    optimizer, network = _Reader(folder, read.table("optimizer")), _Reader(folder, read.table("network"))
    versions, base_model = state.get("versions"), state.get("base_model")
    return CheckpointSummary(
        folder=folder,
        run_id=str(state.get("run", "")),
        step=step,
        total_steps=schedule.total_steps,
        epoch=as_int(state.get("epoch")) or 0,
        created=as_float(state.get("created")) or manifest.created,
        bytes=manifest.bytes,
        loss=finite(state.get("loss")),
        loss_avg=finite(state.get("loss_avg")),
        validation_loss=finite(state.get("validation_loss")),
        validated_step=as_int(state.get("validated_step")),
        schedule=schedule,
        groups=_groups(optimizer),
        optimizer=str(optimizer.values.get("kind", "")),
        network=_network(network),
        attempt=as_int(state.get("attempt")) or 0,
        elapsed_seconds=finite(state.get("elapsed_seconds")) or 0.0,
        images_seen=as_int(state.get("images_seen")) or 0,
        base_model=str(base_model.get("path", "")) if isinstance(base_model, dict) else "",
        versions={str(name): str(value) for name, value in versions.items()} if isinstance(versions, dict) else {},
        device=str(state.get("device", "")),
        integrity=integrity,
    )


def finite(value: object) -> float | None:
    """``value`` if it is a finite number, else None."""
    number = as_float(value)
    return number if number is not None and math.isfinite(number) else None


def _network(network: _Reader) -> NetworkFacts:
    values = network.values
    stored = values.get("parts")
    parts = [part for part in stored if isinstance(part, dict)] if isinstance(stored, list) else []
    flags = [name.replace("_", " ") for name in ("rank_stabilized", "dora") if values.get(name) is True]
    numbers = {name: finite(values.get(name)) for name in ("rank_dropout", "module_dropout", "scale_weight_norms")}
    return NetworkFacts(
        kind=str(values.get("kind", "")),
        rank=network.count("rank"),
        alpha=network.number("alpha"),
        dropout=finite(values.get("dropout")) or 0.0,
        modules=as_int(values.get("modules")) or 0,
        parts=tuple(
            NetworkPart(
                part=str(part.get("part", "")),
                group=str(part.get("group", "")),
                rank=as_int(part.get("rank")) or 0,
                alpha=finite(part.get("alpha")) or 0.0,
                modules=as_int(part.get("modules")) or 0,
            )
            for part in parts
        ),
        options=(*flags, *(f"{name.replace('_', ' ')} {value:g}" for name, value in numbers.items() if value)),
    )


def _groups(optimizer: _Reader) -> tuple[RateGroup, ...]:
    stored = optimizer.values.get("groups")
    if not isinstance(stored, list) or not stored or not all(isinstance(group, dict) for group in stored):
        raise optimizer.error("its state.json has no optimizer groups")
    groups = []
    for group in stored:
        read = _Reader(optimizer.folder, group)
        base_lr = read.number("base_lr")
        if base_lr < 0:
            raise read.error(f"its state.json has a negative base_lr, {base_lr}")
        values = group.get("hyperparameters")
        groups.append(
            RateGroup(
                name=str(group.get("name", "")),
                base_lr=base_lr,
                last_lr=finite(group.get("lr")),
                parameters=as_int(group.get("parameters")) or 0,
                values=as_int(group.get("values")) or 0,
                hyperparameters={
                    str(name): number
                    for name, value in (values.items() if isinstance(values, dict) else ())
                    if (number := finite(value)) is not None
                },
                d=finite(group.get("d")),
                effective_lr=finite(group.get("effective_lr")),
            )
        )
    return tuple(groups)


@dataclass(frozen=True)
class _Reader:
    """Required values of a JSON object, each with an error that names it."""

    folder: Path
    values: dict[str, Any]

    def error(self, what: str) -> CheckpointError:
        return CheckpointError(what, where=str(self.folder))

    def table(self, name: str) -> dict[str, Any]:
        value = self.values.get(name)
        if not isinstance(value, dict):
            raise self.error(f"its state.json has no {name}")
        return value

    def count(self, name: str) -> int:
        value = as_int(self.values.get(name))
        if value is None or value < 0:
            raise self.error(f"its state.json has no {name}")
        return value

    def number(self, name: str) -> float:
        value = finite(self.values.get(name))
        if value is None:
            raise self.error(f"its state.json has no {name}")
        return value
