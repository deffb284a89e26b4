"""Pictures in the terminal's memory: sent once each, by turns with what else the screen says, and taken away at the end.

``Pictures`` belongs to an app (``pictures_of``). It is used from threads: a transmission waits for the terminal.
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

from textual.app import App

from sdxl_tui.terminal.graphics import BLOCKS, Graphics, find_graphics
from sdxl_tui.terminal.kitty import ABANDONED, IDS, MARKS, removal, through_tmux, transmission

KEPT: Final = 48
"""Pictures that the terminal holds at a time; the one longest not shown goes first."""
USUAL_CELL: Final = (10, 20)
"""Pixels of a cell where the terminal does not say, as in tmux."""
PAUSE: Final = 0.005
"""Seconds between two looks at whether the terminal has taken what it was sent."""
LONGEST: Final = len(MARKS)
"""Cells across, or lines, that a picture can have."""


@dataclass(frozen=True)
class PngPicture:
    """A picture as it is sent, and the room it has."""

    png: bytes
    columns: int
    rows: int


@dataclass(frozen=True)
class PlacedPicture:
    """A picture that the terminal holds."""

    image: int
    columns: int
    rows: int


class Pictures:
    """write: to the terminal, past the frames; backlog: of what was written, how much waits for the terminal."""

    def __init__(self, write: Callable[[str], None], backlog: Callable[[], int]) -> None:
        self._write = write
        self._backlog = backlog
        self._one_at_a_time = threading.Lock()
        self._held: OrderedDict[object, PlacedPicture] = OrderedDict()
        self._graphics = BLOCKS

    def graphics(self) -> Graphics:
        """What the terminal can show now; on another screen than before nothing is held. Call it in a thread."""
        found = find_graphics()
        with self._one_at_a_time:
            if found != self._graphics:
                self._graphics = found
                self._held.clear()
        return found

    def held(self, key: object) -> PlacedPicture | None:
        """The picture that was placed as ``key``, if the terminal still has it."""
        with self._one_at_a_time:
            return self._found(key)

    def place(self, key: object, picture: PngPicture, is_cancelled: Callable[[], bool]) -> PlacedPicture | None:
        """Send ``picture`` unless the terminal has it; None if it is not wanted any more before all of it was sent.

        key: what it is: file, time, size. Returns once the terminal has taken all of it.
        """
        with self._one_at_a_time:
            if (found := self._found(key)) is not None:
                return found
            placed = PlacedPicture(self._free_id(), picture.columns, picture.rows)
            for command in transmission(placed.image, picture.png, picture.columns, picture.rows):
                while self._backlog() and not is_cancelled():
                    time.sleep(PAUSE)
                if is_cancelled():
                    self._send(ABANDONED)
                    self._send(removal(placed.image))
                    return None
                self._send(command)
            self._held[key] = placed
            return placed

    def remove_all(self) -> None:
        """Leave nothing in the terminal's memory."""
        if self._one_at_a_time.acquire(timeout=1.0):
            try:
                while self._held:
                    self._send(removal(self._held.popitem()[1].image))
            finally:
                self._one_at_a_time.release()

    def _found(self, key: object) -> PlacedPicture | None:
        found = self._held.get(key)
        if found is not None:
            self._held.move_to_end(key)
        return found

    def _free_id(self) -> int:
        if len(self._held) >= KEPT:
            self._send(removal(self._held.popitem(last=False)[1].image))
        taken = {placed.image for placed in self._held.values()}
        return next(image for image in IDS if image not in taken)

    def _send(self, command: str) -> None:
        self._write(through_tmux(command) if self._graphics.tmux else command)


_pictures: WeakKeyDictionary[App[Any], Pictures] = WeakKeyDictionary()


def pictures_of(app: App[Any]) -> Pictures:
    """The pictures of ``app``'s terminal."""
    return _pictures.setdefault(app, Pictures(lambda text: _write(app, text), lambda: _backlog(app)))


def remove_pictures(app: App[Any]) -> None:
    """At the end: take away what ``app`` has placed, if anything."""
    if (pictures := _pictures.pop(app, None)) is not None:
        pictures.remove_all()


def _write(app: App[Any], text: str) -> None:
    driver = app._driver
    if driver is not None and not app.is_headless:
        driver.write(text)


def _backlog(app: App[Any]) -> int:
    """Writes that wait in Textual's writer; its queue is of 30, and a full one would stop the keys."""
    waiting = getattr(getattr(app._driver, "_writer_thread", None), "_queue", None)
    return 0 if waiting is None else int(waiting.qsize())


def cell_size() -> tuple[int, int]:
    """Width and height of a cell in pixels; the usual ones where the terminal does not say."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return USUAL_CELL
    try:
        answer = fcntl.ioctl(terminal, termios.TIOCGWINSZ, bytes(8))
    except OSError:
        return USUAL_CELL
    finally:
        os.close(terminal)
    lines, columns, width, height = struct.unpack("4H", answer)
    if not (lines and columns and width >= columns and height >= lines):
        return USUAL_CELL
    return width // columns, height // lines
