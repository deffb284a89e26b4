"""What runs of other trainers cost: the first frame with 200 added folders, idling, growing ones, a million events.

    python -m benchmarks.watched_runs [--rounds N] [--events N]

The app runs in a pseudo-terminal of 200 × 90 cells, on a workspace of 50 runs of its own. Frames are measured in pairs, with
folders and without, in alternation. Event files are written by TensorBoard's own messages and checksums.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

from benchmarks.first_frame import IDLE_SECONDS, RUNS, SETTLE_SECONDS, Terminal, is_full, seconds_to
from benchmarks.runs_listing import workspace_of
from benchmarks.watching_runs import costs, resident
from sdxl_tui.fleet.watched.history import WatchedHistory
from sdxl_tui.workspace import Workspace

FOLDERS = 200
STEPS = 300
LONG_AGO = 1_600_000_000


def record(tag: str, value: float, step: int, moment: float) -> bytes:
    """A framed event of one scalar."""
    summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
    data = Event(wall_time=moment, step=step, summary=summary).SerializeToString()
    head = struct.pack("<Q", len(data))
    return b"".join((head, struct.pack("<I", masked_crc32c(head)), data, struct.pack("<I", masked_crc32c(data))))


def step_of(number: int, moment: float) -> bytes:
    """What sd-scripts writes of a step."""
    values = {"loss/current": 1 / number, "loss/average": 1.1 / number, "lr/unet": 1e-4, "lr/textencoder": 5e-5}
    return b"".join(record(tag, value, number, moment) for tag, value in values.items())


def logged(folder: Path, began: int) -> Path:
    """A run's empty event file."""
    folder.mkdir(parents=True)
    path = folder / f"events.out.tfevents.{began}.host.1.0"
    path.touch()
    return path


def show(workspace: Workspace, folders: list[Path]) -> None:
    """As ``folders add`` does."""
    workspace.state_folders.write_text(json.dumps({"format": 1, "folders": [str(folder) for folder in folders]}))


def many(root: Path) -> list[Path]:
    """Folders with an old run, a state's name and some LoRA files each."""
    data = b"".join(step_of(step, LONG_AGO + step) for step in range(1, STEPS + 1))
    folders = []
    for number in range(FOLDERS):
        folder = root / f"box-{number}"
        path = logged(folder / f"logs/run{number}" / "network_train", LONG_AGO + number)
        path.write_bytes(data)
        os.utime(path, (LONG_AGO + number, LONG_AGO + number))
        (folder / "output").mkdir()
        for step in range(5):
            (folder / f"output/run{number}-{step:06d}.safetensors").touch()
        folders.append(folder)
    return folders


def frames(rounds: int) -> None:
    """With folders and without; and what idling costs with them."""
    with tempfile.TemporaryDirectory() as root, workspace_of(RUNS, are_alive=False) as workspace:
        app = [sys.executable, "-m", "sdxl_tui", "--workspace", str(workspace.path)]
        folders = many(Path(root))
        seconds_to(app, is_full)
        pairs = []
        for _ in range(rounds):
            workspace.state_folders.unlink(missing_ok=True)
            without = seconds_to(app, is_full)
            show(workspace, folders)
            pairs.append((seconds_to(app, is_full), without))
        with_folders, without = (statistics.median(pair[at] for pair in pairs) for at in (0, 1))
        ratio = statistics.median(pair[0] / pair[1] for pair in pairs)
        print(f"first full frame: {FOLDERS} folders {with_folders:.3f} s   none {without:.3f} s   ratio {ratio:.2f}")
        terminal = Terminal(app)
        try:
            terminal.read_until(lambda text: b"watched" in text)
            print(f"watched runs are in the table after {time.perf_counter() - terminal.begun:.2f} s")
            terminal.count_for(SETTLE_SECONDS + 5)
            used = terminal.cpu_seconds()
            count = terminal.count_for(3 * IDLE_SECONDS)
            share = (terminal.cpu_seconds() - used) / (3 * IDLE_SECONDS)
            print(f"idle: {count} bytes, {100 * share:.1f} % of a core, {resident(terminal.pid):.0f} MB")
        finally:
            terminal.kill()


@contextmanager
def written(paths: Sequence[Path]) -> Iterator[None]:
    """Each of these files gets two steps a second."""
    ended = threading.Event()

    def write() -> None:
        step = 0
        while not ended.wait(0.5):
            step += 1
            data = step_of(step, time.time())
            for path in paths:
                with path.open("ab") as file:
                    file.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()


def watch_growing(runs: int, keys: bytes, name: str) -> None:
    """What it takes to watch ``runs`` runs, once ``keys`` have led to what is looked at."""
    with tempfile.TemporaryDirectory() as root, workspace_of(0) as workspace:
        paths = [logged(Path(root, f"logs/run{number}"), int(time.time()) - number) for number in range(runs)]
        show(workspace, [Path(root)])
        with written(paths):
            terminal = Terminal([sys.executable, "-m", "sdxl_tui", "--workspace", str(workspace.path)])
            try:
                terminal.read_until(lambda text: b"watched" in text)
                terminal.send(keys)
                terminal.count_for(SETTLE_SECONDS)
                costs(terminal, name)
            finally:
                terminal.kill()


def growing() -> None:
    """The page of a run that logs two steps a second."""
    watch_growing(1, b"\r", "the page of a watched run of 2 steps a second")


def many_growing(runs: int = 64) -> None:
    """The table of runs that log two steps a second each."""
    watch_growing(runs, b"", f"the table of {runs} watched runs of 2 steps a second")


def long(events: int) -> None:
    """One file of many events: the first picture, and all of it."""
    with tempfile.TemporaryDirectory() as root:
        path = logged(Path(root, "fox"), LONG_AGO)
        with path.open("ab") as file:
            for step in range(1, events // 4 + 1):
                file.write(step_of(step, LONG_AGO + step))
        history = WatchedHistory(path.parent)
        began = time.perf_counter()
        overview = history.overview()
        seen = time.perf_counter() - began
        history.poll()
        while not history.caught_up:
            history.poll()
        took = time.perf_counter() - began - seen
        points = len(overview.loss) if overview else 0
        print(
            f"{events:,} events, {path.stat().st_size / 1e6:.0f} MB: {points} points in {seen:.2f} s, all in {took:.1f} s"
        )


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=1_000_000)
    asked = parser.parse_args()
    frames(asked.rounds)
    growing()
    many_growing()
    long(asked.events)


if __name__ == "__main__":
    main()
