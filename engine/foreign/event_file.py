"""A TensorBoard event file, followed as it grows: the scalars in it, whatever else lies between them.

The file is a row of records (TensorFlow's ``record_writer``): the length of the data (8 bytes), its masked CRC-32C (4), the data,
their masked CRC-32C (4). A length counts only where its checksum is right, and long data are stepped over unread, so that no
number in a file decides how much memory is taken. Damaged data are passed over and counted; where even the lengths are damaged,
reading goes on at the next record that can be found.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from engine.foreign.crc32c import masked_crc32c
from engine.foreign.event_record import Reading, RecordError, readings

POLL_BYTES: Final = 1024 * 1024
SCALAR_BYTES: Final = 64 * 1024
"""Longer records hold pictures, texts or graphs; they are not looked at."""
_HEAD: Final = struct.Struct("<QI")
_SUM: Final = struct.Struct("<I")
_FRAME: Final = _HEAD.size + _SUM.size
_FINGERPRINT_BYTES: Final = 64
_SHORT_LENGTH: Final = re.compile(rb"(?=..[\x00-\x03]\x00{5}(?!\x00{4}).{4})", re.DOTALL)
"""Where the head of a record of less than 256 KB may begin; not in a stretch of zeros."""


class EventFile:
    """Follows one file: each ``poll`` returns what was completed since the one before. Used by one thread at a time."""

    def __init__(self, path: Path, *, budget: int = POLL_BYTES) -> None:
        """budget: bytes that one poll reads at most."""
        self.path = path
        self.damaged = 0
        """Records so far that were passed over because their checksums or their content are wrong."""
        self.restarted = False
        """The last poll found another file under the name (truncated or replaced): earlier readings are void."""
        self.caught_up = True
        """The last poll reached the end; if False, there is more to read right now."""
        self.problem = ""
        """Why the last poll could not read it, in a few words; empty if it could."""
        self._budget = max(budget, 2 * (SCALAR_BYTES + _FRAME))
        self._begin()

    def _begin(self) -> None:
        self._offset = 0
        self._is_lost = False
        """The next record has to be searched for."""
        self._identity: tuple[int, int] | None = None
        self._fingerprint = b""
        self.damaged = 0

    def poll(self) -> list[Reading]:
        """What was added, oldest first; nothing while the file is missing or cannot be read."""
        self.restarted, self.caught_up, self.problem = False, True, ""
        try:
            descriptor = open_to_read(self.path)
        except OSError as error:
            self.problem = error.strerror or "it cannot be read"
            return []
        try:
            return self._read(descriptor)
        except OSError as error:
            self.problem = error.strerror or "it cannot be read"
            return []
        finally:
            os.close(descriptor)

    def _read(self, descriptor: int) -> list[Reading]:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            self.problem = "it is no file"
            return []
        identity, head = (found.st_dev, found.st_ino), os.pread(descriptor, _FINGERPRINT_BYTES, 0)
        if self._identity is not None and (
            identity != self._identity or found.st_size < self._offset or not head.startswith(self._fingerprint)
        ):
            self._begin()
            self.restarted = True
        self._identity, self._fingerprint = identity, head
        if self._offset >= found.st_size:
            return []
        chunk = os.pread(descriptor, self._budget, self._offset)
        taken: list[Reading] = []
        used = self._take(chunk, taken, found.st_size - self._offset)
        self._offset += used
        self.caught_up = self._offset + len(chunk) - used >= found.st_size or not used
        return taken

    def _take(self, chunk: bytes, taken: list[Reading], there: int) -> int:
        """Read the records in ``chunk``, which begins at the offset; how many bytes are done with. there: bytes up to the end."""
        at = 0
        while True:
            if self._is_lost:
                at = _next_head(chunk, at)
                self._is_lost = at + _HEAD.size > len(chunk)
            if at + _HEAD.size > len(chunk):
                return at
            length: int
            length, checksum = _HEAD.unpack_from(chunk, at)
            if masked_crc32c(chunk[at : at + 8]) != checksum:
                self.damaged += 1
                self._is_lost = True
                at += 1
                continue
            end: int = at + _FRAME + length
            if length > SCALAR_BYTES:
                if end > there:
                    return at  # it is still being written, or cut off for good
                at = end
                if at >= len(chunk):
                    return at
                continue
            if end > len(chunk):
                return at
            data = chunk[at + _HEAD.size : end - _SUM.size]
            at = end
            if masked_crc32c(data) != _SUM.unpack_from(chunk, end - _SUM.size)[0]:
                self.damaged += 1
                continue
            try:
                taken += readings(data)
            except RecordError:
                self.damaged += 1


def readings_near(descriptor: int, offset: int, size: int) -> list[Reading]:
    """What the whole records within ``size`` bytes from ``offset`` hold: a look into the middle of a file of any length."""
    chunk = os.pread(descriptor, size, offset)
    return [reading for record in _records_in(chunk, is_start=offset == 0) for reading in record]


def _records_in(chunk: bytes, *, is_start: bool) -> Iterator[list[Reading]]:
    at = 0 if is_start else _next_head(chunk, 0)
    while at + _FRAME <= len(chunk):
        length, checksum = _HEAD.unpack_from(chunk, at)
        if masked_crc32c(chunk[at : at + 8]) != checksum:
            at = _next_head(chunk, at + 1)
            continue
        end = at + _FRAME + length
        if end > len(chunk):
            return
        data = chunk[at + _HEAD.size : end - _SUM.size]
        if length <= SCALAR_BYTES and masked_crc32c(data) == _SUM.unpack_from(chunk, end - _SUM.size)[0]:
            with contextlib.suppress(RecordError):
                yield readings(data)
        at = end


def _next_head(chunk: bytes, at: int) -> int:
    """Where the next record of moderate length begins; where there is none, where one may begin that is not all there yet."""
    for match in _SHORT_LENGTH.finditer(chunk, at):
        place = match.start()
        if masked_crc32c(chunk[place : place + 8]) == _SUM.unpack_from(chunk, place + 8)[0]:
            return place
    return max(at, len(chunk) - _HEAD.size + 1)


def open_to_read(path: Path) -> int:
    """A descriptor of the file; a FIFO is not waited for. Raises ``OSError``."""
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
