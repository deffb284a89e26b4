"""What a run will take, put together for ``sdxl-tui check`` and the log, and compared at the end with what it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.estimate.disk import DiskEstimate, estimate_disk, free_bytes
from engine.estimate.memory import PROGRAM_BYTES, MemoryEstimate, estimate_memory
from engine.estimate.speed import Speed, measured_speed
from engine.profile.schema import Profile
from engine.profile.stages import trained_profiles

GB: Final = 1e9


@dataclass(frozen=True)
class Estimate:
    """Of one run."""

    memory: MemoryEstimate
    disk: DiskEstimate
    steps: int
    """That are still to be made."""
    speed: Speed | None
    """None: nothing alike has run here yet, and nothing is guessed."""
    free_disk: int | None
    """Bytes."""

    @property
    def seconds(self) -> float | None:
        """Of all steps; saves and samples not counted."""
        return None if self.speed is None else self.speed.seconds_per_step * self.steps

    @property
    def disk_suffices(self) -> bool:
        """As far as is known."""
        return self.free_disk is None or self.disk.total <= self.free_disk

    def warnings(self) -> list[str]:
        """Sentences about what does not suffice."""
        if self.disk_suffices or self.free_disk is None:
            return []
        mend = "checkpoints.keep_last lets old ones go" if self.disk.checkpoints > 3 else "make room before it starts"
        return [
            f"the disk has {size_text(self.free_disk)} free, the run may take {size_text(self.disk.total)} "
            f"({self.kept()}, {size_text(self.disk.cache)} of cache): {mend}"
        ]

    def kept(self) -> str:
        """``5 checkpoints of 1.2 GB``."""
        disk = self.disk
        return f"{disk.checkpoints} checkpoint{'' if disk.checkpoints == 1 else 's'} of {size_text(disk.checkpoint)}"

    def to_json(self) -> dict[str, Any]:
        """The ``estimate`` event's fields (docs/files.md)."""
        return {
            "memory": self.memory.to_json(),
            "disk": {**self.disk.to_json(), "free": self.free_disk},
            "steps": self.steps,
            "seconds": self.seconds,
            "seconds_per_step": self.speed.seconds_per_step if self.speed else None,
            "measured_in": self.speed.run if self.speed else None,
        }

    def lines(self, *, on_gpu: bool | None = None) -> list[tuple[str, str]]:
        """What and how much, for people. on_gpu: None if it is not known."""
        memory = self.memory
        of = ", ".join(f"{name} {size_text(number)}" for name, number in memory.parts)
        beside = (
            ""
            if on_gpu is None
            else f", beside some {size_text(PROGRAM_BYTES)} for {'CUDA' if on_gpu else 'the program'}"
        )
        save = f"; {size_text(memory.save_copy)} more of main memory while a checkpoint is written"
        disk = self.disk
        free = "" if self.free_disk is None else f"; {size_text(self.free_disk)} are free"
        return [
            ("memory", f"about {size_text(memory.total)} ({of}){beside}{save}"),
            ("disk", f"up to {size_text(disk.total)}: {self.kept()}, {size_text(disk.cache)} of cache{free}"),
            ("time", self.time()),
        ]

    def time(self) -> str:
        """``3 h 20 min for 2,000 steps, 6 s each as in RUN``, or that it is not known."""
        if self.speed is None or self.seconds is None:
            return "unknown: nothing like it has been trained here yet"
        pace = f"{self.speed.seconds_per_step:.3g} s each as in {self.speed.run}"
        return f"{duration(self.seconds)} for {self.steps:,} steps, {pace}"


def estimate(profile: Profile, runs: Path, *, done: int = 0, without: str = "") -> Estimate:
    """What a run of ``profile`` in the folder ``runs`` will take from step ``done`` on. without: the run itself.

    With stages: what all their runs together will take; the memory is that of the largest.
    """
    if profile.stages:
        return _together([estimate(stage, runs) for stage in trained_profiles(profile)], profile)
    memory = estimate_memory(profile)
    values = memory.values
    return Estimate(
        memory,
        estimate_disk(profile, values=values, state_bytes=memory.optimizer, done=done),
        profile.training.steps - done,
        measured_speed(runs, profile, without=without),
        free_bytes(runs),
    )


def _together(stages: Sequence[Estimate], profile: Profile) -> Estimate:
    """Of several runs, each after the first with a copy of what it begins with."""
    copies = len(stages) - 1
    caches = {stage.dataset: found.disk.cache for stage, found in zip(trained_profiles(profile), stages, strict=True)}
    disk = DiskEstimate(
        max(stage.disk.checkpoint for stage in stages),
        sum(stage.disk.checkpoints for stage in stages) + copies,
        sum(caches.values()),
    )
    steps = sum(stage.steps for stage in stages)
    seconds = [stage.seconds for stage in stages if stage.seconds is not None]
    speeds = [stage.speed for stage in stages if stage.speed is not None]
    mean = Speed(sum(seconds) / steps, speeds[0].run) if len(seconds) == len(stages) else None
    memory = max((stage.memory for stage in stages), key=lambda memory: memory.total)
    return Estimate(memory, disk, steps, mean, stages[0].free_disk)


@dataclass(frozen=True)
class Took:
    """What an attempt really took."""

    steps: int
    seconds: float
    """Spent in the steps."""
    peak_memory: float | None
    """Bytes: the peak on a GPU, the program's size on a CPU."""
    on_gpu: bool
    checkpoint: int | None
    """Bytes of the newest one."""


def compared(estimate: Estimate, took: Took) -> dict[str, Any]:
    """The ``estimate_result`` event's fields: estimated and measured side by side."""
    return {
        "memory": {
            "estimated": estimate.memory.total_on(on_gpu=took.on_gpu),
            "measured": None if took.peak_memory is None else int(took.peak_memory),
        },
        "seconds_per_step": {
            "estimated": estimate.speed.seconds_per_step if estimate.speed else None,
            "measured": took.seconds / took.steps if took.steps else None,
        },
        "checkpoint_bytes": {"estimated": estimate.disk.checkpoint, "measured": took.checkpoint},
    }


def compared_text(record: dict[str, Any]) -> str:
    """The comparison in a line for the log."""
    units = {
        "memory": size_text,
        "seconds_per_step": lambda value: f"{value:.3g} s/step",
        "checkpoint_bytes": size_text,
    }
    parts = []
    for name, write in units.items():
        estimated, measured = record[name]["estimated"], record[name]["measured"]
        what = name.partition("_")[0].replace("seconds", "speed")
        told = "unknown" if estimated is None else write(estimated)
        parts.append(f"{what} {told} estimated, {'not measured' if measured is None else write(measured)} in fact")
    return "; ".join(parts)


def duration(seconds: float) -> str:
    """``3 h 20 min``, ``4 min``, ``12 s``."""
    whole = round(seconds)
    if whole < 90:
        return f"{whole} s"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def size_text(number: float) -> str:
    """``1.4 GB``, ``12.0 MB``."""
    return f"{number / GB:.1f} GB" if number >= GB / 10 else f"{number / 1e6:.1f} MB"
