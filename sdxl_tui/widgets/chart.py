"""Measured curves over the steps: ``LineChart``, in braille, with axes, dotted vertical lines, and a text while it is empty.

Give it series and it repaints only the cells that differ from what stands there, so a live chart costs a few bytes a second::

    chart = LineChart(y_text=lr_text, y_from_zero=True, empty="No step has been taken yet")
    chart.show(
        [
            band("raw", spans, "$foreground 25%"),            # (x, low, high) per point or group of points
            line("average", steps, averages, "$primary"),     # None in ys leaves a gap
        ],
        v_lines=[VLine(120, "resumed", "$warning")],
        x_range=(0, 400),
    )

Points are reduced to dot columns, a band by their lowest and highest value, so that no spike is lost. The scale leaves out
the highest and lowest hundredth of a band; what lies beyond is drawn at the edge. Later series are drawn over earlier
ones. ``ExploredChart`` adds the keys to look closer; curves given by a formula alone have ``SchedulePlot``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from sdxl_tui.terminal.numbers import format_count
from sdxl_tui.widgets.axis import Scale, decimal_text, round_ticks, spread_range, widened
from sdxl_tui.widgets.braille import DOTS_ACROSS, DOTS_DOWN, BrailleCanvas
from sdxl_tui.widgets.painted import Painted, Piece, Row

Span = tuple[float, float, float]
"""(x, lowest y, highest y)"""

GUTTER: Final = 8
LABEL_ROWS: Final = 3
"""Lines from the top in which labels of vertical lines may stand."""
LOW: Final = 5
"""Charts of fewer lines have no axis below."""
AXIS: Final = "$foreground 25%"
LABEL: Final = "$foreground 50%"
CURSOR: Final = "$foreground 80%"
NOTHING_TO_DRAW: Final = "Nothing was measured in this part"
EDGE_SHARE: Final = 0.01
"""Share of a band's values at either end that the scale may leave out."""


@dataclass(frozen=True)
class Series:
    """A curve: its points by x, its style, and whether the scale must show all of it."""

    name: str
    spans: Sequence[Span]
    style: str
    is_band: bool = False


@dataclass(frozen=True)
class VLine:
    """A dotted vertical line with a label at its top."""

    x: float
    label: str = ""
    style: str = "$warning"


def line(name: str, xs: Iterable[float], ys: Iterable[float | None], style: str) -> Series:
    """One value per x; where it is None (or not finite) the line is broken."""
    return Series(
        name, [(x, math.nan, math.nan) if y is None else (x, y, y) for x, y in zip(xs, ys, strict=True)], style
    )


def band(name: str, spans: Sequence[Span], style: str) -> Series:
    """A lowest and a highest value per x: noisy measurements, or groups of them."""
    return Series(name, spans, style, is_band=True)


def step_text(step: float) -> str:
    """A number of steps on an axis: ``1,200``; with decimals where one looks closer than that."""
    return format_count(round(step)) if step == round(step) else f"{step:.1f}"


class LineChart(Painted):
    """``y_text(value, distance of ticks)`` writes the labels on the left, ``x_text`` those below."""

    DEFAULT_CSS = """
    LineChart { width: 1fr; height: 1fr; min-height: 4; }
    """

    def __init__(
        self,
        *,
        y_text: Callable[[float, float], str] = decimal_text,
        x_text: Callable[[float], str] = step_text,
        y_from_zero: bool = False,
        empty: str = "",
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._y_text = y_text
        self._x_text = x_text
        self._y_from_zero = y_from_zero
        self._empty = empty
        self._series: tuple[Series, ...] = ()
        self._v_lines: tuple[VLine, ...] = ()
        self._x_range: tuple[float, float] | None = None
        self._x_unit = 1.0
        self.window: tuple[float, float] | None = None
        """The part of the x axis that is drawn; None: all of it."""
        self.is_log = False
        """The values stand by their logarithms; what is not above 0 is left out."""
        self.cursor: float | None = None
        """Where on the x axis a line stands."""

    def show(
        self,
        series: Sequence[Series],
        *,
        v_lines: Sequence[VLine] = (),
        x_range: tuple[float, float] | None = None,
        empty: str | None = None,
        x_text: Callable[[float], str] | None = None,
        x_unit: float = 1.0,
    ) -> None:
        """Draw these. x_range: the steps that the axis spans, by default those of the points. empty: text without points.

        x_text: writes the labels below from now on, where x is something else than before; x_unit: what x is counted in there,
        such as 60 where x is seconds and the labels are minutes.
        """
        self._x_unit = x_unit
        self._series, self._v_lines, self._x_range = tuple(series), tuple(v_lines), x_range
        if x_text is not None:
            self._x_text = x_text
        if empty is not None:
            self._empty = empty
        self.repaint()

    # Drawing

    def rows_for(self, width: int, height: int) -> list[Row]:
        """The curves, the axes around them, and the lines across."""
        is_low = height < LOW
        columns, rows = width - GUTTER - 1, height if is_low else height - 2
        if columns < 4 or rows < 1:
            return []
        x_range = self.shown_range
        scale = None if x_range is None else self._scale(x_range)
        if x_range is None or scale is None:
            words = NOTHING_TO_DRAW if x_range is not None and self._has_points() else self._empty
            return [*[()] * (height // 2), ((words[:width].center(width), LABEL),)]
        x_first, x_last = x_range
        canvas: BrailleCanvas[str] = BrailleCanvas(columns, rows)
        for series in self._series:
            _draw(canvas, series, (x_first, x_last), scale)
        cells = [self._row(canvas, row) for row in range(rows)]
        within = (v_line for v_line in self._v_lines if self.window is None or x_first <= v_line.x <= x_last)
        across = {self._column(v_line.x, x_first, x_last, columns): v_line for v_line in within}
        labelled: set[tuple[int, int]] = set()
        for column, v_line in across.items():
            _dot_down(cells, column, v_line, labelled)
        if self.cursor is not None and x_first <= self.cursor <= x_last:
            _draw_cursor(cells, self._column(self.cursor, x_first, x_last, columns))
        body = [(*gutter, *row) for gutter, row in zip(self._gutters(scale, rows), cells, strict=True)]
        return body if is_low else [*body, *self._x_axis(x_first, x_last, columns)]

    @property
    def whole_range(self) -> tuple[float, float] | None:
        """What the x axis spans where nothing is left out of it; None without points."""
        found = self._x_range or spread_range(x for series in self._series for x, _, _ in series.spans)
        if found is None:
            return None
        return found if found[1] > found[0] else (found[0], found[0] + 1)

    @property
    def shown_range(self) -> tuple[float, float] | None:
        """What it spans now."""
        return None if self.whole_range is None else self.window or self.whole_range

    def _has_points(self) -> bool:
        return any(math.isfinite(low) for series in self._series for _, low, _ in series.spans)

    def _x_axis(self, first: float, last: float, columns: int) -> tuple[Row, Row]:
        """The line below, and its labels: at whole numbers, unless there are too few of them in sight."""
        unit = self._x_unit
        ticks = round_ticks(first / unit, last / unit, max(2, columns // 8))
        whole = [tick for tick in ticks if tick == round(tick)]
        shown = whole if whole[1:] else ticks
        places = {self._column(tick * unit, first, last, columns): self._x_text(tick) for tick in shown}
        places[columns - 1] = self._x_text(last / unit)
        marks = "".join("┴" if at in places else "─" for at in range(columns))
        return ((" " * GUTTER, LABEL), ("╰" + marks, AXIS)), tuple(_labels(places, columns))

    def _scale(self, x_range: tuple[float, float]) -> Scale | None:
        """The values that the axis on the left spans; None if there are none in sight."""
        values: list[float] = []
        for series in self._series:
            spans = series.spans
            if self.window is not None:
                spans = [span for span in spans if x_range[0] <= span[0] <= x_range[1]]
            lows = sorted(low for _, low, _ in spans if math.isfinite(low) and (low > 0 or not self.is_log))
            highs = sorted(high for _, _, high in spans if math.isfinite(high) and (high > 0 or not self.is_log))
            if not lows or not highs:
                continue
            beyond = int(len(lows) * EDGE_SHARE) if series.is_band else 0
            values += (lows[beyond], highs[-1 - min(beyond, len(highs) - 1)])
        if not values:
            return None
        low, high = min(values), max(values)
        if self.is_log:
            return Scale(low, high, True) if high > low else Scale(low / 2, high * 2, True)
        if self._y_from_zero:
            low = min(0.0, low)
        if not high > low:
            room = abs(high) * 0.1 or 1.0
            return Scale(low if self._y_from_zero else low - room, high + room)
        bottom, top = widened(low, high, 0.06)
        return Scale(low if self._y_from_zero else bottom, top)

    def _gutters(self, scale: Scale, rows: int) -> list[list[Piece]]:
        """The labels on the left and the axis beside them."""
        ticks = scale.ticks(max(2, min(7, rows // 2 + 1)))
        distance = ticks[1] - ticks[0] if len(ticks) > 1 else scale.high - scale.low
        texts: dict[int, str] = {}
        for before, tick in zip([None, *ticks], ticks, strict=False):
            apart = distance if before is None or not scale.is_log else tick - before
            texts[_row_of(tick, scale, rows)] = self._y_text(tick, apart)
        return [
            [(texts.get(row, "").rjust(GUTTER - 1)[: GUTTER - 1] + " ", LABEL), ("┤" if row in texts else "│", AXIS)]
            for row in range(rows)
        ]

    @staticmethod
    def _row(canvas: BrailleCanvas[str], row: int) -> list[Piece]:
        return [canvas.cell(column, row) or (" ", "") for column in range(canvas.columns)]

    @staticmethod
    def _column(x: float, first: float, last: float, columns: int) -> int:
        return min(
            columns - 1, max(0, round((x - first) / (last - first) * (columns * DOTS_ACROSS - 1)) // DOTS_ACROSS)
        )


def _draw(canvas: BrailleCanvas[str], series: Series, x_range: tuple[float, float], scale: Scale) -> None:
    """The series in dots: per dot column from its lowest to its highest value, joined to the column before."""
    first, last = x_range
    per_x = (canvas.width - 1) / (last - first)
    before: tuple[int, int, int] | None = None
    for x, bottom, top in values_by_dot_column(series, first, per_x, canvas.width):
        highest = scale.share(top)
        if math.isnan(bottom) or math.isnan(highest):
            before = None
            continue
        lowest = scale.share(bottom)
        y_top = _dot_row(highest, canvas.height)
        y_bottom = canvas.height - 1 if math.isnan(lowest) else _dot_row(lowest, canvas.height)
        if before is not None:
            _join(canvas, before, (x, y_top, y_bottom), series.style)
        for y in range(y_top, y_bottom + 1):
            canvas.dot(x, y, series.style)
        before = (x, y_top, y_bottom)


def _dot_row(share: float, height: int) -> int:
    """The row of dots from the top; what lies beyond stands at the edge."""
    return min(height - 1, max(0, round((1 - share) * (height - 1))))


def values_by_dot_column(series: Series, first: float, per_x: float, width: int) -> list[tuple[int, float, float]]:
    """(dot column, low, high) from the left: a band's extremes, a line's mean. NaN where a column has only gaps."""
    columns: list[tuple[int, float, float]] = []
    for column, spans in groupby(series.spans, key=lambda span: round((span[0] - first) * per_x)):
        if not 0 <= column < width:
            continue
        lows, highs = [], []
        for _, low, high in spans:
            if math.isfinite(low) and math.isfinite(high):
                lows.append(low)
                highs.append(high)
        if not lows:
            columns.append((column, math.nan, math.nan))
        elif series.is_band:
            columns.append((column, min(lows), max(highs)))
        else:
            columns.append((column, sum(lows) / len(lows), sum(highs) / len(highs)))
    return columns


def _join(canvas: BrailleCanvas[str], before: tuple[int, int, int], here: tuple[int, int, int], style: str) -> None:
    """A straight line between what two columns hold, from the ends that face each other."""
    x0, top0, bottom0 = before
    x1, top1, bottom1 = here
    if top1 > bottom0:
        y0, y1 = bottom0, top1
    elif bottom1 < top0:
        y0, y1 = top0, bottom1
    else:
        y0 = y1 = max(top0, top1)
    steps = max(abs(x1 - x0), abs(y1 - y0))
    for step in range(1, steps):
        canvas.dot(x0 + round((x1 - x0) * step / steps), y0 + round((y1 - y0) * step / steps), style)


def _row_of(value: float, scale: Scale, rows: int) -> int:
    return _dot_row(scale.share(value), rows * DOTS_DOWN) // DOTS_DOWN


def _draw_cursor(rows: list[list[Piece]], column: int) -> None:
    """A line down where no curve is, so that none is hidden."""
    for row in rows:
        if row[column][0] in " ┊":
            row[column] = ("│", CURSOR)


def _dot_down(rows: list[list[Piece]], column: int, v_line: VLine, labelled: set[tuple[int, int]]) -> None:
    """The vertical line where nothing else is drawn, and its label beside its top, below other labels in its way.

    labelled: (row, column) of the cells of labels so far; the label's are added.
    """
    for row in rows:
        if row[column][0] == " ":
            row[column] = ("┊", v_line.style)
    text = v_line.label
    start = column + 1 if column + 1 + len(text) <= len(rows[0]) else column - len(text)
    places = range(start, start + len(text))
    free = (row for row in range(min(LABEL_ROWS, len(rows))) if not any((row, at) in labelled for at in places))
    if text and start >= 0 and (row_number := next(free, None)) is not None:
        rows[row_number][start : start + len(text)] = [(letter, v_line.style) for letter in text]
        labelled |= {(row_number, at) for at in places}


def _labels(places: dict[int, str], columns: int) -> list[Piece]:
    """The labels below the axis, each centred below its place, both ends first; those that would touch are left out."""
    text = [" "] * columns
    for column in sorted(places, key=lambda column: (column not in (0, columns - 1), column)):
        label = places[column]
        start = min(max(0, column - len(label) // 2), columns - len(label))
        if start >= 0 and not "".join(text[max(0, start - 2) : start + len(label) + 2]).strip():
            text[start : start + len(label)] = label
    return [(" " * (GUTTER + 1), LABEL), ("".join(text), LABEL)]
