"""The last guard before the terminal: whatever text the app shows, no control character of it gets out.

``clean.py`` is applied where text enters. This module is for the place that forgot: every frame of a Textual app is made by
``Strip.render``, which writes text as it stands, so that is where the guard sits. It keeps the width of what it changes,
because the layout is already done. What Textual prints after the app has ended (messages, tracebacks) goes through
``guard_stream``.

The cells of pictures become what the terminal is sent for them here, too: only text whose style says ``PICTURE`` does, and
nothing from outside can say that.
"""

from __future__ import annotations

import re
from typing import Any, Final, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment
from textual.app import App
from textual.strip import Strip

from sdxl_tui.terminal.clean import JOINERS, REPLACEMENT, UNSAFE
from sdxl_tui.terminal.kitty import placeholders
from sdxl_tui.terminal.stream import GuardedStream

PICTURE: Final = "sdxl-tui-picture"
"""Key of a style's meta data: the id of a picture and the line of it that the text is cells of (``kitty.cells``)."""

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
    if style is not None and (line := style.meta.get(PICTURE)):
        image, row = line
        return Segment(placeholders(image, row, text))
    return Segment(UNSAFE.sub(_same_width, text), style if style is None else style.update_link(None))


def _same_width(found: re.Match[str]) -> str:
    """What stands for one unsafe character; joiners stay, for an emoji made with them was laid out as one."""
    return found[0] if ord(found[0]) in JOINERS else REPLACEMENT * cell_len(found[0])


def guard_stream(app: App[Any], stream: TextIO) -> None:
    """Let everything ``app`` prints once its screen is closed go to ``stream``, cleaned."""
    app.error_console.file = GuardedStream(stream)  # type: ignore[assignment]
