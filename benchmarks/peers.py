"""sdxl-tui beside other Textual programs that are kept open all day: first frame, a typed letter, idling, a large log.

    python -m benchmarks.peers --toolong PATH/tl --posting PATH/posting --harlequin PATH/harlequin [--rounds 7]

Give those that are installed, each in a virtual environment of its own. All run in a pseudo-terminal of 200 × 90 cells, ours
and the other in turns; the ratio, ours over theirs pair by pair, is what can be compared between machines. Ours has a workspace
of 200 runs, theirs have next to nothing: toolong a log of 20,000 lines. The large log is opened by toolong from the shell, by
ours as a user would: the app is started, and Enter opens the page of the run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.first_frame import Terminal, is_full
from benchmarks.runs_listing import workspace_of
from benchmarks.watching_runs import LETTERS, resident, write_log, written

LETTERS_TYPED: Final = 20
SETTLE_SECONDS: Final = 3.0
IDLE_SECONDS: Final = 10.0
LAST_LINE: Final = b"the very last line"
LOG_RATE: Final = 2000
"""Lines a second."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program to start."""

    name: str
    command: tuple[str, ...]
    is_full: Callable[[bytes], bool]
    """Whether what was printed makes its first full frame."""
    to_a_field: bytes = b""
    """Keys that lead to where letters can be typed."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What a program was seen to take."""

    first_frame: float
    """Seconds."""
    idle_share: float
    """Of one core."""
    idle_bytes: float
    """A second, to the terminal."""
    megabytes: float
    letter: float
    """Median, in seconds."""


def prints(text: bytes) -> Callable[[bytes], bool]:
    """Whether ``text`` was printed."""
    return lambda printed: text in printed


def costs_of(program: Program) -> Costs:
    """Start it, leave it alone, type in it."""
    terminal = Terminal(list(program.command))
    try:
        first = terminal.read_until(program.is_full)
        terminal.count_for(SETTLE_SECONDS)
        used = terminal.cpu_seconds()
        count = terminal.count_for(IDLE_SECONDS)
        share = (terminal.cpu_seconds() - used) / IDLE_SECONDS
        terminal.send(program.to_a_field)
        terminal.count_for(1.0)
        times = [seconds_to_letter(terminal, LETTERS[at % len(LETTERS) :][:1]) for at in range(LETTERS_TYPED)]
        return Costs(first, share, count / IDLE_SECONDS, resident(terminal.pid), statistics.median(times))
    finally:
        terminal.kill()


def seconds_to_letter(terminal: Terminal, letter: bytes) -> float:
    """From a letter to its sight; then it is taken back."""
    since = len(terminal.received)
    terminal.send(letter)
    seconds = terminal.seconds_until(letter, since=since)
    terminal.count_for(0.3)
    terminal.send(b"\x7f")
    terminal.count_for(0.3)
    return seconds


def beside(ours: Program, other: Program, rounds: int) -> None:
    """Both in turns, each figure as medians and the median ratio."""
    pairs = [(costs_of(ours), costs_of(other)) for _ in range(rounds)]
    figures: dict[str, tuple[Callable[[Costs], float], str]] = {
        "first full frame": (lambda costs: costs.first_frame, "s"),
        "a letter": (lambda costs: 1e3 * costs.letter, "ms"),
        "memory": (lambda costs: costs.megabytes, "MB"),
        "idle, of a core": (lambda costs: 100 * costs.idle_share, "%"),
        "idle, to the terminal": (lambda costs: costs.idle_bytes, "B/s"),
    }
    for name, (figure, unit) in figures.items():
        told(f"{other.name:<10} {name}", [(figure(mine), figure(theirs)) for mine, theirs in pairs], unit)


def told(name: str, pairs: list[tuple[float, float]], unit: str) -> None:
    """Medians and, where theirs is not nothing, the ratio."""
    ours, theirs = (statistics.median(pair[at] for pair in pairs) for at in (0, 1))
    ratios = [mine / other for mine, other in pairs if other]
    ratio = f"   ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else ""
    print(f"{name:<42} ours {ours:8.3f}   theirs {theirs:8.3f} {unit}{ratio}", flush=True)


def seconds_to_end(command: list[str], keys: bytes, when: bytes) -> tuple[float, float]:
    """From the start to the last line of a log, and megabytes in memory then; ``keys`` are pressed at ``when``."""
    terminal = Terminal(command)
    try:
        if keys:
            terminal.read_until(lambda text: when in text)
            terminal.send(keys)
        seconds = terminal.read_until(lambda text: LAST_LINE in text)
        terminal.count_for(1.0)
        return seconds, resident(terminal.pid)
    finally:
        terminal.kill()


def large_log(toolong: str, rounds: int, gigabytes: float) -> None:
    """A log opened at its end, ours from the app's start on."""
    with workspace_of(1, are_alive=False) as workspace:
        path = next(workspace.runs.iterdir()) / "attempts" / "001" / "engine.log"
        size = write_log(path, gigabytes) / 1e9
        ours = [sys.executable, "-m", "sdxl_tui", "--workspace", str(workspace.path)]
        pairs = [
            (seconds_to_end(ours, b"\r", b"Quit"), seconds_to_end([toolong, str(path)], b"", b""))
            for _ in range(rounds)
        ]
    told(f"toolong    a log of {size:.1f} GB, its end", [(mine[0], other[0]) for mine, other in pairs], "s")
    told("           … memory", [(mine[1], other[1]) for mine, other in pairs], "MB")


def followed_log(toolong: str, rounds: int) -> None:
    """A log that gets 2,000 lines a second, followed; ours shows the run's charts beside it."""
    pairs = []
    with workspace_of(1, are_alive=False) as workspace, written(workspace, 1, 2.0, log_lines=LOG_RATE):
        path = next(workspace.runs.iterdir()) / "attempts" / "001" / "engine.log"
        ours = [sys.executable, "-m", "sdxl_tui", "--workspace", str(workspace.path)]
        for _ in range(rounds):
            pairs.append((following(ours, b"\r", b"Quit"), following([toolong, str(path)], b"", b"Help")))
    told("toolong    2,000 lines a second, of a core", [(mine[0], other[0]) for mine, other in pairs], "%")
    told("           … to the terminal", [(mine[1], other[1]) for mine, other in pairs], "kB/s")


def following(command: list[str], keys: bytes, when: bytes) -> tuple[float, float]:
    """Percent of a core, and kilobytes a second, while it follows a log."""
    terminal = Terminal(command)
    try:
        terminal.read_until(lambda text: when in text)
        terminal.send(keys)
        terminal.count_for(SETTLE_SECONDS)
        used = terminal.cpu_seconds()
        count = terminal.count_for(IDLE_SECONDS)
        return 100 * (terminal.cpu_seconds() - used) / IDLE_SECONDS, count / IDLE_SECONDS / 1e3
    finally:
        terminal.kill()


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--toolong", metavar="PATH", help="its program, tl")
    parser.add_argument("--posting", metavar="PATH")
    parser.add_argument("--harlequin", metavar="PATH")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--log-gigabytes", type=float, default=1.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["XDG_CONFIG_HOME"] = scratch  # nobody's own settings
        log = Path(scratch, "engine.log")
        log.write_text("".join(f"2026-11-24 10:14:12  line {at} of a log\n" for at in range(20_000)), encoding="utf-8")
        others = []
        if asked.toolong:
            others.append(Program("toolong", (asked.toolong, str(log)), prints(b"line 19999 "), b"\x06"))
        if asked.posting:
            others.append(Program("posting", (asked.posting, "default", "--collection", scratch), prints(b"f1 Help")))
        if asked.harlequin:
            others.append(Program("harlequin", (asked.harlequin,), prints(b"Run Query")))
        with workspace_of(200, are_alive=False) as workspace:
            command = (sys.executable, "-m", "sdxl_tui", "--workspace", str(workspace.path))
            ours = Program("sdxl-tui", command, is_full, b"/")
            for other in others:
                beside(ours, other, asked.rounds)
    if asked.toolong:
        large_log(asked.toolong, min(asked.rounds, 3), asked.log_gigabytes)
        followed_log(asked.toolong, min(asked.rounds, 3))


if __name__ == "__main__":
    main()
