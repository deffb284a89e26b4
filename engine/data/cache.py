"""Encoded tensors on disk and in memory: content-addressed safetensors files, and a bounded store before them.

A file's name is the sha256 of everything its content depends on, so a stale file cannot be found; its content carries
a digest, so a damaged one cannot be used. What goes into a key, and how a missing file is made, is ``encoded.py``.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from engine.data.errors import DatasetError, shown
from engine.durable import write_atomically

FORMAT: Final = 1
"""Part of every key and file: a change here makes all older files unknown."""

CONTENT: Final = "content"
"""The metadata entry that holds key and digest."""

Tensors = dict[str, Tensor]


class CacheMissError(Exception):
    """There is no usable file; ``damage`` says what is wrong with the one that is there, None if there is none."""

    def __init__(self, damage: str | None) -> None:
        super().__init__(damage or "no such file")
        self.damage = damage


def cache_key(kind: str, **settings: object) -> str:
    """sha256 in hex of the kind of content and of every setting it depends on. ``settings`` must be JSON values."""
    text = json.dumps({"format": FORMAT, "kind": kind, **settings}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class TensorFiles:
    """A folder of safetensors files named by key, shared between runs; any number of processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """Where the file of ``key`` is or would be."""
        return self.folder / key[:2] / f"{key}.safetensors"

    def check(self, key: str) -> None:
        """Raise ``CacheMissError`` unless there is a file for ``key`` of the right length; reads its header only."""
        try:
            with safetensors.safe_open(self.path(key), framework="pt") as file:
                _digest_in(file.metadata(), key)
        except (OSError, safetensors.SafetensorError) as error:
            raise _miss(error) from error

    def read(self, key: str) -> Tensors:
        """The tensors of ``key``, checked against their digest. Raises ``CacheMissError`` if they cannot be had."""
        try:
            # Read as a whole, not mapped: a map of a file that somebody cuts short ends the process.
            data = self.path(key).read_bytes()
            tensors: Tensors = safetensors.torch.load(data)
        except (OSError, safetensors.SafetensorError) as error:
            raise _miss(error) from error
        if _content_digest(tensors) != _digest_in(_metadata_of(data), key):
            raise CacheMissError("its content does not match its digest")
        return tensors

    def read_one(self, key: str, name: str) -> Tensor:
        """One tensor of ``key`` without the others, not checked against the digest. Raises as ``read``."""
        try:
            with safetensors.safe_open(self.path(key), framework="pt") as file:
                _digest_in(file.metadata(), key)
                tensor: Tensor = file.get_tensor(name)
        except (OSError, safetensors.SafetensorError) as error:
            raise _miss(error) from error
        return tensor

    def write(self, key: str, tensors: Tensors) -> None:
        """Put ``tensors`` (contiguous, on the CPU) under ``key``; a reader never meets a half-written file.

        Raises ``DatasetError`` when the disk does not take it.
        """
        path = self.path(key)
        # One entry only: several are written in an order that differs from file to file.
        metadata = {CONTENT: f"{key} {_content_digest(tensors)}"}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Not synced: after a power cut a file may be damaged, which is found and mended, and costs one encoding.
            write_atomically(path, safetensors.torch.save(tensors, metadata), durable=False)
        except OSError as error:
            raise DatasetError(
                f"the cache cannot be written: {error.strerror}",
                where=shown(path.parent),
                hint="Free some space or check the folder's permissions; what is cached already will be reused.",
            ) from error


class TensorMemory:
    """The most recently used tensors, up to a number of bytes. The least recently used make room."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._held: OrderedDict[str, tuple[Tensors, int]] = OrderedDict()
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """What is held now."""
        return self._bytes

    def get(self, key: str) -> Tensors | None:
        """The tensors of ``key`` if they are held."""
        held = self._held.get(key)
        if held is None:
            return None
        self._held.move_to_end(key)
        return held[0]

    def put(self, key: str, tensors: Tensors) -> None:
        """Hold ``tensors``; anything larger than the whole limit is not held."""
        size = sum(tensor.nbytes for tensor in tensors.values())
        if key in self._held:
            self._bytes -= self._held.pop(key)[1]
        if size > self._limit:
            return
        self._held[key] = tensors, size
        self._bytes += size
        while self._bytes > self._limit:
            self._bytes -= self._held.popitem(last=False)[1][1]


def _metadata_of(data: bytes) -> Mapping[str, Any] | None:
    """The free part of a safetensors header that is known to be well-formed: 8 bytes of length, then JSON."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    metadata = header.get("__metadata__")
    return metadata if isinstance(metadata, dict) else None


def _digest_in(metadata: Mapping[str, Any] | None, key: str) -> str:
    stored_key, _, digest = str((metadata or {}).get(CONTENT)).partition(" ")
    if stored_key != key:
        raise CacheMissError("it was not written for this content")
    return digest


def _content_digest(tensors: Tensors) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _miss(error: OSError | safetensors.SafetensorError) -> CacheMissError:
    if isinstance(error, FileNotFoundError):
        return CacheMissError(None)
    return CacheMissError(error.strerror or str(error) if isinstance(error, OSError) else str(error))
