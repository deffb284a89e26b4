"""A workspace with runs whose files look as the engine writes them: JSON by the documented format, weights of a few bytes."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual.app import App
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input

import sdxl_tui
from engine.checkpoint.manifest import write_manifest
from engine.profile.load import load_profile, read_snapshot
from engine.profile.to_toml import profile_to_toml
from engine.run.layout import RunDirectory
from engine.run.records import ExitRecord, Parent, RunRecord, Status
from engine.schedule import Kind, Schedule
from sdxl_tui.screens.place import OpenRun
from sdxl_tui.theme import CALM
from sdxl_tui.workspace import Workspace

NOW = 1_795_514_400.0
"""The frozen clock of the tests, Unix seconds."""

COSINE = Schedule(Kind.COSINE, 2000, 100)

PROFILE = """\
# A profile for tests.
schema = 1
name = "fox"

[model]
base = "bundled:demo-base"  # the small one

[[dataset.sources]]
path = "bundled:demo-images"
repeats = 2

[dataset]
resolution = 128
bucket_min = 64

[training]
steps = 2000
seed = 3  # lucky

[optimizer]
lr = 1e-4  # the usual

[schedule]
kind = "cosine"
warmup_steps = 100

[precision]
compute = "fp32"
"""


@dataclass(frozen=True)
class Field:
    """A workspace to grow runs in."""

    workspace: Workspace

    def profile(self, name: str = "fox", text: str = PROFILE) -> Path:
        """A profile of the workspace."""
        path = self.workspace.profiles / f"{name}.toml"
        path.write_text(text)
        return path

    def run(
        self,
        run_id: str = "fox-20261124-093000",
        *,
        step: int = 860,
        age: float = 3600.0,
        parent: Parent | None = None,
        schedule: Schedule = COSINE,
        ended: str = "stopped",
        source: Path | None = None,
    ) -> RunDirectory:
        """A run that ended at ``step``; ``age`` in seconds."""
        run = RunDirectory(self.workspace.runs / run_id)
        for folder in (run.attempt(1).path, run.checkpoints, run.commands, run.samples):
            folder.mkdir(parents=True)
        loaded = load_profile(self.profile())
        profile = loaded.profile
        training = profile.training.model_copy(update={"steps": schedule.total_steps})
        tables = profile.schedule.model_copy(update={"kind": schedule.kind, "warmup_steps": schedule.warmup_steps})
        run.profile.write_text(profile_to_toml(profile.model_copy(update={"training": training, "schedule": tables})))
        record = RunRecord(run.id, "fox", NOW - age, None if source is None else str(source), "0.1.0", parent)
        run.record.write_text(json.dumps(record.to_json()))
        status = Status(
            attempt=1, state=ended, step=step, total_steps=schedule.total_steps, heartbeat=NOW, steps_per_second=0.5
        )
        run.status.write_text(json.dumps(status.to_json()))
        run.events.write_text(json.dumps({"time": NOW, "attempt": 1, "event": ended, "step": step}) + "\n")
        exit_record = ExitRecord(0, None, "exited", "", 1000, NOW)
        run.attempt(1).exit.write_text(json.dumps(exit_record.to_json()))
        return run

    def checkpoint(
        self,
        run: RunDirectory,
        step: int,
        *,
        schedule: Schedule = COSINE,
        base_lr: float = 1e-4,
        age: float = 600.0,
    ) -> Path:
        """A checkpoint of ``run`` in the documented format."""
        folder = run.checkpoint(step)
        folder.mkdir()
        settings = {"weight_decay": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-08}
        group = {
            "name": "unet",
            "base_lr": base_lr,
            "lr": schedule.lr(step - 1, base_lr) if step else None,
            "parameters": 264,
            "values": 12345,
            "hyperparameters": settings,
        }
        state = {
            "format": 1,
            "run": run.id,
            "attempt": 1,
            "created": NOW - age,
            "step": step,
            "total_steps": schedule.total_steps,
            "epoch": step // 48,
            "images_seen": step,
            "elapsed_seconds": step * 2.0,
            "loss": 0.1134,
            "loss_avg": 0.1092,
            "schedule": schedule.to_json(),
            "optimizer": {"kind": "adamw", "groups": [group]},
            "network": {"kind": "lora", "rank": 8, "alpha": 8.0, "dropout": 0.0, "modules": 132},
            "base_model": {"path": "bundled:demo-base", "digest": "00"},
            "versions": {"sdxl_tui": "0.1.0", "torch": "2.13.0"},
            "device": "cpu",
            "profile": read_snapshot(run.profile).model_dump(mode="json", by_alias=True),
        }
        (folder / "state.json").write_text(json.dumps(state))
        for name in ("lora.safetensors", "trainable.safetensors", "optimizer.safetensors"):
            (folder / name).write_bytes(bytes(400_000))
        write_manifest(folder, step)
        return folder


def replace_status(run: RunDirectory, **changes: object) -> None:
    """Change what the engine last said."""
    status = Status.read(run.status)
    assert status is not None
    run.status.write_text(json.dumps(dataclasses.replace(status, **changes).to_json()))  # type: ignore[arg-type]


class Shell(App[None]):
    """The least app that shows a place: its theme and looks, and the messages by which places ask for others."""

    CSS_PATH = Path(sdxl_tui.__file__).with_name("app.tcss")

    def __init__(self, first: Callable[[], Screen[Any]]) -> None:
        super().__init__()
        self.first = first
        self.opened_runs: list[str] = []
        self.runs = None
        self.register_theme(CALM)
        self.theme = CALM.name

    def now(self) -> float:
        """Frozen."""
        return NOW

    def on_mount(self) -> None:
        """Show the place."""
        self.push_screen(self.first())

    def on_open_run(self, message: OpenRun) -> None:
        """Note which run's page was asked for."""
        self.opened_runs.append(message.run_id)

    async def action_back(self) -> None:
        """Up, as far as the place."""
        if len(self.screen_stack) > 2:
            self.pop_screen()


async def until(pilot: Pilot[Any], holds: Callable[[], bool], what: str, *, seconds: float = 10.0) -> None:
    """Wait for what threads and timers bring about."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, (
            f"{what} did not happen in {seconds:g} s; the screen:\n{screen_text(pilot.app)}"
        )
        await pilot.pause(0.02)


def screen_text(app: App[Any]) -> str:
    """What stands on the screen, without colours and trailing blanks."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


def matches_snapshot(name: str, text: str) -> None:
    """Compare what lies between the bars with ``snapshots/NAME.txt``; UPDATE_SNAPSHOTS=1 writes it anew."""
    text = "\n".join(text.splitlines()[1:-1])
    path = Path(__file__).parent / "snapshots" / f"{name}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{text}\n", encoding="utf-8")
    assert text == path.read_text(encoding="utf-8").removesuffix("\n")


async def typed(pilot: Pilot[None], field: str, text: str) -> str:
    """Replace what stands in a field; the screen afterwards."""
    box = pilot.app.screen.query_one(f"#{field}", Input)
    box.focus()
    box.clear()
    await pilot.press(*text)
    await pilot.pause()
    return screen_text(pilot.app)
