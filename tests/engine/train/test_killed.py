"""An engine that is killed while it trains and saves: what is visible is whole, and the run ends as if it had not been killed."""

from __future__ import annotations

import itertools
import random
import signal
import time

from engine.checkpoint.manifest import verify
from engine.run.layout import RunDirectory
from tests.engine.train.train_runs import EVERYTHING_RANDOM, Lab, arithmetic, metrics, same_tensors, start, state, train

# A checkpoint is being written nearly all the time.
SETTINGS = ("training.steps=10", "checkpoints.every_steps=1", "checkpoints.keep_last=2", "ema.decay=0.9")


def train_until_killed(run: RunDirectory, saved: int, moment: float) -> None:
    """Kill the engine ``moment`` seconds after it has made the checkpoint of step ``saved``."""
    engine = start(run)
    deadline = time.monotonic() + 300
    while not run.checkpoint(saved).exists() and engine.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(moment)
    engine.kill()
    assert engine.wait(60) == -signal.SIGKILL, (run.attempt(1).log).read_text(encoding="utf-8")[-2000:]


def test_a_killed_run_keeps_whole_checkpoints_and_ends_the_same(lab: Lab) -> None:
    straight, killed = (lab.run(*SETTINGS, *EVERYTHING_RANDOM) for _ in range(2))
    assert train(straight) == 0
    train_until_killed(killed, 4, random.uniform(0, 0.3))
    visible = killed.checkpoint_folders()
    assert visible
    for folder in visible:
        verify(folder, digests=True)
    assert train(killed) == 0
    latest = {point.step: point for point in metrics(killed)}  # the last one written counts
    assert arithmetic(list(latest.values())) == arithmetic(metrics(straight))
    for name in ("trainable.safetensors", "optimizer.safetensors", "lora.safetensors", "ema.safetensors"):
        assert same_tensors(killed.checkpoint(10), straight.checkpoint(10), name), name
    assert state(killed.checkpoint(10))["rng"] == state(straight.checkpoint(10))["rng"]
    assert [entry.name for entry in sorted(killed.checkpoints.iterdir())] == ["step-00000009", "step-00000010"]
    for one, other in itertools.pairwise(sorted(latest)):
        assert other == one + 1
