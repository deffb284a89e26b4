"""Those who change the same small file of a folder take turns."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def alone_in(folder: Path, failed: Callable[[str], Exception]) -> Iterator[None]:
    """Two who do this at once lose nothing of each other, where the file system has ``flock``.

    failed: makes the error, of what is wrong, that is raised where the folder cannot be opened.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise failed(f"cannot be opened: {error.strerror}") from error
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
