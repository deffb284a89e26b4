"""The profile editor in a pseudo-terminal: killed with unsaved text, and while another program has the terminal."""

from __future__ import annotations

import os
import re
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sdxl_tui.app.run_field import RunField
from tests.sdxl_tui.app.test_in_a_terminal import Start, Terminal, start

__all__ = ["start"]

TEXT = """\
# Mine.
schema = 1
name = "zorb"
[model]
base = "bundled:demo-base"
[[dataset.sources]]
path = "bundled:demo-images"
"""


@pytest.fixture
def profile(runs: RunField) -> Path:
    """A profile of the workspace, the first of the list."""
    path = runs.workspace.profiles / "a.toml"
    path.write_text(TEXT)
    return path


def press(terminal: Terminal, keys: str, until: bytes) -> None:
    """Type, and wait for what comes of it."""
    terminal.forget()
    os.write(terminal.master, keys.encode())
    terminal.read_until(until)


def open_editor(terminal: Terminal) -> None:
    """To the profile's editor."""
    terminal.read_until(b"Quit")
    press(terminal, "2", b"Duplicate")
    time.sleep(1.0)
    press(terminal, "\r", b"Form or TOML")


def wait_for(terminal: Terminal, holds: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something on the disk, reading on: an app whose terminal takes nothing more stands still."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, terminal.screen.text()
        if select.select([terminal.master], [], [], 0.05)[0]:
            terminal.take(os.read(terminal.master, 1 << 16))


def test_a_kill_costs_no_more_than_the_last_moment(runs: RunField, profile: Path, start: Start) -> None:
    terminal = start()
    open_editor(terminal)
    press(terminal, "\x14", b"Mine")  # ctrl+t: the text
    press(terminal, "# typed and not saved\r", b"not saved")
    kept = runs.workspace.drafts
    wait_for(terminal, lambda: any("typed and not saved\\n" in file.read_text() for file in kept.glob("*.json")))
    os.kill(terminal.pid, signal.SIGKILL)
    terminal.exit_code()
    assert profile.read_text() == TEXT
    again = start()
    open_editor(again)
    again.read_until(b"typed and not saved")
    os.write(again.master, b"x\r")  # meant for the editor, by somebody who has not seen the question yet
    time.sleep(1.5)
    assert list(kept.iterdir())
    press(again, "t", b"not saved")
    press(again, "\x13", b"Saved")
    wait_for(again, lambda: profile.read_text() == f"# typed and not saved\n{TEXT}")
    wait_for(again, lambda: not list(kept.iterdir()))


@pytest.mark.parametrize("unsaved", [False, True])
def test_the_users_editor_has_the_terminal_and_its_work_comes_back(
    profile: Path, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unsaved: bool
) -> None:
    program = tmp_path / "my editor"
    program.write_text('#!/bin/sh\ntest -t 0 && echo "IN THE EDITOR $1"\nsed -i "s/zorb/fox/" "$2"\n')
    program.chmod(0o755)
    monkeypatch.setenv("VISUAL", f"'{program}' --plain")
    terminal = start()
    open_editor(terminal)
    if unsaved:
        press(terminal, "\x14", b"Mine")
        press(terminal, "#", b"not saved")
    press(terminal, "\x1bOS", b"IN THE EDITOR --plain")  # F4
    terminal.read_until(b"fox")
    if unsaved:
        terminal.read_until(b"not saved")
        assert profile.read_text() == TEXT
        press(terminal, "\x13", b"Saved")
    assert profile.read_text() == ("#" if unsaved else "") + TEXT.replace("zorb", "fox")


def test_a_search_may_be_typed_in_one_breath(profile: Path, start: Start) -> None:
    terminal = start()
    open_editor(terminal)
    press(terminal, "/mirrored", b"Find a field")
    terminal.read_until(b"dataset.flip")
    press(terminal, "\r", b"Half of the visits")


def test_words_and_enter_in_one_breath_find_what_the_words_say(runs: RunField, profile: Path, start: Start) -> None:
    terminal = start()
    open_editor(terminal)
    press(terminal, "/", b"words of its help")
    press(terminal, "optimizer.lr\r", b"a number above 0")  # as a slow line hands them over
    press(terminal, "5e-4\x13", b"Saved")
    wait_for(terminal, lambda: "lr = 5e-4" in profile.read_text())


@pytest.mark.parametrize("seconds", [0.0, 0.03, 0.09], ids=["pasted", "fast", "typed"])
def test_a_profile_is_written_from_nothing_without_waiting_for_the_screen(
    runs: RunField, start: Start, seconds: float
) -> None:
    terminal = start()
    terminal.read_until(b"Quit")
    down = "\x1b[B"
    keys = f"2nfox\r{down}\r/a/base.safetensors\x06optimizer.lr\r5e-4\x06dataset.sources\r/some/images{down}7\x13"
    pieces = re.findall(r"\x1b\[B|.", keys, re.DOTALL) if seconds else [keys]
    for piece in pieces[:-1]:
        os.write(terminal.master, piece.encode())
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([terminal.master], [], [], left)[0]:
                terminal.received += os.read(terminal.master, 1 << 16)
    press(terminal, pieces[-1], b"Saved")
    text = (runs.workspace.profiles / "fox.toml").read_text()
    assert 'name = "fox"' in text
    assert 'base = "/a/base.safetensors"' in text
    assert "lr = 5e-4" in text
    assert 'path = "/some/images"' in text
    assert "repeats = 7" in text
