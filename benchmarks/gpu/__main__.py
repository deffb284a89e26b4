"""Training steps of the full-size SDXL UNet with random weights on a CUDA card: speed, memory, share of the matrix peak.

    python benchmarks/gpu [--resolution 1024] [--batches 1 4] [--rank 16] [--steps 20] [--out FILE]

Writes a Markdown file, by default ``benchmarks/results/gpu-<card>.md``. The arithmetic is the engine's own: its LoRA, its
objective, its optimizer; latents and embeddings are random, since no figure depends on them. Without a card it says so
and ends with 2; ``--device cpu --architecture demo`` runs the same code on the demo base, to see that it works.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # ``python benchmarks/gpu`` puts only this folder on the path

import torch

from benchmarks.gpu.matrix_peak import matrix_peak
from benchmarks.gpu.report import as_markdown, results_file
from benchmarks.gpu.training_step import ARCHITECTURES, Measured, Setting, measure
from engine.model.stored_weights import EIGHT_BITS


def settings(arguments: argparse.Namespace) -> list[Setting]:
    """By batch size eager and compiled, with and without gradient checkpointing, for each format of the base."""
    return [
        Setting(
            architecture=arguments.architecture,
            resolution=arguments.resolution,
            batch=batch,
            rank=arguments.rank,
            checkpointing=checkpointing,
            compiled=compiled,
            base=base,
        )
        for base in arguments.bases
        for batch in arguments.batches
        for compiled in ((False,) if arguments.eager_only else (False, True))
        for checkpointing in (False, True)
    ]


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=1024)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--bases", choices=("bf16", *EIGHT_BITS), nargs="+", default=["bf16", "fp8"])
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20, help="measured steps, after 5 to warm up")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--architecture", choices=ARCHITECTURES, default="sdxl")
    parser.add_argument("--eager-only", action="store_true", help="leave out torch.compile")
    parser.add_argument("--out", type=Path, default=None)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("There is no CUDA card that torch can use here; nothing was measured.", file=sys.stderr)
        return 2
    peak = matrix_peak(device)
    print(f"matrix peak {peak / 1e12:.2f} TFLOP/s in bf16, measured", flush=True)
    measured: list[Measured] = []
    for setting in settings(arguments):
        result = measure(setting, device, steps=arguments.steps)
        measured.append(result)
        print(result.line(peak), flush=True)
    out = arguments.out or results_file(device)
    out.write_text(as_markdown(measured, peak, device), encoding="utf-8")
    print(f"written to {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
