"""Runs one real training step of a full-size SDXL base with the engine, and says what it took.

The whole way is the product's own: a profile, a run directory, the caches filled (VAE and text encoders loaded and given
back), the UNet in bf16, a LoRA of rank 8, one optimizer step, a checkpoint. At 256 px it fits in 24 GB of memory on a CPU. The
base may be a real one; ``make_full_size_base.py`` writes one with random weights.

    python scripts/train_full_size_step.py BASE [--workspace DIR] [--resolution 256] [--device cpu] [--steps 1]
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from engine.demo import locate
from engine.profile.load import parse_profile
from engine.profile.preflight import check_inputs
from engine.run.create import create_run
from engine.run.events import read_events
from engine.run.layout import RunDirectory
from engine.run.metrics import MetricsReader

PROFILE = """
schema = 1
name = "full-size"

[model]
base = {base}

[network]
rank = 8
alpha = 8

[dataset]
sources = [{{path = {pictures}}}]
resolution = {resolution}
bucket_min = {resolution}
bucket_max = {resolution}

[training]
steps = {steps}
batch_size = 1

[schedule]
kind = "constant"

[precision]
compute = "bf16"

[checkpoints]
every_minutes = 0

[samples]
prompts = []

[launch]
device = "{device}"
"""


def make_run(options: argparse.Namespace, workspace: Path) -> RunDirectory:
    """A run of the profile above on two of the demo's pictures. Raises a ``UserError`` if the base is none."""
    pictures = workspace / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    for picture in sorted(locate("bundled:demo-images").glob("*.png"))[:2]:
        for file in (picture, picture.with_suffix(".txt")):
            shutil.copy(file, pictures)
    text = PROFILE.format(
        base=json.dumps(options.base),
        pictures=json.dumps(str(pictures)),
        resolution=options.resolution,
        steps=options.steps,
        device=options.device,
    )
    loaded = parse_profile(text, folder=Path.cwd())
    check_inputs(loaded.profile, loaded)
    return create_run(workspace / "runs", loaded.profile, source=None)


def report(run: RunDirectory, seconds: float) -> dict[str, Any]:
    """What the engine measured, and the peak of its resident memory."""
    told = list(read_events(run.events))
    cached = {event["what"]: round(event["seconds"], 1) for event in told if event["event"] == "cached"}
    points = MetricsReader(run.metrics).poll()
    return {
        "seconds": round(seconds, 1),
        "cached_seconds": cached,
        "step_seconds": [round(point.step_seconds or 0.0, 1) for point in points],
        "loss": [point.loss for point in points],
        "grad_norm": [point.grad_norm for point in points],
        "peak_gb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9, 2),
        "lora_bytes": (run.checkpoint(len(points)) / "lora.safetensors").stat().st_size if points else 0,
    }


def main() -> int:
    """Train and print the report; the engine's own exit code if it fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", help="what model.base may be")
    parser.add_argument("--workspace", type=Path, help="where run and cache lie; by default a temporary folder")
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=1)
    options = parser.parse_args()
    with TemporaryDirectory(prefix="full-size-") as temporary:
        run = make_run(options, options.workspace or Path(temporary))
        began = time.monotonic()
        code = subprocess.run([sys.executable, "-m", "engine", "train", str(run.path)], check=False).returncode
        print(json.dumps(report(run, time.monotonic() - began), indent=2))
        return code


if __name__ == "__main__":
    sys.exit(main())
