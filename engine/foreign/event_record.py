"""One record of a TensorBoard event file: the scalars of an ``Event`` message, and where a restart says it begins.

Read by hand from the wire format of protocol buffers; the messages are TensorFlow's ``event.proto``, ``summary.proto`` and
``tensor.proto``. Whatever is not a scalar (pictures, texts, histograms, graphs) is passed over.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

LARGEST: Final = 1e100
"""Numbers beyond are no measurements, and sums of them no numbers."""
TAG_BYTES: Final = 512
"""Longer names of a scalar are cut."""


class Reading(NamedTuple):
    """One value of one scalar."""

    time: float
    """Unix seconds; 0 where it is not known."""
    step: int
    tag: str | None
    """The scalar's name, as it was written: not safe to print. None: a writer begins anew here, and whatever was recorded at this
    step or after it is void (TensorBoard's ``purge_step``)."""
    value: float
    """NaN where it is no finite number."""


class RecordError(ValueError):
    """Bytes that are no ``Event``."""


_DOUBLE: Final = struct.Struct("<d")
_FLOAT: Final = struct.Struct("<f")
_COMMON: Final = re.compile(
    rb"\x09(.{8})(?:\x10([\x80-\xff]{0,8}[\x00-\x7f]))?\x2a(.)\x0a(.)\x0a(.)(.*)\x15(.{4})", re.DOTALL
)
"""What torch's ``add_scalar`` writes: wall time, step, and a summary of one value with a short name and a ``simple_value``."""
_SESSION_START: Final = 1
_TENSOR_FORMATS: Final = {1: "f", 2: "d", 3: "i", 9: "q"}
"""``DataType`` to a letter of ``struct``: float, double, int32, int64."""


def readings(record: bytes) -> list[Reading]:
    """The scalars in a record, in its order. Raises ``RecordError`` for bytes that are no ``Event``."""
    match = _COMMON.fullmatch(record)
    if match is not None:
        time, step, summary, value, length, tag, number = match.groups()
        if length[0] == len(tag) and value[0] == len(tag) + 7 and summary[0] == len(tag) + 9 < 128:
            made = 0
            for byte in reversed(step or b"\0"):
                made = made << 7 | byte & 0x7F
            found = _FLOAT.unpack(number)[0]
            moment = _moment(_DOUBLE.unpack(time)[0])
            return [Reading(moment, made, _name(tag), found if math.isfinite(found) else math.nan)]
    return _event(record)


def _event(record: bytes) -> list[Reading]:
    """The same of any other layout."""
    time, step, restarts = 0.0, 0, False
    scalars: list[tuple[str, float]] = []
    for field, value in _fields(record):
        if field == 1 and isinstance(value, bytes) and len(value) == 8:
            time = _DOUBLE.unpack(value)[0]
        elif field == 2 and isinstance(value, int):
            step = value - (1 << 64) if value >> 63 else value
        elif field == 5 and isinstance(value, bytes):
            scalars += (scalar for inner, each in _fields(value) if inner == 1 and (scalar := _scalar(each)))
        elif field == 7 and isinstance(value, bytes):
            restarts = (1, _SESSION_START) in _fields(value)
    time = _moment(time)
    begins = [Reading(time, step, None, math.nan)] if restarts else []
    return [*begins, *(Reading(time, step, tag, value) for tag, value in scalars)]


def _moment(time: float) -> float:
    """Unix seconds, as far as clocks go; 0 for what is none."""
    return time if 0 <= time < 1e11 else 0.0


def _scalar(value: int | bytes) -> tuple[str, float] | None:
    """(name, number) of a ``Summary.Value``; None of one that is no scalar."""
    if not isinstance(value, bytes):
        return None
    tag, number = "", None
    for field, content in _fields(value):
        if field == 1 and isinstance(content, bytes):
            tag = _name(content)
        elif field == 2 and isinstance(content, bytes) and len(content) == 4:
            number = _FLOAT.unpack(content)[0]
        elif field == 8 and isinstance(content, bytes):
            number = _tensor(content)
    return None if number is None else (tag, number if abs(number) < LARGEST else math.nan)


def _tensor(tensor: bytes) -> float | None:
    """The number that a ``TensorProto`` of one value holds, packed or as bytes; None of any other."""
    letter, content, values = None, b"", 1
    for field, value in _fields(tensor):
        if field == 1 and isinstance(value, int):
            letter = _TENSOR_FORMATS.get(value)
        elif field == 2 and isinstance(value, bytes):
            sizes = [
                size for inner, dim in _fields(value) if inner == 2 and isinstance(dim, bytes) for size in _sizes(dim)
            ]
            values = math.prod(sizes)
        elif (field == 4 or (field in (5, 6) and letter in ("f", "d"))) and isinstance(value, bytes):
            content = value
        elif field in (7, 10) and letter in ("i", "q"):
            number = value if isinstance(value, int) else next(_varints(value), 0)
            content = (number & (1 << 64) - 1).to_bytes(8, "little")[: struct.calcsize(f"<{letter}")]
    if letter is None or values != 1 or len(content) != struct.calcsize(f"<{letter}"):
        return None
    return float(struct.unpack(f"<{letter}", content)[0])


def _sizes(dim: bytes) -> list[int]:
    return [value for field, value in _fields(dim) if field == 1 and isinstance(value, int)]


def _varints(packed: bytes) -> Iterator[int]:
    at = 0
    while at < len(packed):
        value, at = _varint(packed, at)
        yield value


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of the fields of a message: an int of a varint, else its bytes. Raises ``RecordError``."""
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        field, kind = key >> 3, key & 7
        if kind == 0:
            number, at = _varint(message, at)
            yield field, number
            continue
        if kind == 2:
            size, at = _varint(message, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise RecordError("a field of no known kind")
        if size > end - at:
            raise RecordError("a field that is longer than the record")
        yield field, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
    raise RecordError("a number that does not end")


def _name(tag: bytes) -> str:
    return tag[:TAG_BYTES].decode("utf-8", "replace")
