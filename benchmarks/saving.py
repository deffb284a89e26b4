"""What a save costs the training: how long the loop stands still for each, and the steps per second, against another checkout.

Each side trains the demo base in processes of its own, in alternation, with a checkpoint every few steps; the time between
the end of a step and the beginning of the next is measured, with a save in between and without one.

    python benchmarks/saving.py --against CHECKOUT [--rounds N] [--steps N] [--every N] [--rank N]

Prints the medians of both sides, and the ratio of the steps per second with its spread over the rounds. The other checkout is a
folder with an ``engine`` package, a worktree of an earlier commit for one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

OWN = Path(__file__).resolve().parent.parent
PROFILE = """
schema = 1
name = "saving"
model = {{base = "bundled:demo-base"}}
network = {{rank = {rank}, alpha = {rank}, convolutions = true}}
training = {{steps = {steps}, batch_size = 1}}
precision = {{compute = "fp32"}}
checkpoints = {{every_steps = {every}, every_minutes = 0, keep_last = 2}}
samples = {{prompts = []}}
launch = {{device = "cpu", cpu_threads = 1}}

[dataset]
sources = [{{path = "bundled:demo-images"}}]
resolution = 64
bucket_min = 64
bucket_max = 64
"""


@dataclass(frozen=True)
class Measured:
    """One training. Seconds."""

    with_save: list[float]
    """Between two steps with a save."""
    without: list[float]
    """Between two steps without one."""
    seconds: float
    """From the end of the first step to the end of the run's last save."""
    steps: int
    megabytes: float
    """Of a checkpoint."""

    @property
    def stall(self) -> float:
        """What a save adds between two steps."""
        return statistics.median(self.with_save) - statistics.median(self.without)

    @property
    def steps_per_second(self) -> float:
        """Saves counted."""
        return self.steps / self.seconds


def measure(root: Path, steps: int, every: int, rank: int) -> Measured:
    """Train with the ``engine`` that is on the path."""
    from engine.profile.load import parse_profile  # noqa: PLC0415
    from engine.run.create import create_run  # noqa: PLC0415
    from engine.train import loop  # noqa: PLC0415
    from engine.train.attempt import run_engine  # noqa: PLC0415
    from engine.train.requests import Requests  # noqa: PLC0415

    times: list[tuple[float, float]] = []
    step = loop.optimizer_step

    def timed(*arguments: Any, **options: Any) -> Any:
        began = time.perf_counter()
        result = step(*arguments, **options)
        times.append((began, time.perf_counter()))
        return result

    loop.optimizer_step = timed
    text = PROFILE.format(rank=rank, steps=steps, every=every)
    run = create_run(root / "runs", parse_profile(text, folder=root).profile, source=None)
    run_engine(run.path, attempt=None, lock_fd=None, from_checkpoint=None, requests=Requests())
    end = time.perf_counter()
    gaps = [later[0] - earlier[1] for earlier, later in itertools.pairwise(times)]
    size = sum(file.stat().st_size for file in run.checkpoint_folders()[-1].iterdir())
    return Measured(
        with_save=[gap for number, gap in enumerate(gaps, start=1) if number % every == 0],
        without=[gap for number, gap in enumerate(gaps, start=1) if number % every],
        seconds=end - times[0][1],
        steps=len(times) - 1,
        megabytes=size / 1e6,
    )


def in_a_process(checkout: Path, root: Path, options: argparse.Namespace) -> Measured:
    """``measure`` with the engine of ``checkout``."""
    command = [sys.executable, __file__, "--measure", str(root)]
    command += ["--steps", str(options.steps), "--every", str(options.every), "--rank", str(options.rank)]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def compare(options: argparse.Namespace) -> None:
    """Both sides in alternation, and what came out."""
    sides = {"before": options.against.resolve(), "after": OWN}
    found: dict[str, list[Measured]] = {name: [] for name in sides}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds):
            for name in list(sides) if number % 2 else reversed(list(sides)):
                found[name].append(in_a_process(sides[name], Path(folder), options))
    for name, rounds in found.items():
        stalls = [measured.stall for measured in rounds]
        print(
            f"{name}: a save of {rounds[0].megabytes:.1f} MB stops the loop for {1e3 * statistics.median(stalls):.0f} ms "
            f"({1e3 * min(stalls):.0f} … {1e3 * max(stalls):.0f}), "
            f"{statistics.median(measured.steps_per_second for measured in rounds):.2f} steps/s"
        )
    ratios = [
        after.steps_per_second / before.steps_per_second
        for before, after in zip(found["before"], found["after"], strict=True)
    ]
    print(f"steps/s after / before: {statistics.median(ratios):.3f} ({min(ratios):.3f} … {max(ratios):.3f})")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, metavar="CHECKOUT")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(asdict(measure(options.measure, options.steps, options.every, options.rank))))
    elif options.against:
        compare(options)
    else:
        parser.error("name the checkout to compare with: --against CHECKOUT")


if __name__ == "__main__":
    main()
