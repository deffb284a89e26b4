"""The kitty graphics protocol as far as the app speaks it: a PNG is sent once, and characters stand where it is to be seen.

A cell of a picture is U+10EEEE with two combining marks, for its row and its column, in the colour whose number is the
picture's id. To everything between app and terminal these are coloured characters: tmux moves and crops them like others.
Source: https://sw.kovidgoyal.net/kitty/graphics-protocol/, "Unicode placeholders" (kitty 0.28 and later, Ghostty).
"""

from __future__ import annotations

from base64 import standard_b64encode
from collections.abc import Iterator
from typing import Final

PLACEHOLDER: Final = "\U0010eeee"

_RANGES: Final = (
    "305 30D-30E 310 312 33D-33F 346 34A-34C 350-352 357 35B 363-36F 483-487 592-595 597-599 59C-5A1 5A8-5A9 5AB-5AC 5AF 5C4 "
    "610-617 657-65B 65D-65E 6D6-6DC 6DF-6E2 6E4 6E7-6E8 6EB-6EC 730 732-733 735-736 73A 73D 73F-741 743 745 747 749-74A "
    "7EB-7F1 7F3 816-819 81B-823 825-827 829-82D 951 953-954 F82-F83 F86-F87 135D-135F 17DD 193A 1A17 1A75-1A7C 1B6B "
    "1B6D-1B73 1CD0-1CD2 1CDA-1CDB 1CE0 1DC0-1DC1 1DC3-1DC9 1DCB-1DCC 1DD1-1DE6 1DFE 20D0-20D1 20D4-20D7 20DB-20DC 20E1 "
    "20E7 20E9 20F0 2CEF-2CF1 2DE0-2DFF A66F A67C-A67D A6F0-A6F1 A8E0-A8F1 AAB0 AAB2-AAB3 AAB7-AAB8 AABE-AABF AAC1 FE20-FE26"
)


def _marks() -> Iterator[str]:
    for span in _RANGES.split():
        first, _, last = span.partition("-")
        yield from map(chr, range(int(first, 16), int(last or first, 16) + 1))


MARKS: Final = tuple(_marks())
"""The mark for each row or column: the protocol's table, which is that of Unicode 6.0's marks of class 230 that compose with
nothing, but for its last 14, which lie beyond the basic plane."""

IDS: Final = range(16, 256)
"""Ids that are a colour of the 256 and none of the first 16, which a terminal's theme may change to others."""

CHUNK: Final = 4096
"""Characters of base64 in one command, by the protocol."""

_COLUMN_ZERO: Final = 0x100000
"""From here on a private character each for a column of a picture, while it is laid out and cropped as text."""


def cells(columns: int) -> str:
    """A line of a picture as text to lay out: a private character a cell, which says its column."""
    return "".join(chr(_COLUMN_ZERO + column) for column in range(columns))


def placeholders(image: int, row: int, laid_out: str) -> str:
    """What the terminal is sent for the rest of a line of ``cells``; ready with its colour."""
    shown = "".join(PLACEHOLDER + MARKS[row] + MARKS[ord(cell) - _COLUMN_ZERO] for cell in laid_out)
    return f"\x1b[38;5;{image}m{shown}\x1b[39m"


def transmission(image: int, png: bytes, columns: int, rows: int) -> list[str]:
    """The commands that send a picture and let it be ``columns`` × ``rows`` cells, its shape kept; nothing is answered."""
    data = standard_b64encode(png).decode()
    parts = [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]
    first = f"a=T,U=1,f=100,t=d,i={image},c={columns},r={rows},q=2,"
    return [
        _command(f"{first if at == 0 else 'q=2,'}m={int(at < len(parts) - 1)}", part) for at, part in enumerate(parts)
    ]


ABANDONED: Final = "\x1b_Gq=2,m=0;\x1b\\"
"""Ends a transmission of which the rest does not come."""


def removal(image: int) -> str:
    """The command that takes a picture from the screen and from the terminal's memory."""
    return _command(f"a=d,d=I,i={image},q=2")


def through_tmux(command: str) -> str:
    """``command`` for the terminal outside, in tmux's envelope (tmux's ``allow-passthrough`` has to be on)."""
    return "\x1bPtmux;" + command.replace("\x1b", "\x1b\x1b") + "\x1b\\"


def _command(keys: str, data: str = "") -> str:
    return f"\x1b_G{keys};{data}\x1b\\"
