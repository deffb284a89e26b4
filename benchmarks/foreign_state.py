"""How long a large training state of sd-scripts takes to be read: its structure and rates, never its tensors.

Writes an AdamW state of the full SDXL LoRA (986 modules, both text encoders) at a rank that makes ``optimizer.bin`` as large as
asked for, then reads it in fresh processes: as ``sdxl-tui inspect`` does, and with torch, in alternation.

    python benchmarks/foreign_state.py [--gigabytes 1] [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

MODULES = 986
SIDE = 1280

PEAK = """
def peak_mb():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1e3
"""
READ = (
    PEAK
    + """
import sys, time
from pathlib import Path
from engine.foreign.sd_scripts_state import read_sd_scripts_state
began = time.perf_counter()
state = read_sd_scripts_state(Path(sys.argv[1]))
seconds = time.perf_counter() - began
assert state.groups[0].lr and state.optimizer == "AdamW"
print(seconds, peak_mb())
"""
)
TORCH = (
    PEAK
    + """
import sys, time, torch
began = time.perf_counter()
torch.load(sys.argv[1] + "/optimizer.bin", weights_only=True, map_location="cpu")
print(time.perf_counter() - began, peak_mb())
"""
)


def write_state(folder: Path, gigabytes: float) -> int:
    """An AdamW state of about that size; returns the bytes of ``optimizer.bin``."""
    rank = max(1, round(gigabytes * 1e9 / (MODULES * 2 * SIDE * 2 * 4)))
    parameters = [
        torch.nn.Parameter(torch.zeros(shape)) for _ in range(MODULES) for shape in ((rank, SIDE), (SIDE, rank))
    ]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    torch.save(optimizer.state_dict(), folder / "optimizer.bin")
    torch.save(scheduler.state_dict(), folder / "scheduler.bin")
    (folder / "train_state.json").write_text('{"current_epoch": 1, "current_step": 1}', encoding="utf-8")
    return (folder / "optimizer.bin").stat().st_size


def measured(program: str, folder: Path) -> tuple[float, float]:
    """Seconds and peak MB that ``program`` reports of itself."""
    done = subprocess.run([sys.executable, "-c", program, str(folder)], check=True, capture_output=True, text=True)
    seconds, megabytes = done.stdout.split()
    return float(seconds), float(megabytes)


def main() -> None:
    """Print medians and the ratio to torch's own reading."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        size = write_state(folder, arguments.gigabytes)
        pairs = [(measured(READ, folder), measured(TORCH, folder)) for _ in range(arguments.rounds)]
    ours = statistics.median(pair[0][0] for pair in pairs)
    theirs = statistics.median(pair[1][0] for pair in pairs)
    print(f"optimizer.bin of {size / 1e9:.2f} GB, {MODULES * 2:,} parameters, {arguments.rounds} rounds in alternation")
    print(f"read here      {ours * 1e3:8.1f} ms, peak {max(pair[0][1] for pair in pairs):6.0f} MB with Python")
    print(
        f"torch.load     {theirs * 1e3:8.1f} ms, peak {max(pair[1][1] for pair in pairs):6.0f} MB with Python and torch"
    )
    print(f"ratio          {ours / theirs:8.3f}")


if __name__ == "__main__":
    main()
