"""Reads the header of a safetensors file: which tensors it holds, their shapes and places. No tensor is read, no torch needed.

The format (huggingface.co/docs/safetensors): eight bytes with the length of a JSON object, that object, then the tensors' bytes.
A header that does not fit its file means a broken download, which is found here and not after minutes of loading. What the
tensors mean is left to others.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

from engine.model.errors import ModelError

MAX_HEADER: Final = 100_000_000
AGAIN: Final = "Copy or download it again."
_BITS: Final = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
}
# What is given instead of a safetensors file now and then, by its first bytes.
_OTHERS: Final = (
    (b"PK\x03\x04", "this is a pickle (.ckpt, .pt), which may hold code and is never loaded"),
    (b"\x80", "this is a pickle (.ckpt, .pt), which may hold code and is never loaded"),
    (b"version https://git-lfs", "this is a Git LFS pointer, not the file itself"),
    (b"GGUF", "this is a GGUF file, whose weights are quantised for drawing, not for training"),
    (b"<", "this is a web page: the download went wrong"),
)


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of a file: its type by the format's name (``F16``), its shape, and where its bytes lie in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Header:
    """What a safetensors file says of itself."""

    path: Path
    tensors: Mapping[str, TensorEntry]
    metadata: Mapping[str, str]


def read_header(path: Path) -> Header:
    """The header of the file at ``path``. Raises ``ModelError`` if it cannot be read, is another format, or is cut short."""
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            start = stream.read(8)
            length = int.from_bytes(start, "little")
            fits = len(start) == 8 and length <= min(size - 8, MAX_HEADER)
            text = stream.read(length if fits else 64)
    except OSError as error:
        raise ModelError(f"the file cannot be read ({error.strerror})", where=str(path)) from error
    try:
        metadata, tensors = _parsed(text if fits else b"", 8 + length)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _not_safetensors(path, start + text) from None
    end = max((entry.end for entry in tensors.values()), default=8 + length)
    if size != end:
        raise ModelError(
            f"the file holds {size:,} bytes, its header describes {end:,}: it is cut short or damaged",
            where=str(path),
            hint=AGAIN,
        )
    return Header(path, tensors, metadata)


def _parsed(text: bytes, offset: int) -> tuple[dict[str, str], dict[str, TensorEntry]]:
    described = json.loads(text)
    metadata = {str(name): str(value) for name, value in described.pop("__metadata__", {}).items()}
    return metadata, {name: _entry(value, offset) for name, value in described.items()}


def _entry(described: Any, offset: int) -> TensorEntry:
    first, last = (int(place) for place in described["data_offsets"])
    dtype, shape = str(described["dtype"]), tuple(int(side) for side in described["shape"])
    bits = _BITS.get(dtype)
    if first < 0 or min(shape, default=0) < 0 or (bits is not None and (last - first) * 8 != prod(shape) * bits):
        raise ValueError
    return TensorEntry(dtype, shape, offset + first, offset + last)


def _not_safetensors(path: Path, start: bytes) -> ModelError:
    for magic, reason in _OTHERS:
        if start.startswith(magic):
            hint = "Get the safetensors file of this model, or convert it." if "pickle" in reason else AGAIN
            return ModelError(reason, where=str(path), hint=hint)
    return ModelError("this is no safetensors file, or a damaged one", where=str(path), hint=AGAIN)
