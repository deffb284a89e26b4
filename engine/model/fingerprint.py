"""Identifies files of weights by their content, fast even at 10 GB.

A fingerprint covers every byte of a small file. Of a large one it covers the size, the start (for safetensors the header with
every tensor's name, type, shape and place) and 64 evenly spread samples of 64 KiB. Two checkpoints of one architecture
differ in practically every tensor, so samples tell them apart; it is no protection against someone who edits a few
bytes between the samples on purpose.
"""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path

from engine.model.safetensors_header import Header

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


def fingerprint_tensors(header: Header, names: Iterable[str]) -> str:
    """Hex SHA-256 over the names, types, shapes and contents of some tensors of a file, wherever in it they lie.

    More than ``WHOLE_LIMIT`` bytes are sampled like a large file: the tensors, in the order of their names, are the whole.
    """
    digest = hashlib.sha256()
    entries = [(name, header.tensors[name]) for name in sorted(names)]
    for name, entry in entries:
        digest.update(f"{name}\0{entry.dtype}\0{entry.shape}\0".encode("utf-8", "surrogateescape"))
    ends = list(accumulate(entry.end - entry.start for _, entry in entries))
    size = ends[-1] if ends else 0
    whole = size <= WHOLE_LIMIT
    offsets = [0] if whole else [(size - SAMPLE) * index // (SAMPLES - 1) for index in range(SAMPLES)]
    with header.path.open("rb") as stream:
        for offset in offsets:
            wanted = size if whole else SAMPLE
            index = bisect_right(ends, offset)
            while wanted and index < len(entries):
                entry = entries[index][1]
                place = entry.end - (ends[index] - offset)
                count = min(wanted, entry.end - place)
                stream.seek(place)
                digest.update(stream.read(count))
                offset, wanted, index = offset + count, wanted - count, index + 1  # noqa: PLW2901
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
