"""The header of a safetensors file, without the library and without the tensors: names, types, shapes and metadata.

Format: https://github.com/huggingface/safetensors#format - eight bytes of length, JSON, then the numbers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.foreign.errors import ForeignFileError

HEADER_LIMIT: Final = 100_000_000
"""The format's own limit, in bytes."""


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """A tensor of the file."""

    dtype: str
    """``F32``, ``BF16`` and so on, as the format writes it."""
    shape: tuple[int, ...]
    begin: int
    """Offset of its first byte in the file."""
    end: int


@dataclass(frozen=True)
class SafetensorsHeader:
    """What a file says it holds."""

    path: Path
    tensors: dict[str, TensorEntry]
    metadata: dict[str, str]
    bytes: int
    """Size of the whole file."""


def read_header(path: Path) -> SafetensorsHeader:
    """The header of ``path``. Raises ``ForeignFileError`` if it is no safetensors file, or a damaged or shortened one."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            length = int.from_bytes(file.read(8), "little")
            if size < 10 or length > min(HEADER_LIMIT, size - 8):
                raise ForeignFileError(f"{path.name} is no safetensors file, or is cut short", where=str(path))
            header = json.loads(file.read(length))
    except OSError as error:
        raise ForeignFileError(f"{path.name} cannot be read: {error.strerror}", where=str(path)) from error
    except (ValueError, RecursionError):
        raise ForeignFileError(f"{path.name} has no readable safetensors header", where=str(path)) from None
    try:
        metadata = {str(key): str(value) for key, value in (header.pop("__metadata__", None) or {}).items()}
        tensors = {str(name): _entry(entry, 8 + length) for name, entry in header.items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ForeignFileError(f"{path.name} has a safetensors header that makes no sense", where=str(path)) from None
    end = max((entry.end for entry in tensors.values()), default=8 + length)
    if end != size:
        raise ForeignFileError(
            f"{path.name} holds {size:,} bytes where its header describes {end:,}: it is cut short or damaged",
            where=str(path),
        )
    return SafetensorsHeader(path, tensors, metadata, size)


def _entry(entry: dict[str, Any], start: int) -> TensorEntry:
    begin, end = (int(offset) for offset in entry["data_offsets"])
    if not 0 <= begin <= end:
        raise ValueError("offsets out of order")
    return TensorEntry(str(entry["dtype"]), tuple(int(side) for side in entry["shape"]), start + begin, start + end)
