"""Reading an engine's log while it is written: whole lines, cleaned, with a bound on what is held of an endless one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from sdxl_tui.terminal.clean import clean_line

BLOCK: Final = 1 << 20
HELD: Final = 1 << 16
"""Bytes of an unfinished line that are kept; what comes after is read and forgotten until the line ends."""


class LogLines:
    """New lines of a log since the last call. A file that is not there yet has none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._unfinished = b""
        self._forgotten = 0

    def skip_all_but(self, count: int) -> None:
        """Begin with the last ``count`` lines that are there now; read backwards, so that a huge log costs nothing."""
        try:
            with self._path.open("rb") as file:
                self._offset = _start_of_last_lines(file, count)
        except FileNotFoundError:
            return

    def new_lines(self) -> Iterator[str]:
        """The lines finished since the last call, cleaned."""
        for block in self._new_blocks():
            *finished, unfinished = block.split(b"\n")
            for part in finished:
                yield self._finish(part)
            self._hold(unfinished)

    def rest(self) -> Iterator[str]:
        """The last line, which nobody will finish any more; nothing if there is none."""
        yield from self.new_lines()
        if self._unfinished:
            yield self._finish(b"")

    def _new_blocks(self) -> Iterator[bytes]:
        try:
            with self._path.open("rb") as file:
                if file.seek(0, 2) < self._offset:  # somebody emptied it
                    self._offset = 0
                file.seek(self._offset)
                while block := file.read(BLOCK):
                    self._offset += len(block)
                    yield block
        except FileNotFoundError:
            return

    def _hold(self, part: bytes) -> None:
        """Keep what a line shows: the beginning of what follows its last carriage return."""
        held = self._unfinished + part
        start = held.rfind(b"\r", 0, len(held.rstrip(b"\r"))) + 1
        self._forgotten = max(0, len(held) - start - HELD) + (0 if start else self._forgotten)
        self._unfinished = held[start : start + HELD]

    def _finish(self, part: bytes) -> str:
        self._hold(part)
        line, forgotten = self._unfinished, self._forgotten
        self._unfinished, self._forgotten = b"", 0
        return clean_line(line, unread=forgotten)


def _start_of_last_lines(file: BinaryIO, count: int) -> int:
    """The offset at which the last ``count`` lines of ``file`` begin; a last line needs no line end."""
    end = start = file.seek(0, 2)
    found = 0
    while start > 0 and count > 0:
        start = max(0, start - BLOCK)
        file.seek(start)
        block = file.read(min(BLOCK, end - start))
        position = len(block)
        while (position := block.rfind(b"\n", 0, position)) >= 0:
            found += start + position < end - 1
            if found == count:
                return start + position + 1
    return start
