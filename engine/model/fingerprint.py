"""Identifies files of weights by their content, fast even at 10 GB.

A fingerprint covers every byte of a small file. Of a large one it covers the size, the start (for safetensors the header with
every tensor's name, type, shape and place) and 64 evenly spread samples of 64 KiB. Two checkpoints of one architecture
differ in practically every tensor, so samples tell them apart; it is no protection against someone who edits a few
bytes between the samples on purpose.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

WHOLE_LIMIT = 8 << 20
START = 2 << 20
SAMPLES = 64
SAMPLE = 64 << 10


def fingerprint(files: Iterable[Path], *, relative_to: Path) -> str:
    """Hex SHA-256 over the names (relative to a folder) and contents of ``files``, in the order of their names."""
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.relative_to(relative_to).as_posix().encode("utf-8", "surrogateescape") + b"\0")
        digest.update(_content_digest(file))
    return digest.hexdigest()


def _content_digest(file: Path) -> bytes:
    """SHA-256 of the file's size and of the parts that stand for its content."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        digest.update(size.to_bytes(8, "little"))
        for offset, length in _parts(size):
            stream.seek(offset)
            digest.update(stream.read(length))
    return digest.digest()


def _parts(size: int) -> list[tuple[int, int]]:
    """The (offset, length) of what is read of a file of ``size`` bytes; the last sample ends where the file does."""
    if size <= WHOLE_LIMIT:
        return [(0, size)]
    spread = size - START - SAMPLE
    return [(0, START), *((START + spread * index // (SAMPLES - 1), SAMPLE) for index in range(SAMPLES))]
