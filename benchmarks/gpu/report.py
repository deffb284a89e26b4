"""The results of a card as a Markdown file."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

from benchmarks.gpu.training_step import Measured

RESULTS = Path(__file__).parents[1] / "results"


def results_file(device: torch.device) -> Path:
    """Where a card's results are kept."""
    return RESULTS / f"gpu-{re.sub(r'[^a-z0-9]+', '-', _name(device).lower()).strip('-')}.md"


def as_markdown(measured: Sequence[Measured], peak: float, device: torch.device) -> str:
    """The table, with what it was measured on."""
    first = measured[0].setting
    lines = [
        f"# Training steps on {_name(device)}",
        "",
        f"`python benchmarks/gpu`, {datetime.now(UTC):%d %B %Y}. torch {torch.__version__}, Python {platform.python_version()}; "
        f"UNet of the {first.architecture} architecture with random weights, computed in bf16, LoRA rank {first.rank}, "
        f"{first.resolution} × {first.resolution} px. Matrix peak measured here: {peak / 1e12:.1f} TFLOP/s in bf16. "
        "Share: FLOPs of a step without recomputation ÷ its time ÷ that peak.",
        "",
        "| batch | base | mode | checkpointing | s/step | images/s | peak memory | share of the peak |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*lines, *(_row(result, peak) for result in measured)]) + "\n"


def _row(result: Measured, peak: float) -> str:
    setting = result.setting
    mode = "compiled" if setting.compiled else "eager"
    start = f"| {setting.batch} | {setting.base} | {mode} | {'on' if setting.checkpointing else 'off'} |"
    if result.failure:
        return f"{start} {result.failure} | | | |"
    return (
        f"{start} {result.seconds:.4f} | {setting.batch / result.seconds:.2f} | {result.peak_bytes / 1e9:.2f} GB "
        f"| {result.share(peak):.1%} |"
    )


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
