"""Any part of what a run's engine printed, over all its attempts: pages around a line, and searches. Call it in threads.

A page is read in one block before its line and one after it, so that a log of gigabytes costs what is looked at. A search goes
through the files block by block, says how far it is, and can be given up.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Final

from engine.run.layout import RunDirectory
from sdxl_tui.fleet.log_tail import LINE_BYTES, LogLine, LogPlace, attempt_heading, attempts_of
from sdxl_tui.terminal.clean import clean_line

PAGE_LINES: Final = 1000
"""Lines of a page before its line at most, and as many from it on."""
PAGE_BYTES: Final = 1 << 19
"""Read at most for each of the two."""
BLOCK: Final = 1 << 20
"""Searched at a time."""
OVERLAP: Final = 1 << 12
"""A match is found whole if it is no longer than this, wherever blocks end."""
LINE_SEARCH: Final = 1 << 16
"""How far before a match the beginning of its line is looked for."""


@dataclass(frozen=True)
class LogPattern:
    """What a line is looked for by.

    needles: one of them, in lower case, stands in whatever matches: a block with none is passed over without trying, which is
    many times as fast.
    """

    pattern: re.Pattern[bytes]
    needles: tuple[bytes, ...]

    @classmethod
    def of(cls, text: str) -> LogPattern:
        """These very characters; letters from a to z in either case."""
        data = text.encode("utf-8", "surrogateescape")
        return cls(re.compile(re.escape(data), re.IGNORECASE), (data.lower(),))


@dataclass(frozen=True)
class LogPage:
    """Lines that follow each other. Each but the headings has its place."""

    lines: tuple[LogLine, ...]
    begins: bool
    """Nothing was printed before them."""
    ends: bool
    """Nothing had been printed after them when they were read."""


@dataclass(frozen=True)
class Found:
    """Where a search ended. place: None: no line matches. around: it went on from the other end."""

    place: LogPlace | None
    around: bool = False


@dataclass(frozen=True)
class _Stretch:
    """Whole lines of one file."""

    attempt: int
    begin: int
    end: int
    around: bool


class LogPages:
    """The log of ``run``. Nothing is kept between calls: a file that was replaced is met as it is."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run

    def around(self, place: LogPlace) -> LogPage:
        """The lines before and after the beginning of the line at ``place``."""
        before, begins = self._before(place)
        after, ends = self._from(place)
        return LogPage((*before, *after), begins, ends)

    def search(
        self,
        pattern: LogPattern,
        start: LogPlace | None,
        *,
        backwards: bool = False,
        tell: Callable[[float], None] = lambda share: None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> Found | None:
        """The next line after that at ``start`` (before it) in which ``pattern`` is found, else from the other end on.

        start: None is before everything. tell: called with the share of the log that has been looked through. None if it
        was given up.
        """
        stretches = self._stretches(start, backwards=backwards)
        total, looked = sum(one.end - one.begin for one in stretches) or 1, 0
        for stretch in stretches:
            try:
                with self._run.attempt(stretch.attempt).log.open("rb") as file:
                    begins = range(stretch.begin, stretch.end, BLOCK)
                    for begin in reversed(begins) if backwards else begins:
                        if is_cancelled():
                            return None
                        end = min(stretch.end, begin + BLOCK)
                        if (at := _match(file, begin, end, pattern, last=backwards)) is not None:
                            return Found(
                                LogPlace(stretch.attempt, _line_start(file, at, stretch.begin)), stretch.around
                            )
                        looked += end - begin
                        tell(looked / total)
            except OSError:
                continue
        return Found(None)

    def _stretches(self, start: LogPlace | None, *, backwards: bool) -> list[_Stretch]:
        """All that is searched, in this order: up to the end, then from the other one back to the start."""
        at = start or LogPlace(0, 0)
        cut = at.offset if backwards else self._line_end(at)
        ahead, behind = [], []
        for number in attempts_of(self._run):
            size = self._size(number)
            split = min(size, cut) if number == at.attempt else size if number < at.attempt else 0
            behind.append(_Stretch(number, 0, split, around=not backwards))
            ahead.append(_Stretch(number, split, size, around=backwards))
        order = [*reversed(behind), *reversed(ahead)] if backwards else [*ahead, *behind]
        return [stretch for stretch in order if stretch.begin < stretch.end]

    def _line_end(self, place: LogPlace) -> int:
        """Where the line after that at ``place`` begins."""
        try:
            with self._run.attempt(place.attempt).log.open("rb") as file:
                file.seek(place.offset)
                while block := file.readline(BLOCK):
                    if block.endswith(b"\n"):
                        break
                return file.tell()
        except OSError:
            return 0

    def _size(self, number: int) -> int:
        try:
            return self._run.attempt(number).log.stat().st_size
        except OSError:
            return 0

    def _before(self, place: LogPlace) -> tuple[list[LogLine], bool]:
        """The lines before ``place``, and whether these are all."""
        found: list[LogLine] = []
        room = PAGE_BYTES
        for number in reversed([one for one in attempts_of(self._run) if one <= place.attempt]):
            end = place.offset if number == place.attempt else self._size(number)
            begin = max(0, end - room)
            lines = self._read(number, begin, end)
            if begin and lines and (found or len(lines) > 1):
                del lines[0]  # its beginning was not read
            heading = [] if begin or number == 1 else [attempt_heading(number)]
            found = [*heading, *lines, *found]
            room -= end - begin
            if begin or len(found) > PAGE_LINES:
                return found[-PAGE_LINES:], False
        return found, True

    def _from(self, place: LogPlace) -> tuple[list[LogLine], bool]:
        """The line at ``place`` and those after it, and whether these are all."""
        found: list[LogLine] = []
        room = PAGE_BYTES
        for number in [one for one in attempts_of(self._run) if one >= place.attempt]:
            begin = place.offset if number == place.attempt else 0
            size = self._size(number)
            end = min(size, begin + room)
            lines = self._read(number, begin, end)
            if end < size and lines and (found or len(lines) > 1):
                del lines[-1]  # its end was not read
            found += [attempt_heading(number), *lines] if number > max(1, place.attempt) else lines
            room -= end - begin
            if end < size or len(found) > PAGE_LINES:
                return found[:PAGE_LINES], False
        return found, True

    def _read(self, number: int, begin: int, end: int) -> list[LogLine]:
        """The lines between two bytes; the first and the last may be parts."""
        try:
            with self._run.attempt(number).log.open("rb") as file:
                file.seek(begin)
                pieces = file.read(max(0, end - begin)).split(b"\n")
        except OSError:
            return []
        if not pieces[-1]:
            del pieces[-1]
        lines, offset = [], begin
        for piece in pieces:
            lines.append(LogLine(clean_line(piece, limit=LINE_BYTES), place=LogPlace(number, offset)))
            offset += len(piece) + 1
        return lines


def _match(file: BinaryIO, begin: int, end: int, pattern: LogPattern, *, last: bool) -> int | None:
    """Where the first (last) match begins that begins in these bytes; what stands around them is seen, too."""
    before = min(begin, OVERLAP)
    file.seek(begin - before)
    data = file.read(before + end - begin + OVERLAP)
    lower = data.lower()
    if not any(needle in lower for needle in pattern.needles):
        return None
    found = None
    for match in pattern.pattern.finditer(data, before):
        if match.start() >= before + end - begin:
            break
        found = begin - before + match.start()
        if not last:
            break
    return found


def _line_start(file: BinaryIO, at: int, begin: int) -> int:
    """Where the line begins that byte ``at`` is in; of an endless one, a place not far before it."""
    first = max(begin, at - LINE_SEARCH)
    file.seek(first)
    line_end = file.read(at - first).rfind(b"\n")
    if line_end >= 0:
        return first + line_end + 1
    return first if first == begin else max(begin, at - LINE_BYTES // 2)
