"""A workspace with runs for the app to show, made with the engine's own writers: every file looks as in a real run."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.profile.load import parse_profile
from engine.profile.to_toml import profile_to_toml
from engine.run.events import EventLog
from engine.run.json_lines import JsonLinesWriter
from engine.run.keeper import process_record
from engine.run.layout import RunDirectory
from engine.run.lock import RunLock
from engine.run.metrics import MetricPoint, MetricsLog
from engine.run.records import ExitRecord, Parent, Progress, RunRecord, Status
from engine.schedule import Kind, Schedule
from sdxl_tui.workspace import Workspace

NOW = 1_795_514_400.0
"""The frozen clock, Unix seconds."""

PROFILE = """\
schema = 1
name = "{name}"
[model]
base = "bundled:demo-base"
[[dataset.sources]]
path = "bundled:demo-images"
[dataset]
resolution = 128
bucket_min = 64
[training]
steps = {steps}
[optimizer]
lr = 1e-4
[schedule]
kind = "cosine"
warmup_steps = {warmup}
[precision]
compute = "fp32"
[samples]
prompts = ["a fox in the snow", "a fox on a pier, evening light"]
"""


@dataclass
class RunField:
    """Grows runs in ``workspace``. Live ones hold their lock until ``close``."""

    workspace: Workspace
    _locks: list[RunLock] = field(default_factory=list)

    def run(
        self,
        name: str = "fox",
        *,
        state: str = "finished",
        step: int = 400,
        total: int = 400,
        age: float = 3600.0,
        device: str = "cuda:0",
        speed: float = 1.6,
        loss: float = 0.1134,
        parent: Parent | None = None,
        exit_code: int = 0,
        message: str = "",
        checkpoint_every: int = 100,
        progress: Progress | None = None,
    ) -> RunDirectory:
        """A run that is (``training``, ``caching`` …) or ended in ``state`` at ``step``; launched ``age`` seconds ago."""
        moment = f"20261124-{int(100000 + len(list(self.workspace.runs.iterdir())) * 101)}"
        run = RunDirectory(self.workspace.runs / f"{name}-{moment}")
        for folder in (run.attempt(1).path, run.checkpoints, run.commands, run.samples):
            folder.mkdir(parents=True)
        warmup = total // 20
        text = PROFILE.format(name=name, steps=total, warmup=warmup)
        run.profile.write_text(profile_to_toml(parse_profile(text, folder=self.workspace.profiles).profile))
        record = RunRecord(run.id, name, NOW - age, str(self.workspace.profiles / f"{name}.toml"), "0.1.0", parent)
        run.record.write_text(json.dumps(record.to_json()))
        saved = step // checkpoint_every * checkpoint_every
        rate = Schedule(Kind.COSINE, total, warmup).lr(max(0, step - 1), 1e-4)
        live = state not in ("finished", "stopped", "failed")
        status = Status(
            attempt=1,
            state=state,
            step=step,
            total_steps=total,
            heartbeat=NOW,
            epoch=step // 48,
            epochs=math.ceil(total / 48),
            loss=loss if step else None,
            loss_avg=loss * 0.96 if step else None,
            lr={"unet": rate} if step else {},
            steps_per_second=speed if step else None,
            eta_seconds=(total - step) / speed if live and step else None,
            device=device,
            checkpoint=f"step-{saved:08d}" if saved else None,
            progress=progress,
            message=message,
        )
        run.status.write_text(json.dumps(status.to_json()))
        attempt = run.attempt(1)
        if live:
            self._locks.append(RunLock.acquire(run.lock))
            attempt.exit.write_text(" " * 4096)
            attempt.process.write_text(json.dumps(process_record(os.getpid(), None, ["engine"], None)))
        else:
            ended = ExitRecord(exit_code, None, "exited", "", 812_345, NOW)
            attempt.exit.write_text(json.dumps(ended.to_json()))
            attempt.process.write_text(json.dumps(process_record(None, None, ["engine"], None)))
        return run

    def history(self, run: RunDirectory, steps: int, *, total: int = 400, attempt: int = 1, first: int = 1) -> None:
        """Metrics of steps ``first`` to ``steps`` that fall like a real loss, with a spike now and then."""
        noise = random.Random(7)
        schedule = Schedule(Kind.COSINE, total, total // 20)
        average: float | None = None
        log = MetricsLog(run.metrics)
        for step in range(first, steps + 1):
            loss = 0.09 + 0.12 * math.exp(-step / (total / 4)) + abs(noise.gauss(0, 0.025))
            if noise.random() < 0.01:
                loss *= 2
            average = loss if average is None else 0.95 * average + 0.05 * loss
            rates = {"unet": schedule.lr(step - 1, 1e-4)}
            log.write(MetricPoint(step, attempt, step // 48, NOW - steps + step, loss, average, rates))
        log.close()

    def events(self, run: RunDirectory, *events: dict[str, Any]) -> None:
        """Append events; each has ``event`` and ``age``, seconds before the frozen clock."""
        writer = JsonLinesWriter(run.events)
        for event in events:
            fields = dict(event)
            age = fields.pop("age", 0.0)
            writer.write({"time": NOW - age, "attempt": 1, **fields})
        writer.close()

    def log(self, run: RunDirectory, *lines: str, attempt: int = 1) -> None:
        """Append lines to an attempt's log."""
        with run.attempt(attempt).log.open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)

    def samples(self, run: RunDirectory, step: int, count: int) -> None:
        """Sample pictures, as far as their names go."""
        for number in range(count):
            (run.samples / f"step-{step:08d}-{number:02d}.png").write_bytes(b"\x89PNG")

    def close(self) -> None:
        """Let go of the locks: what was live is dead."""
        for lock in self._locks:
            lock.close()


def change_status(run: RunDirectory, **changes: Any) -> None:
    """Change what the engine last said."""
    status = Status.read(run.status)
    assert status is not None
    run.status.write_text(json.dumps(dataclasses.replace(status, **changes).to_json()))


def fill_for_show(runs: RunField) -> dict[str, RunDirectory]:
    """A workspace as it looks after some days of work."""
    made = {
        "style": runs.run("ink-style", step=3000, total=3000, age=5 * 86400, loss=0.0871),
        "failed": runs.run(
            "portrait", state="failed", step=212, total=1600, age=2 * 86400, exit_code=1, loss=0.1502,
        ),
        "parent": runs.run("fox", step=1600, total=1600, age=30 * 3600, loss=0.0966),
        "stopped": runs.run("harbour", state="stopped", step=860, total=2000, age=26 * 3600, device="cpu", speed=0.4),
    }  # fmt: skip
    runs.events(
        made["failed"],
        {"event": "failed", "error": "OutOfMemoryError", "message": "CUDA out of memory. Tried to allocate 2.50 GiB"},
    )
    for name in ("style", "parent"):
        runs.events(made[name], {"event": "finished", "step": 1600})
    runs.events(made["stopped"], {"event": "stopped", "step": 860})
    parent = Parent(made["parent"].id, "step-00001600", 1600, "continue")
    made["child"] = runs.run("fox", state="training", step=420, total=1200, age=1500, parent=parent, loss=0.0941)
    made["caching"] = runs.run(
        "sketches", state="caching", step=0, total=4800, age=40, device="cuda:1", progress=Progress("latents", 112, 340)
    )
    return made


def fill_page(runs: RunField, made: dict[str, RunDirectory]) -> None:
    """Curves, log, events and samples for the child run in training."""
    run = made["child"]
    runs.history(run, 420, total=1200)
    runs.log(
        run,
        "2026-11-24 10:04:05  started on cuda:0, torch 2.13.0: 0 of 1200 steps done",
        "2026-11-24 10:04:09  weights taken from step-00001600 of fox; optimizer and schedule are new",
        "2026-11-24 10:04:31  UserWarning: 2 captions are empty",
        *(
            f"2026-11-24 10:{5 + at:02d}:12  step {at * 50}/1200  loss 0.1{at}42  average 0.1{at}11"
            for at in range(1, 9)
        ),
    )
    runs.events(
        run,
        {"event": "started", "device": "cuda:0", "step": 0, "total_steps": 1200, "age": 1495},
        {"event": "continued", "parent_run": made["parent"].id, "checkpoint": "step-00001600", "age": 1490},
        {"event": "dataset", "images": 48, "batches_per_epoch": 48, "buckets": {}, "skipped": [], "age": 1480},
        {
            "event": "saved",
            "checkpoint": "step-00000200",
            "step": 200,
            "reason": "interval",
            "bytes": 81_200_000,
            "age": 700,
        },
        {"event": "sampled", "step": 250, "files": ["a", "b"], "age": 640},
        {
            "event": "saved",
            "checkpoint": "step-00000400",
            "step": 400,
            "reason": "interval",
            "bytes": 81_200_000,
            "age": 30,
        },
    )
    for step in (250, 400):
        runs.samples(run, step, 2)


def open_workspace(folder: Path) -> RunField:
    """An empty workspace in ``folder``."""
    workspace = Workspace(folder)
    workspace.create()
    return RunField(workspace)


__all__ = ["NOW", "EventLog", "RunField", "change_status", "fill_for_show", "fill_page", "open_workspace"]
