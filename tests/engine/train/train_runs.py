"""Runs of the real engine on the real demo base, as small as they can be: 6 pictures at 64 px, a few steps."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from engine.demo import locate
from engine.profile.load import parse_profile
from engine.run.create import Inheritance, create_run
from engine.run.events import read_events
from engine.run.layout import RunDirectory
from engine.run.metrics import MetricPoint, MetricsReader
from engine.run.records import Parent, Status, read_json_object
from engine.train.attempt import run_engine
from engine.train.requests import Requests, StopRequest

ROOT = Path(__file__).parents[3]
PICTURES = 6
PROFILE = """
schema = 1
name = "small"
model = {base = "bundled:demo-base"}
network = {rank = 2, alpha = 2}
training = {steps = 8, batch_size = 2, seed = 7}
optimizer = {lr = 1e-2}
schedule = {kind = "cosine", warmup_steps = 2}
precision = {compute = "fp32"}
checkpoints = {every_steps = 0, every_minutes = 0}
samples = {prompts = [], steps = 2, width = 64, height = 64}
launch = {device = "cpu", cpu_threads = 1}

[dataset]
sources = [{path = "PICTURES"}]
resolution = 64
bucket_min = 64
bucket_max = 64
"""

EVERYTHING_RANDOM = (
    *("network.dropout=0.2", "network.rank_dropout=0.1", "network.module_dropout=0.1", "dataset.flip=true"),
    *("captions.shuffle=true", "captions.tag_dropout=0.2", "captions.caption_dropout=0.2", "captions.wildcards=true"),
)
"""Settings that draw random numbers in every step."""


@dataclass(frozen=True)
class Lab:
    """A workspace whose cache all runs of a test session share."""

    root: Path

    @property
    def pictures(self) -> Path:
        """Six of the demo's pictures with their captions."""
        return self.root / "pictures"

    def run(self, *overrides: str, parent: Parent | None = None, inherits: Inheritance | None = None) -> RunDirectory:
        """A new run of the small profile with ``overrides``."""
        text = PROFILE.replace("PICTURES", str(self.pictures))
        profile = parse_profile(text, folder=self.root, overrides=overrides).profile
        return create_run(self.root / "runs", profile, source=None, parent=parent, inherits=inherits)

    def copy(self, run: RunDirectory, name: str) -> RunDirectory:
        """A copy of a run under another id."""
        copy = RunDirectory(run.path.with_name(name))
        shutil.copytree(run.path, copy.path)
        return copy


def make_lab(root: Path) -> Lab:
    """A lab in ``root``, with pictures."""
    lab = Lab(root)
    lab.pictures.mkdir()
    for picture in sorted(locate("bundled:demo-images").glob("*.png"))[:PICTURES]:
        for file in (picture, picture.with_suffix(".txt")):
            shutil.copy(file, lab.pictures)
    return lab


def train(run: RunDirectory, *, stop_at: int | None = None, save: bool = True, checkpoint: str | None = None) -> int:
    """Train in this process, until asked to stop after ``stop_at`` steps; the exit code."""
    requests = Requests()
    if stop_at is not None:
        requests.stop = StopRequest("command", save, stop_at)
    return run_engine(run.path, attempt=None, lock_fd=None, from_checkpoint=checkpoint, requests=requests)


def start(run: RunDirectory, *arguments: str) -> subprocess.Popen[bytes]:
    """The engine of ``run`` as a process of its own."""
    command = [sys.executable, "-P", "-m", "engine", "train", str(run.path), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=run.path, env=environment, stderr=subprocess.DEVNULL)


def events(run: RunDirectory, *kinds: str, attempt: int | None = None) -> list[dict[str, Any]]:
    """The run's events of ``kinds`` (all if none is named)."""
    return [
        event
        for event in read_events(run.events)
        if (not kinds or event["event"] in kinds) and attempt in (None, event["attempt"])
    ]


def metrics(run: RunDirectory, attempt: int | None = None) -> list[MetricPoint]:
    """The run's metrics lines as they stand."""
    return [point for point in MetricsReader(run.metrics).poll() if attempt in (None, point.attempt)]


def arithmetic(points: Sequence[MetricPoint]) -> list[tuple[Any, ...]]:
    """What of the metrics follows from the arithmetic alone, not from the clock."""
    return [(p.step, p.epoch, p.loss, p.loss_avg, tuple(p.lr.items()), p.grad_norm) for p in points]


def status(run: RunDirectory) -> Status:
    """The engine's latest word."""
    found = Status.read(run.status)
    assert found is not None
    return found


def state(checkpoint: Path) -> dict[str, Any]:
    """A checkpoint's state.json."""
    found = read_json_object(checkpoint / "state.json")
    assert found is not None
    return found


def same_tensors(one: Path, other: Path, name: str) -> bool:
    """Whether a file of tensors holds the same bits in two checkpoints."""
    left, right = load_file(one / name), load_file(other / name)
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)
