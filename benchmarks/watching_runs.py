"""What watching costs: keys while runs train and a log streams, many live runs, a long history, a huge log.

    python -m benchmarks.watching_runs [--parts keys live history log] [--log-gigabytes 5]

The app runs in a pseudo-terminal of 200 × 90 cells; another process writes what engines write (``live_writer``). A key's time
is that from writing it to the text it brings about. Shares are of one core, memory is the app's resident set.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.first_frame import Terminal
from benchmarks.runs_listing import workspace_of
from engine.run.metrics import MetricPoint, MetricsLog
from sdxl_tui.workspace import Workspace

PARTS = ("keys", "live", "page", "history", "log")
LETTERS = b"zqjxwvk"
"""No refresh of a figure prints these."""


@contextmanager
def written(workspace: Workspace, runs: int, rate: float, *, log_lines: int = 0, from_step: int = 0) -> Iterator[None]:
    """``runs`` runs of the workspace are alive and write ``rate`` steps a second."""
    command = [sys.executable, "-m", "benchmarks.live_writer", str(workspace.path), "--runs", str(runs)]
    process = subprocess.Popen(
        [*command, "--steps-per-second", str(rate), "--log-lines", str(log_lines), "--from-step", str(from_step)]
    )
    try:
        time.sleep(2.0)
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def app_on(workspace: Workspace) -> Iterator[Terminal]:
    """The app, settled on its first page."""
    terminal = Terminal([sys.executable, "-m", "sdxl_tui", "--workspace", str(workspace.path)])
    try:
        terminal.read_until(lambda text: b"Quit" in text)
        terminal.count_for(3.0)
        yield terminal
    finally:
        terminal.kill()


def seconds_to(terminal: Terminal, keys: bytes, text: bytes) -> float:
    """From pressing ``keys`` to ``text``."""
    since = len(terminal.received)
    terminal.send(keys)
    return terminal.seconds_until(text, since=since)


def resident(pid: int) -> float:
    """Megabytes in memory."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def told(name: str, seconds: list[float]) -> None:
    """Median and 95th percentile."""
    ordered = sorted(1e3 * one for one in seconds)
    print(
        f"{name:<52} {statistics.median(ordered):6.1f} ms   95th percentile {ordered[int(len(ordered) * 0.95)]:6.1f} ms"
    )


def costs(terminal: Terminal, name: str, seconds: float = 20.0) -> None:
    """What it takes to be left alone."""
    used = terminal.cpu_seconds()
    count = terminal.count_for(seconds)
    share = 100 * (terminal.cpu_seconds() - used) / seconds
    print(f"{name:<52} {share:6.1f} % of a core   {resident(terminal.pid):4.0f} MB   {count / seconds / 1e3:6.2f} kB/s")


def keys(_: argparse.Namespace) -> None:
    """8 runs train, the log of one gets 2,000 lines a second."""
    with (
        workspace_of(8, are_alive=False) as workspace,
        written(workspace, 8, 4.0, log_lines=2000),
        app_on(workspace) as terminal,
    ):
        terminal.send(b"/")
        terminal.count_for(0.5)
        times = []
        for at in range(60):
            letter = LETTERS[at % len(LETTERS) :][:1]
            times.append(seconds_to(terminal, letter, letter))
            terminal.send(b"\x7f")
            terminal.count_for(0.1 + 0.05 * random.random())
        told("a letter in the table's filter", times)
        terminal.send(b"\x1b")
        terminal.count_for(0.5)
        terminal.send(b"\x1b[F")  # the run that is written to is the oldest
        terminal.count_for(0.5)
        seconds_to(terminal, b"\r", b"Events")
        terminal.count_for(2.0)
        times = []
        for _at in range(30):
            times.append(seconds_to(terminal, b"/", b"look for"))
            terminal.send(b"\x1b")
            terminal.count_for(0.4 + 0.05 * random.random())
        told("the search line of a log that streams", times)
        told("the help over a page whose log streams", seconds_to_help(terminal, 30))
        costs(terminal, "watching a run whose log gets 2,000 lines a second")


def live(_: argparse.Namespace) -> None:
    """64 runs, 10 metric lines a second each."""
    with workspace_of(64, are_alive=False) as workspace, written(workspace, 64, 10.0), app_on(workspace) as terminal:
        terminal.count_for(5.0)
        costs(terminal, "64 live runs of 10 lines a second, the table")
        terminal.send(b"\x1b[F")
        terminal.count_for(0.5)
        seconds_to(terminal, b"\r", b"Events")
        terminal.count_for(5.0)
        costs(terminal, "the page of one of them")


def page(_: argparse.Namespace) -> None:
    """One run of 2 steps a second, as SDXL on a consumer's card, its page open."""
    with (
        workspace_of(1, are_alive=False) as workspace,
        written(workspace, 1, 2.0, from_step=600),
        app_on(workspace) as terminal,
    ):
        seconds_to(terminal, b"\r", b"Events")
        terminal.count_for(5.0)
        costs(terminal, "the page of a run of 2 steps a second", 60.0)


def history(_: argparse.Namespace) -> None:
    """A run of 1,000,000 metric lines."""
    with workspace_of(1, are_alive=False) as workspace:
        metrics = next(workspace.runs.iterdir()) / "metrics.jsonl"
        metrics.unlink()
        writer = MetricsLog(metrics)
        for step in range(1, 1_000_001):
            loss = 0.1 + 0.04 * random.random()
            point = MetricPoint(step, 1, step // 24, 1.8e9 + step, loss, 0.1, {"unet": 1e-4}, 0.4, 0.1, 6.2, 812.0)
            writer.write(point)
        writer.close()
        size = metrics.stat().st_size / 1e6
        with app_on(workspace) as terminal:
            begun = time.perf_counter()
            first = seconds_to(terminal, b"\r", "⣿".encode())
            keyed = seconds_to_help(terminal, 20)
            whole = time.perf_counter() - begun + seconds_until_idle(terminal)
            print(f"1,000,000 metric lines ({size:.0f} MB): first curve {first:.2f} s, all of it {whole:.0f} s")
            told("the help while the rest is read", keyed)
            costs(terminal, "then, left alone", 5.0)


def seconds_to_help(terminal: Terminal, times: int) -> list[float]:
    """Open the help, and close it, again and again."""
    found = []
    for _ in range(times):
        found.append(seconds_to(terminal, b"?", b"esc closes"))
        terminal.send(b"\x1b")
        terminal.count_for(0.4 + 0.05 * random.random())
    return found


def seconds_until_idle(terminal: Terminal) -> float:
    """Until a second takes less than a tenth of one."""
    begun = time.perf_counter()
    while True:
        used = terminal.cpu_seconds()
        terminal.count_for(1.0)
        if terminal.cpu_seconds() - used < 0.1:
            return time.perf_counter() - begun


def log(asked: argparse.Namespace) -> None:
    """A log of gigabytes, opened at its end, and searched while keys are pressed."""
    with workspace_of(1, are_alive=False) as workspace:
        path = next(workspace.runs.iterdir()) / "attempts" / "001" / "engine.log"
        size = write_log(path, asked.log_gigabytes)
        with app_on(workspace) as terminal:
            opened = seconds_to(terminal, b"\r", b"the very last line")
            print(f"a log of {size / 1e9:.1f} GB: its end stands there after {opened:.2f} s")
            terminal.count_for(1.0)
            begun = time.perf_counter()
            terminal.send(b"/the very first\r")
            terminal.count_for(0.4)
            times = []
            while b"line 0 of" not in terminal.received and time.perf_counter() - begun < 25:
                times += seconds_to_help(terminal, 1)
            terminal.seconds_until(b"the very first", since=0)
            whole = time.perf_counter() - begun
            print(
                f"searched through to its first line in {whole:.1f} s, {size / 1e9 / whole:.2f} GB/s, keys pressed meanwhile"
            )
            if times:
                told("the help while it is searched", times)


def write_log(path: Path, gigabytes: float) -> int:
    """Bytes of a log of that size."""
    block = "".join(
        f"2026-11-24 10:14:12  line {at} of what an engine prints about a batch\n" for at in range(20_000)
    ).encode()
    with path.open("wb") as file:
        file.write(b"2026-11-24 10:14:12  the very first line 0 of all\n")
        while file.tell() < gigabytes * 1e9:
            file.write(block)
        file.write(b"2026-11-24 10:14:12  the very last line\n")
        return file.tell()


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--log-gigabytes", type=float, default=5.0)
    asked = parser.parse_args()
    measures: dict[str, Callable[[argparse.Namespace], None]] = {
        "keys": keys,
        "live": live,
        "page": page,
        "history": history,
        "log": log,
    }
    for part in asked.parts:
        measures[part](asked)


if __name__ == "__main__":
    main()
