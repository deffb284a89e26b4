"""Sessions cut at random moments, by signals and by closing the terminal: the training goes on, and nothing is left half written.

A few here; ``SDXL_TUI_CUTS=50 pytest FILE`` cuts fifty, and lets the sessions launch real trainings as well.
"""

from __future__ import annotations

import json
import os
import pty
import random
import select
import signal
import sys
import termios
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.profile.shipped import shipped_profiles
from engine.run.layout import RunDirectory
from engine.run.liveness import assess
from engine.run.records import Status
from sdxl_tui.fleet import launch
from sdxl_tui.fleet.launch import start_new
from sdxl_tui.workspace import Workspace
from tests.sdxl_tui.fleet.stand_in import PROFILE, engine_of, loaded, speaks, standing_in, until

CUTS = int(os.environ.get("SDXL_TUI_CUTS", "4"))
LAUNCHES = "SDXL_TUI_CUTS" in os.environ
WAYS = (signal.SIGKILL, signal.SIGHUP, signal.SIGTERM, None)
"""None: the terminal is closed, as by a lost connection."""
SEQUENCES = (
    *(b"1", b"2", b"3", b"\r", b"\x1b", b"j", b"k", b"j", b"\t", b"q?", b"v", b"z", b"i", b"/fox\r", b"o", b"w", b"A"),
    *(b"tgood v2\tnote of a moment\r", b"t\tanother\r", b"a", b"a", b"2\r", b"2jd", b"2n"),
    *(
        b"2\r\t3e-5\t\x13",
        b"2\r\x14# typed\n\x13",
        b"\x1b[B\x1b[B7",
        b"\x1a",
        b"\x19",
        b"h",
        b"K",
        b"J",
        b"x\x1b",
        b"p",
    ),
)
STARTS = (b"2l\r", b"2w\r", b"sn", b"ss", b"rr\r", b"xx")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    found = Workspace(tmp_path / "ws")
    found.create()
    shipped = next(path for path in shipped_profiles() if path.name == "demo.toml").read_text()
    (found.profiles / "demo.toml").write_text(shipped.replace("steps = 250", "steps = 12"))
    with standing_in(monkeypatch, found):
        yield found


class Session:
    """The app in a pseudo-terminal that somebody types into."""

    def __init__(self, workspace: Workspace) -> None:
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.environ.update({"TERM": "xterm-256color", "PYTHONPATH": os.pathsep.join(sys.path)})
            os.execv(sys.executable, [sys.executable, "-m", "sdxl_tui", "--workspace", str(workspace.path)])
        termios.tcsetwinsize(self.master, (24, 80))
        self.received = b""

    def read(self, seconds: float, until: bytes | None = None) -> bool:
        """Take in what is printed for so long, or until this is."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if until is not None and until in self.received:
                return True
            if select.select([self.master], [], [], 0.05)[0]:
                try:
                    self.received += os.read(self.master, 1 << 16)
                except OSError:
                    break
        return until is None

    def end(self, way: signal.Signals | None) -> None:
        """Cut it, and wait for its end."""
        if way is None:
            os.close(self.master)
        else:
            os.kill(self.pid, way)
        end = time.monotonic() + 15
        while time.monotonic() < end:
            if way is not None:
                self.read(0.05)
            else:
                time.sleep(0.02)
            if os.waitpid(self.pid, os.WNOHANG)[0]:
                break
        else:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            raise AssertionError(f"it does not end by {way}")
        if way is not None:
            os.close(self.master)


def what_is_torn(workspace: Workspace) -> list[str]:
    """Files that their readers could not use; what is hidden is somebody's work, and nobody reads it."""
    torn = []
    for path in workspace.path.rglob("*"):
        if path.name.startswith(".") or not path.is_file() or path.is_relative_to(workspace.cache):
            continue
        try:
            text = path.read_text(encoding="utf-8") if path.suffix in {".json", ".toml"} else "{}"
            if path.suffix == ".json" and text.strip():
                json.loads(text)
            elif path.suffix == ".toml":
                tomllib.loads(text)
        except FileNotFoundError:
            continue
        except ValueError as error:
            torn.append(f"{path}: {error}")
    return torn


def step_of(run: RunDirectory) -> int:
    status = Status.read(run.status)
    return status.step if status else 0


def test_sessions_cut_at_random_moments_cost_nothing(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "engine_command", engine_of(10_000_000))
    run = start_new(launch.make_run(workspace, loaded(workspace.profiles)), share=True)
    until(lambda: speaks(run))
    chance = random.Random(20261129)
    for cut in range(CUTS):
        session = Session(workspace)
        opened = session.read(30, b"Quit")
        assert opened, (cut, session.received[-2000:])
        for _ in range(chance.randrange(1, 12)):
            if chance.random() < 0.5:
                session.read(chance.random() * 0.5)
            os.write(session.master, chance.choice((*SEQUENCES, *STARTS) if LAUNCHES else SEQUENCES))
        session.read(chance.random() * 0.6)
        before = step_of(run)
        session.end(WAYS[cut % len(WAYS)])
        assert b"Traceback" not in session.received, (cut, session.received[-4000:])
        assert what_is_torn(workspace) == [], cut
        if not LAUNCHES:
            assert assess(run).alive, cut
            until(lambda step=before: step_of(run) > step)
    assert PROFILE.name  # the profile that was trained is still what it was
    assert tomllib.loads(run.profile.read_text())["name"] == PROFILE.name
    last = Session(workspace)
    assert last.read(30, b"Quit")
    os.write(last.master, b"2")
    assert last.read(20, b"Profile"), last.received[-2000:]
    last.end(signal.SIGKILL)
    assert b"Traceback" not in last.received
