"""Names and values in two columns; a long value goes on below itself, broken between its parts, else at spaces."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from textual.content import Content

MUTED: Final = "$foreground 60%"
NARROWEST: Final = 20
"""Cells that a value gets at least."""


BETWEEN: Final = " · "


def fact_lines(pairs: Iterable[tuple[str, str | Content]], width: int, *, name_cells: int = 10) -> Content:
    """The pairs in ``width`` cells. A name that is empty goes on with the one above. 0 cells: not laid out yet, no breaks."""
    room = max(NARROWEST, width - name_cells) if width else 10_000
    lines: list[Content] = []
    for name, value in pairs:
        for at, part in enumerate(_broken(value, room) or [Content("")]):
            shown = name if at == 0 else ""
            lines.append(Content.assemble((f"{shown:<{name_cells}}", MUTED), part.rstrip()))
    return Content("\n").join(lines)


def _broken(value: str | Content, room: int) -> list[Content]:
    """The lines of a value: text between its dots stays together as far as there is room."""
    if isinstance(value, Content):
        return value.wrap(room)
    lines: list[str] = []
    for piece in value.split(BETWEEN):
        if lines and len(lines[-1]) + len(BETWEEN) + len(piece) <= room:
            lines[-1] += BETWEEN + piece
        else:
            lines.append(piece)
    return [line for text in lines for line in Content(text).wrap(room)]
