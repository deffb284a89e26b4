"""What differs between two checkpoints as a table of three columns: name, first, second."""

from __future__ import annotations

from typing import Final

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from sdxl_tui.fleet.comparison import Comparison, Section
from sdxl_tui.terminal.numbers import format_count
from sdxl_tui.widgets.fact_lines import MUTED

NAME_CELLS: Final = 24
NARROWEST: Final = 12
GAP: Final = 2


def comparison_table(found: Comparison, width: int, styles: tuple[str, str]) -> Content:
    """The sections that differ, in ``width`` cells; a section that does not is a line. styles: of the two columns."""
    longest = max((cell_len(item.name) for section in found.sections for item in section.differences), default=0)
    names = min(NAME_CELLS, max(10, longest), max(12, width // 4)) + GAP
    room = max(NARROWEST, (width - names - GAP) // 2)
    values = [text for section in found.sections for item in section.differences for text in found.texts(item)]
    room = min(room, max([NARROWEST, *map(cell_len, values)]))
    lines: list[Content] = []
    for section in found.sections:
        lines += _section(found, section, names, room, styles)
    return Content("\n").join(lines)


def _section(found: Comparison, section: Section, names: int, room: int, styles: tuple[str, str]) -> list[Content]:
    alike = f"  {format_count(section.alike)} alike" if section.alike else ""
    if not section.differences:
        return [Content.assemble((section.title, "bold"), ("  nothing differs", MUTED), (alike, MUTED)), Content("")]
    lines = [Content.assemble((section.title, "bold"), (alike, MUTED))]
    for item in section.differences:
        columns = [_lines(text, room) for text in found.texts(item)]
        name = item.name if cell_len(item.name) <= names - GAP else f"{set_cell_size(item.name, names - GAP - 1)}…"
        for at in range(max(map(len, columns))):
            first, second = (column[at] if at < len(column) else "" for column in columns)
            lines.append(
                Content.assemble(
                    (set_cell_size(name if at == 0 else "", names), MUTED),
                    (set_cell_size(first, room + GAP), styles[0]),
                    (second, styles[1]),
                )
            )
    return [*lines, Content("")]


def _lines(text: str, room: int) -> list[str]:
    return [line.plain.rstrip() for line in Content(text).wrap(room)] or [""]
