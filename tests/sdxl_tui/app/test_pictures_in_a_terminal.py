"""Sample pictures in a pseudo-terminal that says it is kitty's: the pixels arrive, stand in cells, and leave with the app."""

from __future__ import annotations

import io
import os
import re
import time
from base64 import standard_b64decode

from PIL import Image

from tests.sdxl_tui.app.run_field import RunField
from tests.sdxl_tui.app.test_in_a_terminal import Start, start
from tests.sdxl_tui.places.place_field import Field

__all__ = ["start"]

FIRST = re.compile(rb"\x1b_Ga=T,[^;]*i=(\d+)[^;]*;")
PAYLOAD = re.compile(rb"\x1b_G(?:a=T,)?[^;]*m=[01];([^\x1b]*)\x1b\\")
CELL = "\U0010eeee\u0305\u0305".encode()
"""The first cell of a picture."""


def with_a_picture(runs: RunField) -> Image.Image:
    """A run whose step 200 has one sample, of colours that no palette has."""
    field = Field(runs.workspace)
    run = field.run("drawn")
    field.checkpoint(run, 200)
    picture = Image.new("RGB", (64, 64))
    picture.putdata([(x * 4, y * 4, (x * y) % 256) for y in range(64) for x in range(64)])
    picture.save(run.samples / "step-00000200-00.png")
    return picture


def test_the_pixels_arrive_and_leave_with_the_app(runs: RunField, start: Start) -> None:
    picture = with_a_picture(runs)
    terminal = start(TERM="xterm-kitty", TMUX="", KITTY_WINDOW_ID="", SDXL_TUI_PICTURES="auto")
    terminal.read_until(b"drawn")
    terminal.read_until(b"Quit")
    os.write(terminal.master, b"3")
    terminal.read_until(b"Resume")
    os.write(terminal.master, b"i")
    terminal.read_until(CELL)
    sent = terminal.received
    image = FIRST.search(sent)
    assert image is not None
    png = standard_b64decode(b"".join(PAYLOAD.findall(sent)))
    with Image.open(io.BytesIO(png)) as arrived:
        assert arrived.tobytes() == picture.tobytes()
    assert b"\x1b[38;5;" + image[1] + b"m" + CELL in sent
    terminal.forget()
    os.write(terminal.master, b"?")
    terminal.read_until(b"esc closes")
    os.write(terminal.master, b"\x1b")
    terminal.read_until(b"Quit")
    assert "\N{REPLACEMENT CHARACTER}".encode() not in terminal.received  # cells under and around the help stay cells
    os.write(terminal.master, b"q")
    assert terminal.exit_code() == 0
    assert b"\x1b_Ga=d,d=I,i=" + image[1] in terminal.received


def test_another_terminal_is_sent_no_graphics(runs: RunField, start: Start) -> None:
    with_a_picture(runs)
    terminal = start(TERM="xterm-256color", TMUX="", KITTY_WINDOW_ID="", TERM_PROGRAM="")
    terminal.read_until(b"drawn")
    terminal.read_until(b"Quit")
    os.write(terminal.master, b"3")
    terminal.read_until(b"Resume")
    os.write(terminal.master, b"i")
    terminal.read_until("▀".encode())
    os.write(terminal.master, b"q")
    assert terminal.exit_code() == 0
    assert b"\x1b_G" not in terminal.received


def test_from_a_runs_page_the_pixels_arrive_too(runs: RunField, start: Start) -> None:
    with_a_picture(runs)
    terminal = start(TERM="xterm-kitty", TMUX="", KITTY_WINDOW_ID="", SDXL_TUI_PICTURES="auto")
    terminal.read_until(b"drawn")
    terminal.read_until(b"Quit")
    os.write(terminal.master, b"/drawn\r")
    terminal.read_until(b"1 of 3")
    time.sleep(0.5)
    os.write(terminal.master, b"\r")
    terminal.read_until(b"Loss")
    os.write(terminal.master, b"i")
    terminal.read_until(CELL)
    image = FIRST.search(terminal.received)
    assert image is not None
    terminal.read_until(b"step 200")
    os.write(terminal.master, b"q")
    assert terminal.exit_code() == 0
    assert b"\x1b_Ga=d,d=I,i=" + image[1] in terminal.received
