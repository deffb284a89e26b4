"""``NO_COLOR``: what the app shows in the terminal's own two colours, as no-color.org asks.

Textual would turn colours into greys, which are colours too. Here what lies on a background of its own, such as the row under
the cursor, is drawn in reverse, and what is faint is dim; bold and underlined stay.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from rich.color import Color as RichColor
from rich.color import ColorType
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

APART: Final = 0.25
"""Of brightness between a background and that of the screen: from here on it means something."""
FAINT: Final = 0.45
"""Of brightness between ink and its background, below which it is meant to be faint."""


class InkFilter(LineFilter):
    """Takes every colour out and keeps what it said, as far as attributes can say it."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same text without a colour."""
        return [
            Segment(text, None if style is None else _ink(style, background.brightness), control)
            for text, style, control in segments
        ]


@lru_cache(maxsize=4096)
def _ink(style: Style, screen: float) -> Style:
    paper = _brightness(style.bgcolor, screen)
    ink = _brightness(style.color, 1.0 - paper)
    stands_out = abs(paper - screen) >= APART
    return Style(
        bold=style.bold,
        dim=style.dim or (abs(ink - paper) < FAINT and not stands_out) or None,
        italic=style.italic,
        underline=style.underline,
        strike=style.strike,
        reverse=(bool(style.reverse) != stands_out) or None,
        meta=style.meta or None,  # which picture it is a cell of, where a click leads
    )


def _brightness(colour: RichColor | None, default: float) -> float:
    if colour is None or colour.type is ColorType.DEFAULT:
        return default
    return Color.from_rich_color(colour).brightness
