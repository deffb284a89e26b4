"""The engine's step against a bare PyTorch loop that does the same arithmetic, in alternation in one process.

Bare means: diffusers' UNet, peft, the same LoRA, batches ready in memory, noise, MSE, clipping, fused AdamW; no files, no
logging, nothing read back. The engine's side is ``engine.train.loop.train`` itself with status, events and metrics on disk.

    python benchmarks/step_time.py [--rounds N] [--steps N] [--resolution PX] [--batch-size N] [--threads N] [--base BASE]

With --one-unet both sides train the engine's own UNet and adapter, for a base that does not fit into memory twice.

Prints the median of each, the ratio of the medians and the spread of the ratio over the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import mse_loss

from engine.data.batches import Batch
from engine.model.adapter import add_lora
from engine.profile.load import parse_profile
from engine.profile.schema import Profile
from engine.run.create import create_run
from engine.run.layout import RunDirectory
from engine.train.assemble import assemble
from engine.train.loop import train
from engine.train.meter import StepMeter
from engine.train.reporter import Reporter
from engine.train.requests import Requests, StopRequest
from engine.train.sampler import Sampler
from engine.train.saver import Saver
from engine.train.training import Training
from engine.train.validator import Validator

PROFILE = """
schema = 1
name = "step-time"
model = {base = "bundled:demo-base"}
network = {rank = 8, alpha = 8}
training = {steps = 1000000}
precision = {compute = "fp32"}
checkpoints = {every_steps = 0, every_minutes = 0}

[dataset]
sources = [{path = "bundled:demo-images"}]
bucket_min = 64
bucket_max = 512
bucket_step = 32
"""


class EngineLoop:
    """The engine's own loop, run a number of steps at a time."""

    def __init__(self, run: RunDirectory) -> None:
        self.reporter = Reporter(run, 1)
        self.training = assemble(run, 1, None, self.reporter, Requests())
        self.meter = StepMeter(self.training, self.reporter)
        self.saver = Saver(run, self.training, self.meter, self.reporter, Requests())
        self.sampler = Sampler(run, self.training, self.reporter)
        self.validator = Validator(self.training, self.reporter)

    def steps(self, count: int) -> None:
        """Train ``count`` optimizer steps."""
        requests = Requests()
        requests.stop = StopRequest("command", save=False, at_step=self.training.progress.step + count)
        train(
            self.training,
            self.meter,
            self.saver,
            self.sampler,
            self.validator,
            requests=requests,
            reporter=self.reporter,
        )


class BareLoop:
    """The same arithmetic, and nothing else."""

    def __init__(self, training: Training, *, one_unet: bool = False) -> None:
        profile = training.profile
        self.unet: Any = training.unet if one_unet else training.base.unet()
        adapter = training.adapter if one_unet else add_lora(self.unet, profile.network, seed=0)
        self.parameters = [parameter for _, parameter in adapter.parameters()]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-4, fused=True)
        self.scheduler = training.base.noise_scheduler()
        order = training.data.order(profile.training.batch_size, 0)
        self.batches: list[Batch] = [training.data.batch(order.next_batch()) for _ in range(order.batches_per_epoch)]
        self.done = 0
        self.unet.train()

    def steps(self, count: int) -> None:
        """Train ``count`` optimizer steps."""
        for _ in range(count):
            batch = self.batches[self.done % len(self.batches)]
            self.done += 1
            noise = torch.randn_like(batch.latents)
            timesteps = torch.randint(0, 1000, batch.latents.shape[:1])
            noisy = self.scheduler.add_noise(batch.latents, noise, timesteps)
            conditions = {"text_embeds": batch.pooled, "time_ids": batch.time_ids}
            predicted = self.unet(
                noisy, timesteps, batch.prompt_embeds, added_cond_kwargs=conditions, return_dict=False
            )[0]
            mse_loss(predicted, noise).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.parameters, 1.0, foreach=True)
            self.optimizer.step()
            self.optimizer.zero_grad()


def seconds_per_step(steps: Callable[[int], None], count: int) -> float:
    """Wall time of ``count`` steps, per step."""
    began = time.perf_counter()
    steps(count)
    return (time.perf_counter() - began) / count


def profile_for(arguments: argparse.Namespace) -> Profile:
    """The benchmark's profile with the command line's numbers."""
    overrides = [
        f"model.base={arguments.base}",
        f"dataset.resolution={arguments.resolution}",
        f"training.batch_size={arguments.batch_size}",
        f"launch.cpu_threads={arguments.threads}",
    ]
    return parse_profile(PROFILE, folder=Path.cwd(), overrides=overrides).profile


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--steps", type=int, default=12, help="steps per side and round: one epoch of the demo at batch 2"
    )
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0, help="of both sides; 0: as the engine chooses")
    parser.add_argument("--base", default="bundled:demo-base", help="what is trained: a folder or a single file")
    parser.add_argument("--one-unet", action="store_true", help="both sides train the same UNet and adapter")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = create_run(Path(folder) / "runs", profile_for(arguments), source=None)
        engine = EngineLoop(run)
        bare = BareLoop(engine.training, one_unet=arguments.one_unet)
        for steps in (engine.steps, bare.steps):
            steps(arguments.steps)
        pairs = []
        for number in range(arguments.rounds):
            # Each goes first in every other round.
            sides = [engine.steps, bare.steps] if number % 2 == 0 else [bare.steps, engine.steps]
            times = [seconds_per_step(steps, arguments.steps) for steps in sides]
            pairs.append(times if number % 2 == 0 else times[::-1])
        engine.reporter.close()
    report(pairs, arguments)


def report(pairs: list[list[float]], arguments: argparse.Namespace) -> None:
    """Print medians and ratios of (engine, bare) pairs."""
    engine, bare = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratios = sorted(pair[0] / pair[1] for pair in pairs)
    print(
        f"{arguments.base}, {arguments.resolution} px, batch {arguments.batch_size}, float32, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads; {len(pairs)} rounds of {arguments.steps} steps each"
    )
    print(f"engine  {engine:.4f} s/step")
    print(f"bare    {bare:.4f} s/step")
    print(f"ratio   {statistics.median(ratios):.3f}  (rounds {ratios[0]:.3f} to {ratios[-1]:.3f})")


if __name__ == "__main__":
    main()
