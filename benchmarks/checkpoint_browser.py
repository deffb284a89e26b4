"""How soon the Checkpoints place stands with 1,000 checkpoints in 20 runs, and how soon a key's effect is on the screen.

    python benchmarks/checkpoint_browser.py [--rounds N] [--gigabytes 3]

Every checkpoint has a state and a manifest as the engine writes them; its tensors are sparse files of the size asked for, which
cost no disk. The app runs in a pseudo-terminal of 200 × 90 cells; a time ends with the arrival of the text that was waited for.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.first_frame import Terminal
from benchmarks.runs_listing import add_run
from engine.checkpoint.manifest import LORA, OPTIMIZER, STATE, TRAINABLE
from engine.run.layout import RunDirectory
from engine.schedule import Kind, Schedule
from sdxl_tui.workspace import Workspace

RUNS: Final = 20
EACH: Final = 50
TOTAL: Final = 10_000
EVERY: Final = TOTAL // EACH
SCHEDULE: Final = Schedule(Kind.COSINE, TOTAL, 500)
ORDER_ENTRIES: Final = 2_000
"""Batches of an epoch, which the state lists."""


def add_checkpoint(run: RunDirectory, step: int, size: int) -> None:
    """A checkpoint whose three files of tensors have ``size`` bytes together, all of them holes."""
    folder = run.checkpoint(step)
    folder.mkdir()
    generator = random.Random(step)
    groups = [
        {
            "name": name,
            "base_lr": base_lr,
            "lr": SCHEDULE.lr(step - 1, base_lr),
            "parameters": 1400,
            "values": 23_000_000,
            "hyperparameters": {"weight_decay": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-08},
        }
        for name, base_lr in (("unet", 1e-4), ("text_encoder_1", 5e-5))
    ]
    state = {
        "format": 1, "run": run.id, "attempt": 1, "created": 1_795_000_000.0 + step, "step": step, "total_steps": TOTAL,
        "epoch": step // 200, "images_seen": 4 * step, "elapsed_seconds": 2.0 * step, "loss": generator.random(),
        "loss_avg": generator.uniform(0.05, 0.2), "validation_loss": generator.uniform(0.05, 0.2), "validated_step": step,
        "schedule": SCHEDULE.to_json(), "optimizer": {"kind": "adamw", "groups": groups},
        "network": {"kind": "lora", "rank": 32, "alpha": 32.0, "dropout": 0.0, "modules": 722},
        "data": {"seed": 0, "epoch": 1, "position": 4, "order": [[at, at + 1] for at in range(ORDER_ENTRIES)]},
        "rng": {"torch": "A" * 6_700, "numpy": {"state": list(range(624))}},
        "base_model": {"path": "/models/sd_xl_base_1.0.safetensors", "digest": "00"}, "versions": {"torch": "2.13.0"},
        "device": "cuda:0", "profile": {},
    }  # fmt: skip
    (folder / STATE).write_text(json.dumps(state))
    files = {STATE: (folder / STATE).stat().st_size}
    for name, share in ((LORA, 0.1), (TRAINABLE, 0.25), (OPTIMIZER, 0.65)):
        files[name] = int(size * share)
        with (folder / name).open("wb") as file:
            file.truncate(files[name])
    records = {name: {"bytes": count, "sha256": "0" * 64} for name, count in files.items()}
    (folder / "manifest.json").write_text(json.dumps({"format": 1, "step": step, "created": 0.0, "files": records}))


def grown(folder: Path, gigabytes: float) -> Workspace:
    """A workspace with all of them."""
    workspace = Workspace(folder)
    workspace.create()
    for number in range(1, RUNS + 1):
        run = add_run(workspace, number)
        for at in range(1, EACH + 1):
            add_checkpoint(run, at * EVERY, int(gigabytes * 1e9))
    return workspace


def opened(workspace: Workspace) -> tuple[Terminal, float, float]:
    """The app on its Checkpoints place: the terminal, seconds from the key to the full frame, and from the app's start."""
    terminal = Terminal([sys.executable, "-m", "sdxl_tui", "--workspace", str(workspace.path)])
    terminal.read_until(lambda text: b"Quit" in text and b"bench-20261124-000001" in text)
    since = len(terminal.received)
    terminal.send(b"3")
    # The details of the newest checkpoint are the last to come: the list, which needs no file read, stands before.
    seconds = terminal.seconds_until(f"step {TOTAL:,}".encode(), since=since)
    seconds += terminal.seconds_until(b"Made with", since=since)
    return terminal, seconds, time.perf_counter() - terminal.begun


def pressed(terminal: Terminal, key: bytes, wanted: list[bytes]) -> list[float]:
    """Seconds from a key to the text that shows its effect, for each of ``wanted`` in turn."""
    times = []
    for text in wanted:
        since = len(terminal.received)
        terminal.send(key)
        times.append(terminal.seconds_until(text, since=since))
        terminal.count_for(0.03)
    return times


def shown(name: str, times: list[float]) -> None:
    """Print median, ninth decile and worst in milliseconds."""
    ninth = sorted(times)[int(0.9 * (len(times) - 1))]
    print(
        f"{name:<54} median {1e3 * statistics.median(times):5.0f} ms   "
        f"9 of 10 within {1e3 * ninth:5.0f} ms   worst {1e3 * max(times):5.0f} ms"
    )


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gigabytes", type=float, default=3.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = grown(Path(folder), arguments.gigabytes)
        print(f"{RUNS * EACH:,} checkpoints of {arguments.gigabytes:g} GB in {RUNS} runs, {arguments.rounds} rounds")
        opening, starting, moving, sorting, flat, filtering = [], [], [], [], [], []
        for _ in range(arguments.rounds):
            terminal, seconds, since_start = opened(workspace)
            try:
                opening.append(seconds)
                starting.append(since_start)
                # Each step's details are those of a checkpoint that was not looked at before.
                moving += pressed(terminal, b"j", [f"step {TOTAL - at * EVERY:,}".encode() for at in range(1, 40)])
                since = len(terminal.received)
                terminal.send(b"ss")
                sorting.append(terminal.seconds_until(b"highest first", since=since))
                terminal.count_for(1.0)
                terminal.send(b"g")
                terminal.count_for(0.5)
                flat += pressed(terminal, b"\x1b[6~", [b"bench-"] * 10)  # page down
                since = len(terminal.received)
                terminal.send(b"/step<=400")
                filtering.append(terminal.seconds_until(f"{2 * RUNS} of {RUNS * EACH}".encode(), since=since))
            finally:
                terminal.kill()
    shown("opening the place: key to the details of the newest", opening)
    shown("the app's start, its Runs place, then the same", starting)
    shown("down: key to the next checkpoint's details", moving)
    shown("sorting all 1,000, none of the other runs read yet", sorting)
    shown("page down in the sorted list", flat)
    shown("filter: ten keys to the count of what fits", filtering)


if __name__ == "__main__":
    main()
