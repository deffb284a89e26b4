"""A chart that is looked into by keys: zoom, pan, a cursor with the values below it, a logarithmic scale.

What it shows stays the caller's; it tells by ``Explored`` when another part is looked at, for whoever has more detail of that
part than was drawn. The cursor's values stand in the chart's lower border.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from typing import ClassVar, Final

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Click, MouseScrollDown, MouseScrollUp
from textual.message import Message

from sdxl_tui.widgets.axis import decimal_text
from sdxl_tui.widgets.chart import GUTTER, LineChart, Series, step_text
from sdxl_tui.widgets.key_names import named

ZOOM: Final = 2.0
PAN: Final = 0.25
"""Share of what is shown."""
CLOSEST: Final = 1e-5
"""Share of the whole that is zoomed into at most."""
MANY: Final = 10
"""Columns of a big step of the cursor."""


class ExploredChart(LineChart, can_focus=True):
    """``x_says`` writes a place on the x axis as the cursor names it, ``value_text`` a value below the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = named(
        "chart",
        [
            Binding("left,h", "cursor(-1)", "Cursor", key_display="←→"),
            Binding("right,l", "cursor(1)", "Cursor right", show=False),
            Binding("shift+left,H", f"cursor(-{MANY})", "Cursor left by ten", show=False),
            Binding("shift+right,L", f"cursor({MANY})", "Cursor right by ten", show=False),
            Binding("plus,equals_sign,up", "zoom(1)", "Zoom", key_display="+ -"),
            Binding("minus,down", "zoom(-1)", "Zoom out", show=False, key_display="-"),
            Binding("left_square_bracket,pageup", "pan(-1)", "Pan", key_display="[ ]"),
            Binding("right_square_bracket,pagedown", "pan(1)", "Pan right", show=False),
            Binding("0", "whole", "All"),
            Binding("o", "log", "Log scale"),
            Binding("escape", "leave_cursor", "Leave the cursor", show=False),
        ],
    )

    class Explored(Message):
        """Another part of the x axis is looked at."""

        def __init__(self, chart: ExploredChart) -> None:
            super().__init__()
            self.chart = chart

        @property
        def control(self) -> ExploredChart:
            """The chart."""
            return self.chart

    x_says: Callable[[float], str] = staticmethod(lambda x: f"step {step_text(round(x))}")
    value_text: Callable[[float], str] = staticmethod(lambda value: f"{value:.4g}")

    def look_whole(self) -> None:
        """All of the x axis, no cursor: what was looked at is measured in something else now."""
        self.window = self.cursor = None

    def repaint(self) -> None:
        """The values below the cursor may have changed, too."""
        super().repaint()
        self._say()

    # Keys

    def action_zoom(self, direction: int) -> None:
        """Closer to, or further from, the cursor; without one, the end of what is shown, where the newest steps are."""
        whole, shown = self.whole_range, self.shown_range
        if whole is None or shown is None:
            return
        width = (shown[1] - shown[0]) * (1 / ZOOM if direction > 0 else ZOOM)
        if width < (whole[1] - whole[0]) * CLOSEST:
            return
        anchor = shown[1] if self.cursor is None else self.cursor
        share = (anchor - shown[0]) / (shown[1] - shown[0])
        self._look(anchor - width * share, anchor + width * (1 - share))

    def action_pan(self, direction: int) -> None:
        """Earlier or later."""
        if self.window is not None:
            first, last = self.window
            by = (last - first) * PAN * direction
            self._look(first + by, last + by)

    def action_whole(self) -> None:
        """From the first step to the last."""
        if self.window is not None:
            self.window = None
            self._explored()

    def action_log(self) -> None:
        """The values by their logarithms, or as they are."""
        self.is_log = not self.is_log
        self.repaint()

    def action_cursor(self, columns: int) -> None:
        """Move by columns; it begins at the newest point in sight, and takes what is shown along at its ends."""
        shown, whole = self.shown_range, self.whole_range
        if shown is None or whole is None:
            return
        per_column = (shown[1] - shown[0]) / max(1, self.content_size.width - GUTTER - 2)
        if self.cursor is None:
            points = (x for series in self._series for x, low, _ in series.spans if math.isfinite(low))
            ends = [x for x in points if shown[0] <= x <= shown[1]]
            at = max(ends, default=shown[1]) if self._series else shown[1]
        else:
            at = self.cursor + per_column * columns
        self.cursor = min(whole[1], max(whole[0], at))
        if self.window is not None and not self.window[0] <= self.cursor <= self.window[1]:
            by = self.cursor - (self.window[0] if self.cursor < self.window[0] else self.window[1])
            self._look(self.window[0] + by, self.window[1] + by)
        else:
            self.repaint()

    def action_leave_cursor(self) -> None:
        """No cursor; it is offered only while there is one."""
        self.cursor = None
        self.repaint()
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what does something."""
        if action == "leave_cursor":
            return self.cursor is not None
        if action in {"pan", "whole"}:
            return self.window is not None
        return True

    # The mouse

    def on_click(self, event: Click) -> None:
        """A click puts the cursor there."""
        shown = self.shown_range
        at = event.x - self.gutter.left - GUTTER - 1
        columns = self.content_size.width - GUTTER - 1
        if shown is not None and 0 <= at < columns:
            self.cursor = shown[0] + (shown[1] - shown[0]) * at / max(1, columns - 1)
            self.repaint()
            self.refresh_bindings()

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Closer."""
        event.stop()
        self.action_zoom(1)

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """Further."""
        event.stop()
        self.action_zoom(-1)

    # What is looked at

    def _look(self, first: float, last: float) -> None:
        whole = self.whole_range
        if whole is None:
            return
        width = last - first
        first = min(max(first, whole[0]), max(whole[0], whole[1] - width))
        last = first + width
        self.window = None if first <= whole[0] and last >= whole[1] else (first, min(last, whole[1]))
        self._explored()

    def _explored(self) -> None:
        self.post_message(self.Explored(self))
        self.repaint()
        self.refresh_bindings()

    def _say(self) -> None:
        """The values below the cursor, in the colours of their curves."""
        if self.cursor is None:
            self.say_below(Content(""))
            return
        parts = [Content.styled(self.x_says(self.cursor), "bold")]
        for series in self._series:
            span = below(series, self.cursor)
            if span is not None:
                low, high = self.value_text(span[1]), self.value_text(span[2])
                text = low if low == high else f"{low} – {high}"
                parts.append(Content.assemble((f"{series.name} ", "$foreground 60%"), (text, series.style)))
        self.say_below(Content("  ").join(parts))


def below(series: Series, x: float) -> tuple[float, float, float] | None:
    """The point of a series at ``x``, or the last one before it; None before its first."""
    at = bisect_right(series.spans, x + 1e-9, key=lambda span: span[0]) - 1
    if at < 0 or math.isnan(series.spans[at][1]):
        return None
    return series.spans[at]


def plain_text(value: float) -> str:
    """A value with as many digits as one reads: ``0.1130``."""
    return decimal_text(value, 1e-4) if abs(value) < 1000 else f"{value:.3g}"
