"""Text from outside made safe to show: log lines, captions, names, metadata, values of profiles, messages of exceptions.

A terminal obeys what it is sent, and neither Rich nor Textual stands between: a caption could retitle the window, write the
clipboard or hide a line. ``clean`` is called where such text becomes something to show; what it shows is for the eye only,
the original stays what it was. The last guard before the terminal is ``guard.py``.
"""

from __future__ import annotations

import re
from typing import Final

from sdxl_tui.terminal.numbers import format_bytes, format_count

LIMIT: Final = 4096
"""Characters of one text that are shown; the rest is counted."""

TAB_STOP: Final = 4

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"

# Bodies exclude every control character, so that a scan ends at the next introducer and the whole stays linear.
_SEQUENCE: Final = re.compile(
    r"(?:\x1b\[|\x9b)[\x30-\x3f]*[\x20-\x2f]*[\x40-\x7e]"  # CSI: colours, cursor, modes
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x00-\x1f\x7f-\x9f]*(?:\x07|\x1b\\|\x9c)"  # OSC, DCS, SOS, PM, APC
    r"|\x1b[\x20-\x2f]+[\x30-\x7e]"  # character sets
    r"|\x1b[\x30-\x4f\x51-\x57\x59\x5a\x5c\x60-\x7e]"  # two characters: reset, save cursor ...
)
"""Whole control sequences (ECMA-48 5.4 to 5.6)."""


JOINERS: Final = frozenset({0x200C, 0x200D})
"""Zero-width (non-)joiners: part of Persian words and of emoji, so nothing is said about them; left out for their width."""

_UNSAFE_RANGES: Final = (
    (0x00, 0x1F),  # C0
    (0x7F, 0x9F),  # delete, C1
    (0xAD, 0xAD),  # soft hyphen
    (0x61C, 0x61C),  # Arabic letter mark
    (0x180E, 0x180E),  # Mongolian vowel separator
    (0x200B, 0x200F),  # zero-width space and joiners, direction marks
    (0x2028, 0x202E),  # line and paragraph separators, bidi embeddings and overrides
    (0x2060, 0x206F),  # word joiner, invisible operators, bidi isolates, deprecated format characters
    (0xD800, 0xDFFF),  # lone surrogates: bytes of a name that are not UTF-8
    (0xFEFF, 0xFEFF),  # byte-order mark
    (0xFFF9, 0xFFFB),  # interlinear annotations
    (0xE0000, 0xE007F),  # tags: text nobody sees
    (0x100000, 0x10FFFF),  # private use, plane 16: the cells of pictures
)

_UNSAFE_CLASS: Final = "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in _UNSAFE_RANGES)
UNSAFE: Final = re.compile(f"[{_UNSAFE_CLASS}]")
"""One character that must not reach a terminal as itself. ``str.isprintable`` is false for each of them."""

_UNSAFE_BUT_NEWLINE: Final = re.compile(f"(?!\n)[{_UNSAFE_CLASS}]")


def clean(text: str, *, limit: int = LIMIT, lines: bool = False) -> str:
    """``text`` without control sequences, and with each control character that is left made visible; one line.

    At most ``limit`` characters are looked at; a note says how many more there are. Tabs become spaces. With ``lines``,
    line feeds are kept (for messages of several lines); otherwise one is shown as ``␊``.
    """
    if len(text) > limit:
        return clean(text[:limit], limit=limit, lines=lines) + f" …[+{format_count(len(text) - limit)} characters]"
    if text.isprintable():
        return text
    text = _SEQUENCE.sub("", text)
    if lines:
        text = text.replace("\r\n", "\n")
    if "\t" in text:
        text = text.expandtabs(TAB_STOP)
    return (_UNSAFE_BUT_NEWLINE if lines else UNSAFE).sub(lambda found: _visible(ord(found[0])), text)


def without_middle(text: str, width: int) -> str:
    """Clean ``text`` in at most ``width`` characters: of a longer one, such as a path, the beginning and the end."""
    if len(text) <= width:
        return text
    tail = (width - 1) * 2 // 3
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def clean_line(data: bytes, *, limit: int = LIMIT, unread: int = 0) -> str:
    """One line of a log as a terminal would leave it: what follows the last carriage return, decoded and cleaned.

    data: the bytes of the line, with or without its line end. Of a longer line than ``limit`` bytes the beginning is
    shown and the rest is counted, together with ``unread`` bytes of it that the caller left out.
    """
    data = data.rstrip(b"\r\n")
    start = data.rfind(b"\r") + 1
    rest = len(data) - start - limit
    shown = data[start : start + limit].decode("utf-8", errors="ignore" if rest > 0 else "replace")
    text = clean(shown, limit=limit)
    missing = max(0, rest) + unread
    return f"{text} …[+{format_bytes(missing)}]" if missing else text


def _visible(code: int) -> str:
    """What stands for one unsafe character."""
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\N{SYMBOL FOR DELETE}"
    return "" if code in JOINERS else REPLACEMENT
