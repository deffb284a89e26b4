"""The end of what a run's engine printed, over all its attempts, followed while it grows. Bounded whatever the files hold.

A log is opened anew at each look and read in blocks from its end, so that one of gigabytes, or one that is emptied or deleted
meanwhile, is met as it is. The last line may be unfinished: a progress bar is shown as it stands.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from engine.run.layout import RunDirectory
from sdxl_tui.terminal.clean import clean_line

LINES: Final = 2000
LINE_BYTES: Final = 4096
TAIL_BYTES: Final = 512 * 1024
"""Bytes that one look reads at most; what came before them is left out."""


@dataclass(frozen=True, order=True)
class LogPlace:
    """Where a line begins: the attempt that printed it, and the byte in that attempt's log."""

    attempt: int
    offset: int


@dataclass(frozen=True)
class LogLine:
    """A line, safe to print. is_heading: not from the log, but said about it, and at no place of it."""

    text: str
    is_heading: bool = False
    place: LogPlace | None = None


def attempts_of(run: RunDirectory) -> list[int]:
    """The numbers of the run's attempts, from the first."""
    try:
        with os.scandir(run.attempts) as entries:
            return sorted(int(entry.name) for entry in entries if entry.name.isdecimal())
    except OSError:
        return []


def attempt_heading(number: int) -> LogLine:
    """Stands before what a later attempt printed."""
    return LogLine(f"attempt {number}", is_heading=True)


class LogTail:
    """``lines`` are the last ones; ``unfinished`` is what has been printed since the last line end."""

    def __init__(self, run: RunDirectory, *, lines: int = LINES, tail_bytes: int = TAIL_BYTES) -> None:
        self._run = run
        self._tail_bytes = tail_bytes
        self._attempt = 0
        self._offset = 0
        self._identity = (0, 0)
        self._line_start = 0
        """Where the line begins that is not finished yet."""
        self._rest = b""
        """Of that line, what has been printed since its last carriage return."""
        self.lines: deque[LogLine] = deque(maxlen=lines)
        self.unfinished = ""
        self.dropped = 0
        """Lines that were let go at the top: how far those that are left moved up."""

    def poll(self) -> bool:
        """Read on; whether anything is different from the last look."""
        before = self.dropped, len(self.lines), self.unfinished
        numbers = attempts_of(self._run)
        if numbers and not self._attempt:
            self._begin(numbers)
        for number in (number for number in numbers if number > self._attempt):
            self._read()
            self._settle()
            self._open(number)
        changed = self._read()
        return changed or before != (self.dropped, len(self.lines), self.unfinished)

    def _begin(self, numbers: list[int]) -> None:
        """Start with as many of the newest attempts as there is room for, the oldest of them first."""
        first, room = len(numbers), self._tail_bytes
        while first > 0 and room > 0:
            first -= 1
            room -= self._size(numbers[first])
        self._open(numbers[first])

    def _size(self, number: int) -> int:
        try:
            return self._run.attempt(number).log.stat().st_size
        except OSError:
            return 0

    def _open(self, number: int) -> None:
        if number > 1:
            self._add(attempt_heading(number))
        self._attempt, self._offset, self._line_start, self._rest, self._identity = number, 0, 0, b"", (0, 0)

    def _path(self) -> Path:
        return self._run.attempt(self._attempt).log

    def _read(self) -> bool:
        """Read what was added to the current log; whether it was begun anew."""
        if not self._attempt:
            return False
        try:
            with self._path().open("rb") as file:
                found = os.fstat(file.fileno())
                anew = self._is_another(found)
                if anew:
                    self._offset, self._line_start, self._rest = 0, 0, b""
                    self._add(LogLine("the log begins anew", is_heading=True))
                self._identity = (found.st_dev, found.st_ino)
                self._take(file, found.st_size)
        except OSError:
            return False
        return anew

    def _is_another(self, found: os.stat_result) -> bool:
        """Truncated or replaced since the last look."""
        known = self._identity
        return known != (0, 0) and (known != (found.st_dev, found.st_ino) or found.st_size < self._offset)

    def _take(self, file: BinaryIO, size: int) -> None:
        if size - self._offset > self._tail_bytes:
            skipped_to = size - self._tail_bytes
            file.seek(skipped_to)
            file.readline(self._tail_bytes)
            self._add(LogLine("… earlier lines are left out", is_heading=True))
            self._rest, self._offset = b"", file.tell()
            self._line_start = self._offset
        file.seek(self._offset)
        *whole, rest = file.read(self._tail_bytes).split(b"\n")
        for line in whole:
            self._add(self._line(self._rest + line))
            self._offset += len(line) + 1
            self._rest, self._line_start = b"", self._offset
        self._offset += len(rest)
        rest = self._rest + rest
        self._rest = rest[rest.rstrip(b"\r").rfind(b"\r") + 1 :][-self._tail_bytes :]
        self.unfinished = clean_line(self._rest, limit=LINE_BYTES)

    def _settle(self) -> None:
        """The log is over: its last line is one, line end or not."""
        if self._rest:
            self._add(self._line(self._rest))
        self._rest, self.unfinished = b"", ""

    def _line(self, data: bytes) -> LogLine:
        return LogLine(clean_line(data, limit=LINE_BYTES), place=LogPlace(self._attempt, self._line_start))

    def _add(self, line: LogLine) -> None:
        if len(self.lines) == self.lines.maxlen:
            self.dropped += 1
        self.lines.append(line)
