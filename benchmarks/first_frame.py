"""How soon the app's first full frame stands with 200 runs, beside the least Textual app there is; and what idling costs.

    python benchmarks/first_frame.py [--rounds N]

The app is started in a pseudo-terminal of 200 × 90 cells that answers Textual's queries as a terminal does. The frame is full
once the rows of all runs that fit and the key bar have arrived. Starts are measured in pairs, in turns; the ratio is what can be
compared between machines. Then the app is left alone with ended runs, and the bytes it writes and the time it uses are counted.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import re
import select
import signal
import statistics
import struct
import sys
import termios
import time
from collections.abc import Callable
from typing import Final

from benchmarks.runs_listing import workspace_of

COLUMNS: Final = 200
LINES: Final = 90
RUNS: Final = 200
ROWS: Final = 60
"""Runs that fit at least."""
LIMIT_SECONDS: Final = 30.0
SETTLE_SECONDS: Final = 3.0
IDLE_SECONDS: Final = 10.0

SEQUENCE: Final = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]P][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.")
LEAST_APP: Final = (
    "from textual.app import App\n"
    "from textual.widgets import Static\n"
    "class Least(App):\n"
    "    def compose(self): yield Static('least-app-ready')\n"
    "Least().run()\n"
)


class Terminal:
    """A program in a pseudo-terminal of its own, from its start to its end."""

    def __init__(self, command: list[str]) -> None:
        self.begun = time.perf_counter()
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
            os.execv(command[0], command)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.received = bytearray()

    def read_until(self, is_there: Callable[[bytes], bool]) -> float:
        """Seconds from the start until what was printed, without its escape sequences, satisfies ``is_there``."""
        while time.perf_counter() - self.begun < LIMIT_SECONDS:
            if self.read(0.5) and is_there(SEQUENCE.sub(b"", bytes(self.received))):
                return time.perf_counter() - self.begun
        raise TimeoutError(f"no full frame within {LIMIT_SECONDS:.0f} s")

    def send(self, keys: bytes) -> None:
        """Press these keys."""
        os.write(self._master, keys)

    def seconds_until(self, text: bytes, *, since: int) -> float:
        """Seconds from now until ``text`` is printed, escape sequences left out, beyond the first ``since`` bytes."""
        begun = time.perf_counter()
        while text not in SEQUENCE.sub(b"", bytes(self.received[since:])):
            if not self.read(0.05) and time.perf_counter() - begun > LIMIT_SECONDS:
                raise TimeoutError(f"{text!r} was not printed within {LIMIT_SECONDS:.0f} s")
        return time.perf_counter() - begun

    def read(self, patience: float) -> int:
        """Take in what is printed next; how many bytes."""
        if not select.select([self._master], [], [], patience)[0]:
            return 0
        data = os.read(self._master, 1 << 16)
        self.received += data
        return len(data)

    def count_for(self, seconds: float) -> int:
        """Bytes printed within ``seconds``."""
        until, count = time.perf_counter() + seconds, 0
        while (left := until - time.perf_counter()) > 0:
            count += self.read(left)
        return count

    def cpu_seconds(self) -> float:
        """Processor time the program used so far."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:  # noqa: PTH123
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """End it; it has nothing to save."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._master)


def seconds_to(command: list[str], is_there: Callable[[bytes], bool]) -> float:
    """From the start of ``command`` to the frame that satisfies ``is_there``."""
    terminal = Terminal(command)
    try:
        return terminal.read_until(is_there)
    finally:
        terminal.kill()


def is_full(text: bytes) -> bool:
    """The rows of the latest runs and the key bar have arrived."""
    return b"Quit" in text and all(f"-20261124-{RUNS - 1 - row:06d}".encode() in text for row in range(ROWS))


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    least = [sys.executable, "-c", LEAST_APP]
    with workspace_of(RUNS) as workspace:
        app = [sys.executable, "-m", "sdxl_tui", "--workspace", str(workspace.path)]
        seconds_to(app, is_full)
        pairs = [(seconds_to(app, is_full), seconds_to(least, lambda text: b"ready" in text)) for _ in range(rounds)]
    ours, theirs = (statistics.median(pair[at] for pair in pairs) for at in (0, 1))
    ratio = statistics.median(pair[0] / pair[1] for pair in pairs)
    print(f"first full frame of {RUNS} runs {ours:.3f} s   least Textual app {theirs:.3f} s   ratio {ratio:.2f}")
    with workspace_of(RUNS, are_alive=False) as workspace:
        terminal = Terminal([sys.executable, "-m", "sdxl_tui", "--workspace", str(workspace.path)])
        try:
            terminal.read_until(is_full)
            terminal.count_for(SETTLE_SECONDS)
            used = terminal.cpu_seconds()
            count = terminal.count_for(IDLE_SECONDS)
            share = (terminal.cpu_seconds() - used) / IDLE_SECONDS
        finally:
            terminal.kill()
    print(f"idle for {IDLE_SECONDS:.0f} s: {count} bytes written, {100 * share:.1f} % of a core")


if __name__ == "__main__":
    main()
