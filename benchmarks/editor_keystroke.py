"""From a key to the screen in the profile editor: the real app in a pseudo-terminal, each key waited for.

    python benchmarks/editor_keystroke.py [--keys 60]

In the form (a learning rate is typed and taken back, then a batch size, on which the data set depends), in the TOML text, and
for moving between sections. Milliseconds from writing the key to the last byte it brought about: field, title, marks, help, the
planned curve, the data set of as many images as --images says, and the estimate. The app keeps the draft on the disk and looks
at the file meanwhile. In the TOML text the judgement waits for 50 ms without a key, which is in the number.
"""

from __future__ import annotations

import argparse
import os
import pty
import select
import signal
import statistics
import sys
import tempfile
import termios
import time
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PROFILE = ROOT / "profiles" / "demo.toml"


class Terminal:
    """The app on a workspace, on a screen of 200 by 50."""

    def __init__(self, workspace: Path) -> None:
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", PYTHONPATH=str(ROOT))
            os.execv(sys.executable, [sys.executable, "-m", "sdxl_tui", "--workspace", str(workspace)])
        termios.tcsetwinsize(self.master, (50, 200))

    def read_until(self, text: bytes, seconds: float = 20.0) -> None:
        """Take in what is printed until ``text`` is among it."""
        received, until = b"", time.monotonic() + seconds
        while text not in received:
            if time.monotonic() > until:
                raise SystemExit(f"{text!r} did not appear; the last of what did: {received[-400:]!r}")
            if select.select([self.master], [], [], 0.2)[0]:
                received += os.read(self.master, 1 << 16)

    def quiet(self, seconds: float) -> None:
        """Read until nothing came for ``seconds``."""
        until = time.monotonic() + 20.0
        while select.select([self.master], [], [], seconds)[0] and time.monotonic() < until:
            os.read(self.master, 1 << 16)

    def press(self, keys: bytes) -> tuple[float, float]:
        """Milliseconds from the key to the first and to the last byte that comes of it before a silence of 120 ms."""
        self.quiet(0.25)
        began = time.perf_counter()
        os.write(self.master, keys)
        if not select.select([self.master], [], [], 2.0)[0]:
            raise SystemExit(f"nothing came of {keys!r}")
        first = last = time.perf_counter()
        while select.select([self.master], [], [], 0.12)[0]:
            os.read(self.master, 1 << 16)
            last = time.perf_counter()
        return (first - began) * 1000, (last - began) * 1000

    def end(self) -> None:
        """Away with it."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def make_images(folder: Path, count: int) -> None:
    """Pictures of three shapes with captions."""
    folder.mkdir()
    for at in range(count):
        Image.new("RGB", (128 + 64 * (at % 3), 192), (at % 256, at // 256, 0)).save(folder / f"{at:05}.png")
        (folder / f"{at:05}.txt").write_text(f"picture number {at}")


def told(name: str, times: list[tuple[float, float]]) -> None:
    """One line of the result."""
    cells = []
    for found in zip(*times, strict=True):
        cells += [statistics.median(found), sorted(found)[int(len(found) * 0.95)]]
    print(f"{name:<22}" + "".join(f"{cell:9.1f}" for cell in cells))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=60, help="keys of each kind (default: 60)")
    parser.add_argument("--images", type=int, default=1000, help="images of the data set (default: 1000)")
    arguments = parser.parse_args()
    count = arguments.keys
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        for name in ("profiles", "runs"):
            (workspace / name).mkdir()
        make_images(workspace / "images", arguments.images)
        text = PROFILE.read_text().replace("bundled:demo-images", "../images")
        (workspace / "profiles" / "a.toml").write_text(text)
        terminal = Terminal(workspace)
        terminal.read_until(b"Quit")
        os.write(terminal.master, b"2")
        terminal.read_until(b"Duplicate")
        terminal.quiet(1.0)
        os.write(terminal.master, b"\r")
        terminal.read_until(b"Form or TOML")
        began = time.perf_counter()
        at_once: list[float] = []
        while time.perf_counter() < began + 4.0:  # while the images are read for the first time
            os.write(terminal.master, b"\x1b[B" if len(at_once) % 2 == 0 else b"\x1b[A")
            pressed = time.perf_counter()
            select.select([terminal.master], [], [], 2.0)
            at_once.append((time.perf_counter() - pressed) * 1000)
            terminal.quiet(0.05)
        print(f"while the images are looked at for the first time, {len(at_once)} keys: first byte after ", end="")
        print(f"{statistics.median(at_once):.1f} ms, p95 {sorted(at_once)[int(len(at_once) * 0.95)]:.1f} ms")
        terminal.quiet(1.0)
        print(f"{'milliseconds':<22}{'first':>9}{'p95':>9}{'last':>9}{'p95':>9}")
        told("next section", [terminal.press(b"\x1b[B" if at % 2 == 0 else b"\x1b[A") for at in range(count)])
        for field, name in ((b"optimizer.lr", "a digit in the form"), (b"training.batch_size", "… for the data set")):
            os.write(terminal.master, b"\x06" + field)
            terminal.quiet(0.6)
            os.write(terminal.master, b"\r")
            terminal.read_until(field)
            terminal.press(b"\x1b[F")
            told(name, [terminal.press(b"1" if at % 2 == 0 else b"\x7f") for at in range(count)])
        told("step key", [terminal.press(b"\x1b[1;5A" if at % 2 == 0 else b"\x1b[1;5B") for at in range(count)])
        os.write(terminal.master, b"\x14")
        terminal.quiet(0.5)
        told("a letter in the TOML", [terminal.press(b"#" if at % 2 == 0 else b"\x7f") for at in range(count)])
        terminal.end()


if __name__ == "__main__":
    main()
