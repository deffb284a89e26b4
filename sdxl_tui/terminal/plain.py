"""What stands for a character in a terminal that cannot be sent it: one that is not UTF-8 gets ASCII, cell for cell.

It is an error handler of Python's codecs, so it costs nothing where everything can be encoded, and holds for whatever is
written: the command line and the frames of the app.
"""

from __future__ import annotations

import codecs
import unicodedata
from typing import Final, TextIO

HANDLER: Final = "sdxl-tui-plain"

_STAND_INS: Final = {
    **dict.fromkeys("●■◆█▀◼━╸", "#"),
    "━": "=",
    "╸": "=",
    "✓": "v",
    "✗": "x",
    "×": "x",
    "°": "'",
    "·": ".",
    "•": "*",
    "…": "~",
    "–": "-",
    "—": "-",
    "−": "-",
    "→": ">",
    "←": "<",
    "↑": "^",
    "↓": "v",
    "⇧": "^",
    "⏎": "<",
    "↳": "`",
    "▸": ">",
    "◂": "<",
    "▾": "v",
    "▴": "^",
    "▲": "^",
    "∞": "8",
    "β": "b",
    "ε": "e",
    "├": "|",
    "╰": "`",
    "└": "`",
    "‖": "|",
    "○": "o",
    "◎": "o",
    "◇": "o",
    "◌": "o",
    "◍": "o",
    "⚑": "P",
    "⚐": "p",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
}
_EIGHTHS: Final = "▁▂▃▄▅▆▇█"
_BARS: Final = "__..--=#"


def use_plain_characters(stream: TextIO) -> None:
    """Let ``stream`` write stand-ins for what its encoding has not; one that cannot be told so stays as it is."""
    codecs.register_error(HANDLER, _stand_ins)
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors=HANDLER)


def _stand_ins(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(stand_in, error.object[error.start : error.end])), error.end


def stand_in(character: str) -> str:
    """ASCII for one character, as many letters as it is cells wide."""
    if known := _STAND_INS.get(character):
        return known
    if character in _EIGHTHS:
        return _BARS[_EIGHTHS.index(character)]
    code = ord(character)
    if 0x2800 <= code < 0x2900:
        return _of_dots(code - 0x2800)
    if 0x2500 <= code < 0x2580:
        return _of_lines(unicodedata.name(character))
    if 0x2400 <= code <= 0x2421:
        return "?"
    from rich.cells import cell_len  # noqa: PLC0415 - only for what is rare; commands start without Rich

    width = cell_len(character)
    letters = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return letters if width and len(letters) == width and letters.isprintable() else "?" * width


def _of_dots(dots: int) -> str:
    """A cell of a curve by where its dots are. Bits 0 to 2 and 6 are the left column from the top, 3 to 5 and 7 the right."""
    upper, lower = dots & 0b00_011_011, dots & 0b11_100_100
    if not dots:
        return " "
    if not lower:
        return "'"
    return "." if not upper else ":" if dots.bit_count() < 7 else "#"


def _of_lines(name: str) -> str:
    """A box drawing character by its directions."""
    words = name.removeprefix("BOX DRAWINGS ")
    if "AND" in words or "ARC" in words or "CROSS" in words:
        return "+"
    return "-" if "HORIZONTAL" in words or "LEFT" in words or "RIGHT" in words else "|"
