"""The disk that a run takes: its checkpoints, and what the cache lacks at most."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.demo import locate
from engine.estimate.memory import BYTES
from engine.profile.preflight import images_in
from engine.profile.schema import Profile

STATE_JSON_BYTES: Final = 40_000
EMBEDDING_VALUES: Final = 77 * 2048 + 1280
LATENT_CHANNELS: Final = 4


@dataclass(frozen=True)
class DiskEstimate:
    """Bytes."""

    checkpoint: int
    """One of them."""
    checkpoints: int
    """How many stay, at most."""
    cache: int
    """Latents and text embeddings of all images, if none is cached yet."""

    @property
    def total(self) -> int:
        """All that is written and stays."""
        return self.checkpoint * self.checkpoints + self.cache

    def to_json(self) -> dict[str, int]:
        """For the event."""
        return {
            "checkpoint": self.checkpoint,
            "checkpoints": self.checkpoints,
            "cache": self.cache,
            "total": self.total,
        }


def estimate_disk(profile: Profile, *, values: int, state_bytes: int, done: int = 0) -> DiskEstimate:
    """What a run of ``profile`` writes from step ``done`` on.

    values: numbers trained; state_bytes: the optimizer's state in memory.
    """
    weights = 4 + BYTES[profile.precision.save] + (4 if profile.ema.decay is not None else 0)
    checkpoint = values * weights + state_bytes + STATE_JSON_BYTES
    latents = LATENT_CHANNELS * (profile.dataset.resolution // 8) ** 2
    return DiskEstimate(checkpoint, _checkpoints(profile, done), _images(profile) * (latents + EMBEDDING_VALUES) * 4)


def _checkpoints(profile: Profile, done: int) -> int:
    """How many a run adds at most from step ``done`` on; those by the clock are not foreseen."""
    settings, steps = profile.checkpoints, profile.training.steps

    def multiples(every: int) -> int:
        return steps // every - done // every if every else 0

    saved = multiples(settings.every_steps)
    if not settings.every_steps or steps % settings.every_steps:
        saved += 1  # the last one
    if settings.keep_last:
        # One more: the next one is whole before the oldest goes.
        saved = min(saved, settings.keep_last + 1 + multiples(settings.keep_every_steps) + settings.keep_best)
    return max(1, saved)


def free_bytes(folder: Path) -> int | None:
    """What is free on the disk that ``folder`` is or will be on; None if that cannot be asked."""
    there = next((path for path in (folder, *folder.parents) if path.exists()), None)
    try:
        return None if there is None else shutil.disk_usage(there).free
    except OSError:
        return None


def _images(profile: Profile) -> int:
    count = 0
    for source in profile.dataset.sources:
        with contextlib.suppress(OSError):  # a folder that cannot be read is somebody else's to tell of
            count += sum(1 for _ in images_in(locate(source.path)))
    return count
