"""A file that ``torch.save`` wrote: its structure, and single numbers out of its tensors, without torch and without the rest.

Since torch 1.6 it is an uncompressed zip of ``<name>/data.pkl``, ``<name>/byteorder`` and one entry per storage,
``<name>/data/<key>``. Only the zip's directory, the pickle and the numbers that are asked for are read.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from engine.foreign.errors import ForeignFileError
from engine.foreign.pickles import Call, Global, read_pickle

PICKLE_LIMIT: Final = 16 << 20
DIRECTORY_LIMIT: Final = 64 << 20
"""Bytes of the zip's list of entries, some 100 for each tensor."""
_LEGACY_MAGIC: Final = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
_END, _END64, _LOCATOR64, _ENTRY = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x01\x02"
_FORMATS: Final = {
    "float64": "d",
    "float32": "f",
    "float16": "e",
    "int64": "q",
    "int32": "i",
    "int16": "h",
    "int8": "b",
    "uint8": "B",
    "bool": "?",
    "bfloat16": "H",
}
_STORAGE_DTYPES: Final = {
    "torch DoubleStorage": "float64",
    "torch FloatStorage": "float32",
    "torch HalfStorage": "float16",
    "torch BFloat16Storage": "bfloat16",
    "torch LongStorage": "int64",
    "torch IntStorage": "int32",
    "torch ShortStorage": "int16",
    "torch CharStorage": "int8",
    "torch ByteStorage": "uint8",
    "torch BoolStorage": "bool",
}


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as the pickle describes it; its numbers stay in the file."""

    dtype: str
    """``float32``; the storage's name where it is none of the usual ones."""
    shape: tuple[int, ...]
    storage: str
    offset: int
    """In elements, from the storage's start."""

    @property
    def values(self) -> int:
        """How many numbers it holds."""
        count = 1
        for side in self.shape:
            count *= side
        return count


class TorchArchive:
    """An opened file of ``torch.save``. Raises ``ForeignFileError`` if it is none that can be read. Close it, or use ``with``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is empty"
            raise ForeignFileError(f"{path.name} cannot be read: {reason}", where=str(path)) from error
        try:
            self._entries = self._directory()
            self.content: Any = read_pickle(self._pickle(), result_of=_tensor)
        except ForeignFileError as error:
            self.close()
            if error.where is None:
                error.where = str(path)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()

    def number(self, tensor: StoredTensor) -> float | None:
        """The first number of ``tensor``; None where its format or its storage is not there."""
        layout = _FORMATS.get(tensor.dtype)
        if layout is None or tensor.values < 1:
            return None
        order = "<" if self._is_little_endian() else ">"
        size = struct.calcsize(order + layout)
        data = self._read(f"data/{tensor.storage}", start=tensor.offset * size, limit=size)
        if data is None or len(data) != size:
            return None
        if tensor.dtype == "bfloat16":  # the upper half of a float32
            data = b"\0\0" + data if order == "<" else data + b"\0\0"
            layout = "f"
        return float(struct.unpack(order + layout, data)[0])

    def _is_little_endian(self) -> bool:
        return self._read("byteorder", limit=16) != b"big"

    def _pickle(self) -> bytes:
        data = self._read("data.pkl", limit=PICKLE_LIMIT + 1)
        if data is None:
            raise ForeignFileError("there is no data.pkl in it: it was not written by torch.save")
        if len(data) > PICKLE_LIMIT:
            raise ForeignFileError(f"its structure alone is larger than {PICKLE_LIMIT >> 20} MiB")
        return data

    def _read(self, name: str, *, start: int = 0, limit: int) -> bytes | None:
        """Up to ``limit`` bytes of the entry ``<name of the archive>/name``; None if there is none.

        What is read whole is held against its CRC-32. torch writes 0 where it was told to compute none.
        """
        entry = self._entries.find(name)
        if entry is None:
            return None
        header, size, checksum = entry
        if self._map[header : header + 4] != b"PK\x03\x04":
            raise ForeignFileError(f"its directory points beside {name}: the file is damaged")
        name_length, extra_length = struct.unpack_from("<HH", self._map, header + 26)
        begin = header + 30 + name_length + extra_length
        data = self._map[begin + start : begin + min(size, start + limit)]
        if checksum and start == 0 and len(data) == size and zlib.crc32(data) != checksum:
            raise ForeignFileError(f"{name} in it does not match its checksum: the file is damaged")
        return data

    def _directory(self) -> _Directory:
        data = self._map
        end = data.rfind(_END, max(0, len(data) - 65_557))
        if end < 0:
            if data[: len(_LEGACY_MAGIC)] == _LEGACY_MAGIC:
                raise ForeignFileError("it was written in torch's format before 1.6, which is not read")
            raise ForeignFileError("it is no file of torch.save, or one that is cut short")
        try:
            size, offset = struct.unpack_from("<II", data, end + 12)
            if data[end - 20 : end - 16] == _LOCATOR64:
                (end64,) = struct.unpack_from("<Q", data, end - 12)
                if data[end64 : end64 + 4] == _END64:
                    size, offset = struct.unpack_from("<QQ", data, end64 + 40)
        except struct.error as error:
            raise ForeignFileError("its directory is damaged") from error
        if size > DIRECTORY_LIMIT:
            raise ForeignFileError(f"its directory claims {size:,} bytes, which no training state has")
        directory = data[offset : offset + size]
        if directory[:4] != _ENTRY or len(directory) != size:
            raise ForeignFileError("its directory is damaged or cut short")
        return _Directory(directory)


class _Directory:
    """The central directory of a zip file, searched as it stands: thousands of entries are not worth objects."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        (length,) = struct.unpack_from("<H", data, 28)
        first = data[46 : 46 + length]
        self._folder = first[: first.find(b"/") + 1]

    def find(self, name: str) -> tuple[int, int, int] | None:
        """(offset of the local header, size in bytes, CRC-32) of the stored entry ``name`` in the archive's folder."""
        wanted = self._folder + name.encode()
        at = -1
        while (at := self._data.find(wanted, at + 1)) >= 0:
            start = at - 46
            if start < 0 or self._data[start : start + 4] != _ENTRY:
                continue
            fields = struct.unpack_from("<HIIIIHHHHHII", self._data, start + 10)
            method, checksum, packed, size, name_length, extra_length = fields[0], *fields[2:7]
            if name_length != len(wanted):
                continue
            if method != 0:
                raise ForeignFileError(f"{name} in it is compressed, which torch.save never does")
            header = fields[11]
            extra = self._data[at + name_length : at + name_length + extra_length]
            return (*_zip64(extra, size=size, packed=packed, header=header), checksum)
        return None


def _zip64(extra: bytes, *, size: int, packed: int, header: int) -> tuple[int, int]:
    """Offset and size, with what does not fit 32 bits taken from the extra field (APPNOTE 4.5.3)."""
    values: Iterator[int] = iter(())
    at = 0
    while at + 4 <= len(extra):
        tag, length = struct.unpack_from("<HH", extra, at)
        if tag == 1:
            values = iter(struct.unpack_from(f"<{length // 8}Q", extra, at + 4))
        at += 4 + length
    if size == 0xFFFFFFFF:
        size = next(values, size)
    if packed == 0xFFFFFFFF:
        next(values, packed)
    if header == 0xFFFFFFFF:
        header = next(values, header)
    return header, size


def _tensor(call: Call) -> Any:
    """The tensor that ``call`` would rebuild; a parameter's data; else the call as it is."""
    name, arguments = call.name, call.arguments
    if name in _PARAMETERS:
        return arguments[0] if isinstance(arguments, tuple) and arguments else call
    if name not in _TENSORS:
        return call
    storage, offset, shape = arguments[:3]
    _, kind, key, *_ = storage.id
    dtype = _STORAGE_DTYPES.get(kind.name) or kind.name.removeprefix("torch ").removesuffix("Storage")
    if name == _TENSORS[1] and len(arguments) > 6 and isinstance(arguments[6], Global):
        dtype = arguments[6].name.removeprefix("torch ")  # of version 3 the storage has no type of its own
    if not (isinstance(key, str) and isinstance(offset, int) and offset >= 0 and _is_shape(shape)):
        raise ForeignFileError("a tensor in it is described in a way that torch does not use")
    return StoredTensor(dtype, shape, key, offset)


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, tuple) and all(isinstance(side, int) and side >= 0 for side in shape)


_TENSORS: Final = ("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor_v3")
_PARAMETERS: Final = frozenset(
    {"torch._utils _rebuild_parameter", "torch._utils _rebuild_parameter_with_state", "torch.nn.parameter Parameter"}
)
