"""Writes what engines write, for many runs at once: metrics, status, heartbeat and log lines. For ``watching_runs``.

    python -m benchmarks.live_writer WORKSPACE --runs 64 --steps-per-second 10 --log-lines 2000

The runs must exist; this process holds their locks, as engines do, until it is killed. Prints the lines written each second.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import time
from pathlib import Path

from engine.run.layout import RunDirectory
from engine.run.lock import RunLock
from engine.run.metrics import MetricPoint, MetricsLog
from engine.run.status import StatusWriter

TICK = 0.1


def main() -> None:
    """Write until killed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--steps-per-second", type=float, default=10.0)
    parser.add_argument("--from-step", type=int, default=0, help="steps that are written at once")
    parser.add_argument("--log-lines", type=int, default=0, help="lines a second in the first run's log")
    asked = parser.parse_args()
    runs = [RunDirectory(path) for path in sorted((asked.workspace / "runs").iterdir())][: asked.runs]
    with contextlib.ExitStack() as stack:
        for run in runs:
            stack.enter_context(RunLock.acquire(run.lock))
        log = stack.enter_context(runs[0].attempt(1).log.open("a", encoding="utf-8", buffering=1 << 16))
        writers = [(MetricsLog(run.metrics), StatusWriter(run, 1)) for run in runs]
        loss = 0.11
        begun, steps, lines, tick, average = time.monotonic(), 0, 0, 0, 0.11
        while True:
            tick += 1
            now = tick * TICK
            due, due_lines = asked.from_step + int(now * asked.steps_per_second), int(now * asked.log_lines)
            for metrics, status in writers:
                for step in range(steps + 1, due + 1):
                    loss = random.uniform(0.08, 0.14)
                    average += 0.02 * (loss - average)
                    point = MetricPoint(
                        step,
                        1,
                        step // 24,
                        time.time(),
                        loss,
                        0.1,
                        {"unet": 1e-4},
                        0.4,
                        0.1,
                        asked.steps_per_second,
                        812.0,
                    )
                    metrics.write(point)
                if tick % 10 == 0:
                    status.update(
                        state="training", step=due, total_steps=100_000, loss=loss, loss_avg=average, lr={"unet": 1e-4},
                        steps_per_second=asked.steps_per_second, eta_seconds=100.0, device="cuda:0",
                    )  # fmt: skip
            for line in range(lines, due_lines):
                log.write(f"2026-11-24 10:14:12  line {line} of what an engine and its libraries print about a batch\n")
            log.flush()
            steps, lines = due, due_lines
            time.sleep(max(0.0, begun + now - time.monotonic()))


if __name__ == "__main__":
    main()
