"""CRC-32C (Castagnoli), with which TensorFlow's record files are checked: RFC 3720, appendix B.4.

Two tables of 65,536 entries take four bytes a turn: in plain Python this is what a million small records can be checked with in
seconds. They take half a megabyte each and are made when first needed.
"""

from __future__ import annotations

import struct
from array import array
from functools import cache
from typing import Final

_POLYNOMIAL: Final = 0x82F63B78
"""Reflected."""
_MASK_DELTA: Final = 0xA282EAD8
_WORDS: Final = tuple(struct.Struct(f"<{count}I") for count in range(33))
_CHUNK: Final = 4 * (len(_WORDS) - 1)


def crc32c(data: bytes) -> int:
    """The checksum of ``data``, 0 to 2³²-1."""
    near, far = _tables()
    crc = 0xFFFFFFFF
    for at in range(0, len(data), _CHUNK):
        count = min(_CHUNK, len(data) - at) // 4
        for word in _WORDS[count].unpack_from(data, at):
            crc ^= word
            crc = far[crc & 0xFFFF] ^ near[crc >> 16]
    for byte in data[len(data) & ~3 :]:
        # A byte alone, by the table of two: what stands above it is shifted out at once.
        crc ^= byte
        crc = near[(crc & 0xFF) << 8] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def masked_crc32c(data: bytes) -> int:
    """As it stands in the files: a checksum of data that hold checksums would not be a good one."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


@cache
def _tables() -> tuple[array[int], array[int]]:
    """What 16 bits do to the sum, and what they do to it when 16 bits follow."""
    ones = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
        ones.append(crc)
    near = array("L", bytes(array("L").itemsize * 65_536))
    for value in range(65_536):
        crc = ones[value & 0xFF] ^ (value >> 8)
        near[value] = ones[crc & 0xFF] ^ (crc >> 8)
    far = array("L", (near[crc & 0xFFFF] ^ (crc >> 16) for crc in near))
    return near, far
