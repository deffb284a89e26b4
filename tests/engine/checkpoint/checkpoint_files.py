"""Checkpoints on disk as the engine writes them, small, for the tests of reading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.checkpoint.manifest import write_manifest
from engine.run.layout import RunDirectory
from engine.run.records import ProcessRecord
from engine.schedule import Kind, Schedule


def state_of(step: int, /, **changes: Any) -> dict[str, Any]:
    """A ``state.json`` as docs/files.md describes it: cosine over 40 steps, base LR 1e-4."""
    schedule = Schedule(Kind.COSINE, 40)
    state: dict[str, Any] = {
        "format": 1,
        "run": "demo-20261124-101500",
        "attempt": 1,
        "created": 1795514160.5,
        "step": step,
        "total_steps": 40,
        "epoch": 1,
        "images_seen": 2 * step,
        "elapsed_seconds": 12.5,
        "loss": 0.113,
        "loss_avg": 0.109,
        "schedule": schedule.to_json(),
        "optimizer": {
            "kind": "adamw",
            "groups": [
                {
                    "name": "unet",
                    "base_lr": 1e-4,
                    "lr": None if step == 0 else schedule.lr(step - 1, 1e-4),
                    "parameters": 264,
                    "values": 12345,
                    "hyperparameters": {"weight_decay": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
                }
            ],
        },
        "network": {"kind": "lora", "rank": 8, "alpha": 8.0, "dropout": 0.0, "modules": 132},
        "grad_scaler": None,
        "data": {"seed": 0, "epoch": 1, "position": 4, "order": [[0, 3], [5, 1]], "fingerprint": "f" * 64},
        "rng": {"python": list(range(625)), "torch": "A" * 6744, "cuda": []},
        "base_model": {"path": "bundled:demo-base", "digest": "d" * 64},
        "versions": {"sdxl_tui": "0.1.0", "torch": "2.13.0"},
        "device": "cpu",
        "threads": 2,
    }
    return state | changes


def write_checkpoint(folder: Path, step: int, /, **changes: Any) -> Path:
    """A whole checkpoint in ``folder``; ``changes`` replace top-level values of its state."""
    folder.mkdir(parents=True)
    (folder / "state.json").write_text(json.dumps(state_of(step, **changes)))
    for name in ("lora", "trainable", "optimizer"):
        (folder / f"{name}.safetensors").write_bytes(f"{name} of step {step}".encode() * 10)
    write_manifest(folder, step)
    return folder


def make_run(root: Path, name: str = "demo-20261124-101500", *steps: int, attempt: int = 1) -> RunDirectory:
    """A run with whole checkpoints at ``steps``."""
    run = RunDirectory(root / name)
    run.path.mkdir(parents=True, exist_ok=True)
    for step in steps:
        write_checkpoint(run.checkpoint(step), step, attempt=attempt)
    return run


def add_attempt(run: RunDirectory, number: int, resumed_from: int | None) -> None:
    """The record of one start of the engine."""
    name = None if resumed_from is None else run.checkpoint(resumed_from).name
    record = ProcessRecord(1, 2, 3, 4, "boot", "pid", 5, "host", 6.0, ("python",), name)
    folder = run.attempt(number).path
    folder.mkdir(parents=True)
    (folder / "process.json").write_text(json.dumps(record.to_json()))
