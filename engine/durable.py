"""Writing files so that a reader, a crash or a full disk never meets a half one."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def sync_directory(folder: Path) -> None:
    """Make the names in ``folder`` durable (a rename is only safe once its folder is synced)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, data: bytes, *, durable: bool = True, mode: int | None = None) -> None:
    """Replace ``path`` by ``data``: written beside, synced and renamed; on any error the old content stays.

    durable=False leaves out the syncs, for files that are rewritten every second and worth nothing after a power cut.
    mode: permission bits of the new file; by default those of the file it replaces, else 0o666 less the umask.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    if mode is None and path.exists():
        mode = path.stat().st_mode & 0o7777
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode)
    try:
        try:
            if mode is not None:
                os.fchmod(descriptor, mode)
            remaining = memoryview(data)
            while remaining:
                remaining = remaining[os.write(descriptor, remaining) :]
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        beside.replace(path)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk, or a quota: writing knows descriptors alone
        raise
    if durable:
        sync_directory(path.parent)


def write_json_atomically(path: Path, value: Mapping[str, Any], *, durable: bool = True) -> None:
    """``write_atomically`` of ``value`` as readable JSON. NaN and infinities raise ``ValueError``: JSON has none."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(path, text.encode() + b"\n", durable=durable)


def append_json_line(descriptor: int, record: Mapping[str, Any]) -> None:
    """Append one record to a JSON-lines file opened with ``open_for_appending``, in one write."""
    line = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"
    written = os.write(descriptor, line)
    if written != len(line):
        raise OSError(28, "No space left on device: a record was cut short")


def open_for_appending(path: Path) -> int:
    """A descriptor that appends to ``path``; a torn last line (an earlier crash) is first closed with a newline."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            os.write(descriptor, b"\n")
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
