"""The JSON records of a run directory as typed values: what was written, read back without trusting it.

Readers of ``status.json`` and its like return ``None`` for a file that is missing, blank or torn: a run may be starting,
half copied or damaged, and a list of runs must still be shown.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

FORMAT = 1


def read_json_object(path: Path, *, limit: int = 4_000_000) -> dict[str, Any] | None:
    """The JSON object in ``path``; None if there is none, it is blank, not an object, or larger than ``limit`` bytes."""
    try:
        # Not through io: a list of runs reads thousands. Non-blocking, so that a FIFO is empty instead of awaited.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            text = os.read(descriptor, size).decode() if 0 < size <= limit else ""
        finally:
            os.close(descriptor)
        value = json.loads(text) if text and not text.isspace() else None
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def as_float(value: object) -> float | None:
    """``value`` if it is a finite number (booleans are not), else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def as_int(value: object) -> int | None:
    """``value`` if it is an integer (booleans are not), else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def as_rates(value: object) -> dict[str, float]:
    """The learning rates by group in ``value``; entries that are no numbers are left out."""
    if not isinstance(value, dict):
        return {}
    return {str(name): rate for name, number in value.items() if (rate := as_float(number)) is not None}


@dataclass(frozen=True)
class Parent:
    """The checkpoint a child run came from, and how."""

    run: str
    checkpoint: str
    """Its name; empty for a child that begins when its parent has finished, until it does."""
    step: int
    route: str

    @property
    def place(self) -> str:
        """``demo-20261124-093000/step-00000020``."""
        return f"{self.run}/{self.checkpoint}" if self.checkpoint else f"the end of {self.run}"


@dataclass(frozen=True)
class Origin:
    """What a run started from that is no checkpoint of ours, and how. The run has its own copy of the weights."""

    path: str
    """Absolute, as it was then."""
    kind: str
    """``sd-scripts state``, ``LoRA file`` or ``peft folder``."""
    route: str
    """``continue`` or ``resize``."""
    step: int | None = None
    """Steps that were made there; None where nothing tells them."""
    sha256: str | None = None
    """Of the file with the weights; None for a folder of several."""

    @property
    def label(self) -> str:
        """``sd-scripts state PATH at step N``."""
        return f"{self.kind} {self.path}" + ("" if self.step is None else f" at step {self.step:,}")

    @classmethod
    def of(cls, stored: object) -> Self | None:
        """What ``run.json`` holds; None where it holds none, or none that is readable."""
        if not isinstance(stored, dict) or not isinstance(stored.get("path"), str):
            return None
        digest = stored.get("sha256")
        return cls(
            path=stored["path"],
            kind=str(stored.get("kind", "")),
            route=str(stored.get("route", "")),
            step=as_int(stored.get("step")),
            sha256=digest if isinstance(digest, str) else None,
        )


@dataclass(frozen=True)
class RunRecord:
    """``run.json``."""

    id: str
    name: str
    created: float
    source_profile: str | None
    engine_version: str
    parent: Parent | None = None
    overrides: tuple[str, ...] = ()
    """What changed the source profile: ``section.field=value``, as it was said."""
    origin: Origin | None = None
    """What it started from, if that was no checkpoint of ours."""
    stage: int | None = None
    """Which of the source profile's stages it trains, from 1; None for a profile without stages."""

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        return {"format": FORMAT, **asdict(self), "overrides": list(self.overrides)}

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The record in ``path``, or None if it is not readable as one."""
        stored = read_json_object(path)
        if stored is None:
            return None
        parent, overrides = stored.get("parent"), stored.get("overrides")
        try:
            return cls(
                id=str(stored["id"]),
                name=str(stored["name"]),
                created=float(stored["created"]),
                source_profile=None if stored.get("source_profile") is None else str(stored["source_profile"]),
                engine_version=str(stored.get("engine_version", "")),
                parent=None
                if not isinstance(parent, dict)
                else Parent(str(parent["run"]), str(parent["checkpoint"]), int(parent["step"]), str(parent["route"])),
                overrides=tuple(str(one) for one in overrides) if isinstance(overrides, list) else (),
                origin=Origin.of(stored.get("origin")),
                stage=as_int(stored.get("stage")),
            )
        except (KeyError, OverflowError, TypeError, ValueError):
            return None


@dataclass(frozen=True)
class ProcessRecord:
    """``attempts/NNN/process.json``: enough to know a process again after a reboot or a reused pid."""

    engine_pid: int | None
    engine_start: int | None
    keeper_pid: int | None
    keeper_start: int | None
    boot_id: str
    pid_namespace: str
    init_start: int | None
    host: str
    began: float
    argv: tuple[str, ...] = ()
    resumed_from: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        return {"format": FORMAT, **asdict(self), "argv": list(self.argv)}

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The record in ``path``, or None if it is not readable as one."""
        stored = read_json_object(path)
        if stored is None:
            return None
        resumed_from = stored.get("resumed_from")
        argv = stored.get("argv")
        return cls(
            engine_pid=as_int(stored.get("engine_pid")),
            engine_start=as_int(stored.get("engine_start")),
            keeper_pid=as_int(stored.get("keeper_pid")),
            keeper_start=as_int(stored.get("keeper_start")),
            boot_id=str(stored.get("boot_id", "")),
            pid_namespace=str(stored.get("pid_namespace", "")),
            init_start=as_int(stored.get("init_start")),
            host=str(stored.get("host", "")),
            began=as_float(stored.get("began")) or 0.0,
            argv=tuple(str(word) for word in argv) if isinstance(argv, list) else (),
            resumed_from=None if resumed_from is None else str(resumed_from),
        )


@dataclass(frozen=True)
class ExitRecord:
    """``attempts/NNN/exit.json`` once it is filled."""

    code: int | None
    signal: int | None
    cause: str
    message: str
    max_rss_kb: int | None
    ended: float

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The record in ``path``, or None while it is blank, missing or torn."""
        stored = read_json_object(path)
        if stored is None:
            return None
        return cls(
            code=as_int(stored.get("code")),
            signal=as_int(stored.get("signal")),
            cause=str(stored.get("cause", "")),
            message=str(stored.get("message", "")),
            max_rss_kb=as_int(stored.get("max_rss_kb")),
            ended=as_float(stored.get("ended")) or 0.0,
        )


@dataclass(frozen=True)
class Progress:
    """How far a preparation has come."""

    what: str
    done: int
    total: int


@dataclass(frozen=True)
class Status:
    """``status.json``: what the engine last said about itself."""

    attempt: int
    state: str
    step: int
    total_steps: int
    heartbeat: float
    epoch: int | None = None
    epochs: int | None = None
    loss: float | None = None
    loss_avg: float | None = None
    validation_loss: float | None = None
    lr: dict[str, float] = field(default_factory=dict)
    steps_per_second: float | None = None
    eta_seconds: float | None = None
    device: str = ""
    checkpoint: str | None = None
    progress: Progress | None = None
    message: str = ""

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The status in ``path``, or None if it is not readable as one."""
        stored = read_json_object(path)
        if stored is None:
            return None
        progress = stored.get("progress")
        checkpoint = stored.get("checkpoint")
        return cls(
            attempt=as_int(stored.get("attempt")) or 0,
            state=str(stored.get("state", "")),
            step=as_int(stored.get("step")) or 0,
            total_steps=as_int(stored.get("total_steps")) or 0,
            heartbeat=as_float(stored.get("heartbeat")) or 0.0,
            epoch=as_int(stored.get("epoch")),
            epochs=as_int(stored.get("epochs")),
            loss=as_float(stored.get("loss")),
            loss_avg=as_float(stored.get("loss_avg")),
            validation_loss=as_float(stored.get("validation_loss")),
            lr=as_rates(stored.get("lr")),
            steps_per_second=as_float(stored.get("steps_per_second")),
            eta_seconds=as_float(stored.get("eta_seconds")),
            device=str(stored.get("device", "")),
            checkpoint=None if checkpoint is None else str(checkpoint),
            progress=None
            if not isinstance(progress, dict)
            else Progress(
                str(progress.get("what", "")),
                as_int(progress.get("done")) or 0,
                as_int(progress.get("total")) or 0,
            ),
            message=str(stored.get("message", "")),
        )
