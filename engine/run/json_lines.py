"""JSON lines on disk: a writer that a full disk cannot stop, and a reader that follows a growing file.

The reader remembers an offset and takes whole lines only. It opens the file anew at each poll and never maps it, so a file
that is truncated, replaced or deleted while it looks is met as it is (a mapping would end the process with SIGBUS).
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from engine.durable import append_json_line, open_for_appending

POLL_BYTES: Final = 4 * 1024 * 1024
FINGERPRINT_BYTES: Final = 64

_DECODER: Final = json.JSONDecoder(parse_constant=lambda _: None)


def finite(value: object) -> Any:
    """``value`` with every NaN and infinity in it replaced by None: JSON has neither."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


class JsonLinesWriter:
    """Appends records to ``path``, each in one write. What the disk refuses is counted in ``lost``, never raised."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lost = 0
        self._descriptor: int | None = None

    def write(self, record: Mapping[str, Any]) -> bool:
        """Append one record; False if it is lost (disk full, folder gone). Values that are not finite become null."""
        try:
            if self._descriptor is None:
                self._descriptor = open_for_appending(self.path)
            append_json_line(self._descriptor, finite(record))
        except OSError:
            # Reopening ends a line that was cut short, so that the next record stands on its own.
            self.close()
            self.lost += 1
            return False
        return True

    def sync(self) -> None:
        """Bring what is written to the disk, as far as the disk lets us. Another thread may do it beside the writing."""
        descriptor = self._descriptor
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.fdatasync(descriptor)

    def close(self) -> None:
        """Close the file; the next ``write`` opens it again."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None


class JsonLines:
    """Follows a JSON-lines file: each ``poll`` returns the records that were completed since the one before.

    A last line without its newline waits for the rest. Lines that are no JSON are counted in ``unreadable``, objects are
    returned, other values are passed over. ``poll`` reads at most ``budget`` bytes; a line longer than that is given up.
    """

    def __init__(self, path: Path, *, budget: int = POLL_BYTES) -> None:
        self.path = path
        self.unreadable = 0
        self.restarted = False
        """The last poll found another file under the name (truncated or replaced): earlier records are void."""
        self.caught_up = True
        """The last poll reached the end; if False, there is more to read right now."""
        self._budget = budget
        self._begin()

    def _begin(self) -> None:
        self._offset = 0
        self._identity: tuple[int, int] | None = None
        self._fingerprint = b""
        self._skipping = False

    def poll(self) -> list[dict[str, Any]]:
        """The records completed since the last poll, oldest first; none while the file is missing or unreadable."""
        self.restarted = False
        self.caught_up = True
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return []
        try:
            return self._read(descriptor)
        except OSError:
            return []
        finally:
            os.close(descriptor)

    def _read(self, descriptor: int) -> list[dict[str, Any]]:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return []
        self._begin_anew_if_replaced(descriptor, found)
        if found.st_size <= self._offset:
            return []
        chunk = os.pread(descriptor, self._budget, self._offset)
        end = chunk.rfind(b"\n") + 1
        if end == 0:
            if len(chunk) == self._budget:
                self._offset += len(chunk)
                self._skipping = True
                self.caught_up = False
            return []
        lines = chunk[:end].split(b"\n")
        lines.pop()
        if self._skipping:
            self.unreadable += 1
            self._skipping = False
            del lines[0]
        self._offset += end
        self.caught_up = len(chunk) < self._budget
        records, unreadable = _parse(lines)
        self.unreadable += unreadable
        return records

    def _begin_anew_if_replaced(self, descriptor: int, found: os.stat_result) -> None:
        identity = (found.st_dev, found.st_ino)
        head = os.pread(descriptor, FINGERPRINT_BYTES, 0)
        if self._identity is not None and (
            identity != self._identity or found.st_size < self._offset or not head.startswith(self._fingerprint)
        ):
            self._begin()
            self.restarted = True
        self._identity = identity
        self._fingerprint = head


def parse_line(line: bytes) -> dict[str, Any] | None:
    """The object in ``line``; None of another value. Raises ``ValueError`` or ``RecursionError`` if it is no JSON."""
    value = _DECODER.decode(line.decode("utf-8", "replace"))
    return value if isinstance(value, dict) else None


def _parse(lines: Iterable[bytes]) -> tuple[list[dict[str, Any]], int]:
    """The objects in ``lines``, and how many lines were no JSON."""
    records, unreadable = [], 0
    for line in lines:
        try:
            record = parse_line(line)
        except (ValueError, RecursionError):
            unreadable += bool(line.strip())
            continue
        if record is not None:
            records.append(record)
    return records, unreadable


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Every readable record in ``path``; none if there is no such file."""
    reader = JsonLines(path)
    records = reader.poll()
    while not reader.caught_up:
        records += reader.poll()
    return records


def read_last_json_lines(path: Path, *, tail: int = 16_384, containing: Sequence[bytes] = ()) -> list[dict[str, Any]]:
    """The records in the last ``tail`` bytes of ``path``, oldest first: cheap however long the file is.

    containing: only lines with one of these in their text are parsed.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        start = max(0, os.fstat(descriptor).st_size - tail)
        lines = os.pread(descriptor, tail, start).split(b"\n")
    except OSError:
        return []
    finally:
        os.close(descriptor)
    # The first line may be cut off by where we began, the last is not complete without its newline.
    whole = lines[bool(start) : -1]
    return _parse(line for line in whole if not containing or any(text in line for text in containing))[0]
