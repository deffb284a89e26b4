"""The last guard for what is printed rather than drawn: command line output, and what Textual prints after its screen."""

from __future__ import annotations

import re
from typing import Final, TextIO

from sdxl_tui.terminal.clean import UNSAFE

_COLOUR: Final = re.compile(r"(\x1b\[[0-9;]*m)")


class GuardedStream:
    """A text stream that passes text, line feeds and colours, and drops every other control character."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write ``text`` made safe; the count is that of ``text``, as callers expect."""
        if not text.isprintable():
            parts = _COLOUR.split(text)
            parts[::2] = ["\n".join(UNSAFE.sub("", line) for line in part.split("\n")) for part in parts[::2]]
            self._stream.write("".join(parts))
        else:
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream beneath."""
        self._stream.flush()

    def isatty(self) -> bool:
        """Whether the stream beneath is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The descriptor beneath: Rich asks it for the width."""
        return self._stream.fileno()

    @property
    def encoding(self) -> str:
        """The encoding of the stream beneath."""
        return self._stream.encoding
