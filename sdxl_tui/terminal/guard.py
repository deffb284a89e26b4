"""The last guard before the terminal: whatever text the app shows, no control character of it gets out.

``clean.py`` is applied where text enters. This module is for the place that forgot: every frame of a Textual app is made by
``Strip.render``, which writes text as it stands, so that is where the guard sits. It keeps the width of what it changes,
because the layout is already done. What Textual prints after the app has ended (messages, tracebacks) goes through
``guard_stream``.
"""

from __future__ import annotations

import re
from typing import Final, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment
from textual.app import App
from textual.strip import Strip

from sdxl_tui.terminal.clean import JOINERS, REPLACEMENT, UNSAFE

_render_unguarded = Strip.render


def install_guard() -> None:
    """From now on no text of any Textual widget can emit a control character. Calling it again changes nothing."""
    Strip.render = _render_guarded  # type: ignore[assignment,method-assign]


def _render_guarded(strip: Strip, console: Console) -> str:
    """``Strip.render`` of safe segments."""
    if all(map(_is_safe, strip)):
        return _render_unguarded(strip, console)
    return _render_unguarded(Strip(map(_made_safe, strip)), console)


def _is_safe(segment: Segment) -> bool:
    """Whether it emits nothing but its text and style; a hyperlink is an OSC sequence around an address."""
    text, style, control = segment
    return control is not None or (text.isprintable() and (style is None or style.link is None))


def _made_safe(segment: Segment) -> Segment:
    """The same cells without control characters and without a hyperlink."""
    if _is_safe(segment):
        return segment
    text, style, _ = segment
    return Segment(UNSAFE.sub(_same_width, text), style if style is None else style.update_link(None))


def _same_width(found: re.Match[str]) -> str:
    """What stands for one unsafe character; joiners stay, for an emoji made with them was laid out as one."""
    return found[0] if ord(found[0]) in JOINERS else REPLACEMENT * cell_len(found[0])


class GuardedStream:
    """A text stream for Rich to print to: passes text, line feeds and colours, and drops every other control."""

    _COLOUR: Final = re.compile(r"(\x1b\[[0-9;]*m)")

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write ``text`` made safe; the count is that of ``text``, as callers expect."""
        parts = self._COLOUR.split(text)
        parts[::2] = ["\n".join(UNSAFE.sub("", line) for line in part.split("\n")) for part in parts[::2]]
        self._stream.write("".join(parts))
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


def guard_stream(app: App[object], stream: TextIO) -> None:
    """Let everything ``app`` prints once its screen is closed go to ``stream``, cleaned."""
    app.error_console.file = GuardedStream(stream)  # type: ignore[assignment]
