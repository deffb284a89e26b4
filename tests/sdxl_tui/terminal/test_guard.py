"""What really arrives at the terminal: a Textual app under a pty, with and without the guard."""

from __future__ import annotations

import errno
import io
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from fcntl import ioctl
from pathlib import Path

import pytest
from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from sdxl_tui.terminal.guard import install_guard
from sdxl_tui.terminal.stream import GuardedStream

APP = Path(__file__).with_name("hostile_app.py")

CLOSED = "\x1b[?1049l"
"""The app leaves its screen; what follows is printed by Rich, with colours of its own."""

FORBIDDEN = {
    "title": re.compile("\x1b\\][0-9]*;PWNED"),
    "clipboard": re.compile("\x1b\\]52"),
    "hyperlink": re.compile("\x1b\\]8"),
    "8-bit controls": re.compile("[\x80-\x9f]"),
    "bidi": re.compile("[\u202a-\u202e\u2066-\u2069]"),
    "zero width": re.compile("\u200b"),
    "colour": re.compile("\x1b\\[41m(?=.*" + re.escape(CLOSED) + ")", re.DOTALL),
    "nul": re.compile("I\x00"),
    "bell": re.compile("J\x07"),
}


def stream_of(mode: str) -> str:
    """Everything the app writes to a terminal of 100 × 50 in ``mode``."""
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 100, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8"}
    process = subprocess.Popen(
        [sys.executable, str(APP), mode], stdin=slave, stdout=slave, stderr=slave, env=environment, close_fds=True
    )
    os.close(slave)
    received = bytearray()
    deadline = time.monotonic() + 30
    try:
        while time.monotonic() < deadline:
            if select.select([master], [], [], 0.1)[0]:
                received += os.read(master, 65536)
        raise TimeoutError("the app did not end")
    except OSError as ended:  # EIO: the app, the last to hold the other side, is gone
        if ended.errno != errno.EIO:
            raise
        process.wait(timeout=10)
    finally:
        process.kill()
        process.wait()
        os.close(master)
    return received.decode("utf-8", errors="surrogateescape")


@pytest.fixture(scope="module")
def guarded() -> str:
    return stream_of("guarded")


@pytest.fixture(scope="module")
def unguarded() -> str:
    return stream_of("unguarded")


@pytest.mark.parametrize("what", FORBIDDEN)
def test_nothing_of_the_payload_reaches_the_terminal(what: str, guarded: str) -> None:
    assert not FORBIDDEN[what].search(guarded)


@pytest.mark.parametrize("what", ["title", "clipboard", "hyperlink", "8-bit controls", "bidi", "colour"])
def test_without_the_guard_it_does(what: str, unguarded: str) -> None:
    assert FORBIDDEN[what].search(unguarded)


def test_the_text_itself_is_still_shown_by_every_widget(guarded: str) -> None:
    """9 widgets, 2 border titles, a toast with a title and the message at the end: none is lost to the guard."""
    assert guarded.count("PWNED-TITLE") >= 12


def test_safe_strips_are_rendered_as_textual_does() -> None:
    console = Console(color_system="truecolor", file=io.StringIO())
    strip = Strip([Segment("plain "), Segment("bold 漢", Style(bold=True)), Segment("\u2800⠿")])
    before = Strip(list(strip)).render(console)
    install_guard()
    install_guard()
    assert strip.render(console) == before
    assert console._color_system is ColorSystem.TRUECOLOR


def test_what_is_changed_keeps_its_width_and_its_style() -> None:
    install_guard()
    console = Console(color_system="truecolor", file=io.StringIO())
    strip = Strip([Segment("a\x1b[2Jb\xadc", Style(color="red")), Segment("link", Style(link="http://x"))])
    assert strip.render(console) == "\x1b[31ma[2Jb�c\x1b[0mlink"


def test_a_guarded_stream_passes_colours_and_text_only() -> None:
    target = io.StringIO()
    stream = GuardedStream(target)
    Console(file=stream, color_system="standard", force_terminal=True).print("[red]ok[/red]")  # type: ignore[arg-type]
    stream.write("a\x1b]0;owned\x07\x1b[2Jb\u202e\x9bc\n")
    assert target.getvalue() == "\x1b[31mok\x1b[0m\na]0;owned[2Jbc\n"
