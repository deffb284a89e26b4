"""From the engine's start to its first optimizer step with warm caches, against a bare script that only loads the UNet.

    python benchmarks/start_up.py [--rounds N] [--base REFERENCE] [--resolution PX] [--precision fp32|bf16]

Bare means: import torch and diffusers' UNet, load the base's UNet in the same number format, end. The engine does that and
everything else that a run needs before its first step, and the step. Both sides start as new processes, in alternation;
of each the wall time and the processor time are taken. Prints the medians, and the ratios of the pairs.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from engine.demo import locate
from engine.profile.load import parse_profile
from engine.profile.schema import Profile
from engine.run.create import create_run
from engine.run.layout import RunDirectory

PROFILE = """
schema = 1
name = "start-up"
model = {base = "bundled:demo-base"}
network = {rank = 8, alpha = 8}
training = {steps = 1000000}
checkpoints = {every_steps = 0, every_minutes = 0}

[dataset]
sources = [{path = "bundled:demo-images"}]
bucket_min = 64
bucket_max = 1024
bucket_step = 32
"""
BARE = """
import os, sys, torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
folder, dtype = sys.argv[1:]
UNet2DConditionModel.from_pretrained(folder, torch_dtype=getattr(torch, dtype), local_files_only=True)
os._exit(0)
"""
DTYPES = {"fp32": "float32", "bf16": "bfloat16"}
GIVE_UP_SECONDS = 900.0


class Cost(NamedTuple):
    """What a process took."""

    wall: float
    """Seconds until it was where it should come."""
    processor: float
    """Seconds of processor time, user and system."""


def engine_start(run: RunDirectory) -> Cost:
    """Start the engine on a new run and end it once the first step's line is in metrics.jsonl."""
    command = [sys.executable, "-m", "engine", "train", str(run.path)]
    began = time.perf_counter()
    with (run.path / "output.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        while not run.metrics.exists() or not run.metrics.stat().st_size:
            if process.poll() is not None or time.perf_counter() - began > GIVE_UP_SECONDS:
                raise SystemExit((run.path / "output.log").read_text(encoding="utf-8"))
            time.sleep(0.005)
        wall = time.perf_counter() - began
    finally:
        process.send_signal(signal.SIGKILL)
    return Cost(wall, _processor_seconds(process))


def bare_start(profile: Profile) -> Cost:
    """Run the bare script."""
    folder = locate(profile.model.base) / "unet"
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", BARE, str(folder), DTYPES[profile.precision.compute]])
    processor = _processor_seconds(process)
    return Cost(time.perf_counter() - began, processor)


def _processor_seconds(process: subprocess.Popen[bytes]) -> float:
    """Wait for the end of ``process``; what it used."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--base", default="bundled:demo-base", help="a diffusers folder")
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--precision", choices=DTYPES, default="fp32")
    arguments = parser.parse_args()
    overrides = [
        f"model.base={arguments.base}",
        f"dataset.resolution={arguments.resolution}",
        f"precision.compute={arguments.precision}",
    ]
    profile = parse_profile(PROFILE, folder=Path.cwd(), overrides=overrides).profile
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        engine_start(create_run(runs, profile, source=None))  # fills the caches
        bare_start(profile)
        pairs = []
        for number in range(arguments.rounds):
            run = create_run(runs, profile, source=None)
            if number % 2:
                bare, engine = bare_start(profile), engine_start(run)
            else:
                engine, bare = engine_start(run), bare_start(profile)
            pairs.append((engine, bare))
    report(pairs, profile)


def report(pairs: list[tuple[Cost, Cost]], profile: Profile) -> None:
    """Print medians and ratios of (engine, bare) pairs."""
    load = " ".join(f"{average:.1f}" for average in os.getloadavg())
    print(
        f"{profile.model.base}, {profile.dataset.resolution} px, {profile.precision.compute}, {len(pairs)} rounds, "
        f"{os.cpu_count()} processors, load {load}"
    )
    for name in Cost._fields:
        engine, bare = (statistics.median(getattr(pair[side], name) for pair in pairs) for side in (0, 1))
        ratios = sorted(getattr(pair[0], name) / getattr(pair[1], name) for pair in pairs)
        print(
            f"{name:<10} engine {engine:.2f} s   bare {bare:.2f} s   ratio {statistics.median(ratios):.2f} "
            f"(rounds {ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


if __name__ == "__main__":
    main()
