"""The engine's log: one line a person can read for everything that matters, on a disk that may be full."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, TextIO

LOGGER: Final = "engine"


class LossyStream:
    """A text stream that drops what its file refuses: a full disk must not end a training through ``print``."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write and flush ``text``, as far as the file takes it."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of ``lines``."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush, as far as the file takes it."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def set_up_logging(also: Path | None = None) -> None:
    """Log to standard error, and to the file ``also`` for an engine whose output nobody keeps; make both streams lossy."""
    sys.stdout, sys.stderr = LossyStream(sys.stdout), LossyStream(sys.stderr)
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if also is not None:
        with contextlib.suppress(OSError):
            handlers.append(logging.FileHandler(also, encoding="utf-8", errors="replace"))
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%Y-%m-%d %H:%M:%S"))
    logging.basicConfig(level=logging.WARNING, handlers=handlers, force=True)
    logging.getLogger(LOGGER).setLevel(logging.INFO)
    logging.raiseExceptions = False
    logging.captureWarnings(True)
    warnings.simplefilter("ignore", category=FutureWarning)
