"""How long it takes to list runs: the command ``sdxl-tui runs`` against a bare Python start, and ``list_runs`` in process.

    python benchmarks/runs_listing.py [--rounds N]

Makes workspaces of 50 and 1,000 runs with all their record files, as the engine and the keeper write them; one in twenty-five
is alive (its lock is held). Start-ups are measured in pairs, in alternation; the ratio is what can be compared between machines.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from engine.durable import write_json_atomically
from engine.profile.load import parse_profile
from engine.profile.to_toml import profile_to_toml
from engine.run.attempt import begin_attempt, record_own_exit
from engine.run.events import EventLog
from engine.run.keeper import process_record
from engine.run.layout import RunDirectory
from engine.run.lock import RunLock
from engine.run.metrics import MetricPoint, MetricsLog
from engine.run.records import RunRecord
from engine.run.status import StatusWriter
from sdxl_tui.fleet.runs import RunSummary, list_runs
from sdxl_tui.workspace import Workspace

LIVE_EVERY: Final = 25
STEPS: Final = 200
FIRST_CREATED: Final = 1_795_000_000.0

PROFILE: Final = profile_to_toml(
    parse_profile(
        '[model]\nbase = "bundled:demo-base"\n[dataset]\nsources = [{path = "bundled:demo-images"}]', folder=Path.cwd()
    ).profile
)


def add_run(workspace: Workspace, number: int) -> RunDirectory:
    """A run of 200 steps with two attempts' worth of events; ended unless it is to be live."""
    run = RunDirectory(workspace.runs / f"bench-20261124-{number:06d}")
    for folder in (run.path, run.commands, run.samples, run.checkpoints):
        folder.mkdir(mode=0o700)
    run.profile.write_text(PROFILE, encoding="utf-8")
    run.lock.touch()
    created = FIRST_CREATED + number
    record = RunRecord(run.id, "bench", created, str(workspace.profiles / "bench.toml"), "0.1.0")
    write_json_atomically(run.record, record.to_json(), durable=False)
    attempt = begin_attempt(run)
    argv = [sys.executable, "-P", "-m", "engine", "train", str(run.path), "--attempt", "1", "--lock-fd", "3"]
    process = process_record(os.getpid(), os.getppid(), argv, None)
    write_json_atomically(attempt.process, process, durable=False)
    attempt.log.write_text("step\n" * STEPS, encoding="utf-8")
    _write_history(run, ended=number % LIVE_EVERY != 0)
    if number % LIVE_EVERY:
        record_own_exit(attempt, 0)
    return run


def _write_history(run: RunDirectory, *, ended: bool) -> None:
    events, metrics, status = EventLog(run.events, 1), MetricsLog(run.metrics), StatusWriter(run, 1)
    events.write("started", step=0, total_steps=STEPS, device="cuda:0", versions={"torch": "2.13.0"})
    for step in range(1, STEPS + 1):
        metrics.write(MetricPoint(step, 1, step // 24, time.time(), 0.11, 0.1, {"unet": 1e-4}, 0.4, 0.16, 6.2, 812.0))
    for step in range(20, STEPS + 1, 20):
        events.write("saved", checkpoint=f"step-{step:08d}", step=step, reason="interval", bytes=10**8, seconds=0.4)
    status.update(
        state="training", step=STEPS, total_steps=STEPS, loss=0.11, loss_avg=0.1, lr={"unet": 1e-4},
        steps_per_second=6.2, eta_seconds=0.0, device="cuda:0", checkpoint=f"step-{STEPS:08d}",
    )  # fmt: skip
    if ended:
        events.write("finished", step=STEPS)
        status.update(state="finished")
    events.close()
    metrics.close()


@contextlib.contextmanager
def workspace_of(count: int, *, are_alive: bool = True) -> Iterator[Workspace]:
    """A workspace with ``count`` runs, some of them alive (or else lost), removed afterwards."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as locks:
        workspace = Workspace(Path(folder))
        workspace.create()
        for number in range(count):
            run = add_run(workspace, number)
            if are_alive and number % LIVE_EVERY == 0:
                locks.enter_context(RunLock.acquire(run.lock))
        yield workspace


def seconds_of(command: list[str]) -> float:
    """How long a whole process takes."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def measure(count: int, rounds: int) -> None:
    """Print the figures for a workspace of ``count`` runs."""
    with workspace_of(count) as workspace:
        listing = [sys.executable, "-m", "sdxl_tui", "--workspace", str(workspace.path), "runs"]
        bare = [sys.executable, "-c", "pass"]
        seconds_of(listing)
        pairs = [(seconds_of(listing), seconds_of(bare)) for _ in range(rounds)]
        found = list_runs(workspace)
        assert len(found) == count
        first = statistics.median(_seconds_to_list(workspace, []) for _ in range(rounds))
        again = statistics.median(_seconds_to_list(workspace, found) for _ in range(rounds))
    whole = statistics.median(pair[0] for pair in pairs)
    start = statistics.median(pair[1] for pair in pairs)
    ratio = statistics.median(pair[0] / pair[1] for pair in pairs)
    print(f"{count:>5} runs   sdxl-tui runs {whole:.3f} s   python {start:.3f} s   ratio {ratio:.1f}")
    print(f"    list_runs {1e3 * first:.1f} ms, {first / start:.2f} × python's start; asked again {1e3 * again:.1f} ms")


def _seconds_to_list(workspace: Workspace, previous: list[RunSummary]) -> float:
    begun = time.perf_counter()
    list_runs(workspace, previous)
    return time.perf_counter() - begun


def main() -> None:
    """Measure 50 and 1,000 runs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    for count in (50, 1000):
        measure(count, rounds)


if __name__ == "__main__":
    main()
