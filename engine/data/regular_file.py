"""Reading files from folders that others fill: a pipe must not hang the engine, nor a huge file take its memory."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class UnreadableFileError(Exception):
    """The file cannot be read; the text says why, without naming it."""


def read_regular_file(path: Path, *, limit: int) -> bytes | None:
    """All of a regular file (or of the one a link leads to) of at most ``limit`` bytes; None if there is none.

    Anything else, a folder, pipe, device, broken permission or larger file, raises ``UnreadableFileError``.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnreadableFileError(f"cannot be opened: {error.strerror}") from error
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise UnreadableFileError("not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(limit + 1) if facts.st_size <= limit else b""
    except OSError as error:
        raise UnreadableFileError(f"cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)
    if max(facts.st_size, len(data)) > limit:
        raise UnreadableFileError(f"{facts.st_size:,} bytes: more than the {limit:,} that are accepted")
    return data
