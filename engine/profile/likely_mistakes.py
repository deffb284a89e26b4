"""Values that can be trained with and are probably not meant: warnings, never errors.

What cannot be trained with is an error, in ``rules.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from engine.profile.optimizer_rules import unusual_rate
from engine.profile.schema import Profile

LONG_WARMUP: Final = 0.5
"""Share of the steps from which a warmup is worth a word."""


class Likely(NamedTuple):
    """A field with a value that is probably not meant."""

    field: str
    value: float
    rule: str
    suggestion: str = ""


def likely_mistakes(profile: Profile, images: int) -> Iterator[Likely]:
    """Those of one training. images: how many an epoch sees, repeats counted; 0 where that is not known."""
    optimizer, network, training = profile.optimizer, profile.network, profile.training
    if (unusual := unusual_rate(optimizer.kind, optimizer.lr)) is not None:
        yield Likely("optimizer.lr", optimizer.lr, unusual)
    if network.alpha > network.rank and network.start_from is None:
        times = network.alpha / network.rank
        rule = f"is above network.rank {network.rank}: it multiplies what the LoRA adds by {times:g}, like a higher LR"
        yield Likely("network.alpha", network.alpha, rule, f"usual is {network.rank} or {network.rank / 2:g}")
    if profile.schedule.warmup_steps > LONG_WARMUP * training.steps:
        rule = f"is more than half of training.steps {training.steps}"
        yield Likely("schedule.warmup_steps", profile.schedule.warmup_steps, rule, "0 to 10 % is usual")
    resolution, step = profile.dataset.resolution, profile.dataset.bucket_step
    if profile.dataset.buckets and (below := resolution // step * step) != resolution:
        rule = f"is no multiple of dataset.bucket_step {step}: square images are seen at {below} × {below}"
        yield Likely("dataset.resolution", resolution, rule, f"write {below} or {below + step}")
    together = training.batch_size * profile.launch.processes
    if images and together > images:
        of = f" on {profile.launch.processes} processes" if profile.launch.processes > 1 else ""
        rule = f"{of} is more than the {images} images of an epoch, repeats counted: no batch is ever full".strip()
        yield Likely("training.batch_size", training.batch_size, rule, f"use at most {max(1, images)}")
