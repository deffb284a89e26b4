"""The learning-rate curve over all steps: what is done bright, what is to come dim, marks at the steps that matter.

Draws curves given by a formula (``Schedule.lr``), so it needs neither numpy nor a plotting library and paints in about a
millisecond. Measured series belong to the chart widget. What the curves mean is said by the caller's captions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, groupby
from typing import ClassVar, Final, Literal

from rich.segment import Segment
from textual.events import Resize
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

from engine.schedule import Schedule
from sdxl_tui.terminal.numbers import format_count, format_lr
from sdxl_tui.widgets.braille import DOTS_ACROSS, DOTS_DOWN, BrailleCanvas

Tone = Literal["done", "rest", "old", "new", "other", "other-rest"]
PARTS: Final = ("done", "rest", "old", "new", "other", "other-rest", "mark", "rule", "axis", "label")
SHIFT: Final = 8
"""Cells that a mark's label may stand beside its mark, where another one is in its place."""
EPOCHS: Final = 8
"""Epochs that are marked below the axis at most: each, or every second, fifth, tenth …"""
GUTTER: Final = 8
"""Cells of the rates' labels; the widest is ``1.00e-04`` without its sign."""


@dataclass(frozen=True)
class Curve:
    """A rate over the steps ``first`` to ``last`` of the axis; ``rate(step)`` in [0, ∞)."""

    rate: Callable[[int], float]
    first: int
    last: int
    tone: Tone

    def at(self, step: float) -> float:
        """The rate at a place between steps, on the line between its neighbours."""
        below = int(step)
        share = step - below
        return self.rate(below) if not share else (1 - share) * self.rate(below) + share * self.rate(below + 1)

    def moved(self, steps: int) -> Curve:
        """The curve ``steps`` further along the axis."""
        return replace(self, rate=lambda at: self.rate(at - steps), first=self.first + steps, last=self.last + steps)

    def peak(self) -> float:
        """The highest rate of the curve, looked for at 200 places and both ends."""
        stride = max(1, (self.last - self.first) // 200)
        return max(self.rate(step) for step in (*range(self.first, self.last, stride), self.last))


@dataclass(frozen=True)
class Mark:
    """A step of the axis worth pointing at, and the rate there: a dot on the curve, a dotted line, a label below."""

    step: int
    rate: float
    label: str


def stored_curve(schedule: Schedule, base_lr: float, step: int) -> tuple[Curve, Curve]:
    """A checkpoint's own curve: done up to ``step``, the rest after it."""

    def rate(at: int) -> float:
        return schedule.lr(at, base_lr)

    here = min(step, schedule.total_steps)
    return Curve(rate, 0, here, "done"), Curve(rate, here, schedule.total_steps, "rest")


def other_curve(schedule: Schedule, base_lr: float, step: int) -> tuple[Curve, Curve]:
    """As ``stored_curve`` for a second checkpoint in the same plot, in another colour."""
    done, rest = stored_curve(schedule, base_lr, step)
    return replace(done, tone="other"), replace(rest, tone="other-rest")


def planned_curve(schedule: Schedule, base_lr: float) -> tuple[Curve, ...]:
    """The curve of a run that has not begun."""
    return (Curve(lambda at: schedule.lr(at, base_lr), 0, schedule.total_steps, "new"),)


def seam_curves(
    old: Schedule, old_base_lr: float, old_step: int, new: Schedule, new_base_lr: float, *, first_step: int = 0
) -> tuple[Curve, Curve, Curve]:
    """A child on one axis: the parent's done part and what it had left, and the child's curve from the seam on.

    first_step: completed steps that the child's schedule begins with.
    """
    done, rest = stored_curve(old, old_base_lr, old_step)
    left = Curve(rest.rate, rest.first, rest.last, "old")
    child = Curve(
        lambda at: new.lr(at - old_step + first_step, new_base_lr),
        old_step,
        old_step + new.total_steps - first_step,
        "new",
    )
    return done, left, child


Cell = tuple[str, str]
"""Text, and which part of the plot it is."""


def epoch_ends(steps_per_epoch: float, last: int, most: int = EPOCHS) -> dict[int, str]:
    """The steps at which epochs end, and which, in round numbers of epochs so that there are ``most`` at most."""
    if steps_per_epoch <= 0:
        return {}
    whole = int(last / steps_per_epoch + 1e-9)
    strides = (digit * 10**power for power in count() for digit in (1, 2, 5))
    stride = next(stride for stride in strides if whole // stride <= most)
    return {round(epoch * steps_per_epoch): f"ep {epoch}" for epoch in range(stride, whole + 1, stride)}


def plot_lines(
    curves: Sequence[Curve], marks: Sequence[Mark], columns: int, rows: int, *, steps_per_epoch: float = 0.0
) -> list[list[Cell]]:
    """The plot as ``rows`` lines of curves with rates at their left, an axis, and a line of steps.

    columns: cells for the curves; each line is ``GUTTER + 1`` cells wider. Later curves are drawn over earlier ones.
    steps_per_epoch: 0: epochs are not marked.
    """
    last = max(1, *(curve.last for curve in curves))
    peak = max(curve.peak() for curve in curves) or 1.0
    canvas = _drawn(curves, columns, rows, last, peak)
    at = {_column(mark.step, last, columns): mark for mark in marks}
    labels = {0: format_lr(peak), rows - 1: "0"}
    if rows >= 7:
        labels[_row_of(0.5, rows)] = format_lr(peak / 2)
    dots = {column: _row_of(mark.rate / peak, rows) for column, mark in at.items()}
    lines: list[list[Cell]] = [
        [
            (labels.get(row, "").rjust(GUTTER - 1) + " ", "label"),
            ("┤" if row in labels else "│", "axis"),
            *_cells(canvas, row, dots),
        ]
        for row in range(rows)
    ]
    epochs = {_column(step, last, columns): label for step, label in epoch_ends(steps_per_epoch, last).items()}
    axis = "".join("┴" if column in at or column in epochs else "─" for column in range(columns))
    return [*lines, [(f"{' ' * GUTTER}╰{axis}", "axis")], _step_labels(columns, last, at, epochs)]


def _drawn(curves: Sequence[Curve], columns: int, rows: int, last: int, peak: float) -> BrailleCanvas[Tone]:
    canvas: BrailleCanvas[Tone] = BrailleCanvas(columns, rows)
    per_dot = last / max(1, canvas.width - 1)
    for curve in curves:

        def height(x: int, curve: Curve = curve) -> float:
            return curve.at(min(max(x * per_dot, curve.first), curve.last)) / peak

        canvas.curve(round(curve.first / per_dot), round(curve.last / per_dot), height, curve.tone)
    return canvas


def _cells(canvas: BrailleCanvas[Tone], row: int, dots: dict[int, int]) -> Iterator[Cell]:
    """The cells of a row; ``dots`` gives the row of each marked column's dot."""
    for column in range(canvas.columns):
        drawn = canvas.cell(column, row)
        if column not in dots:
            yield drawn or (" ", "axis")
        elif dots[column] == row:
            yield "●", "mark"
        else:
            yield "┊", "rule"


def _step_labels(columns: int, last: int, marks: dict[int, Mark], epochs: dict[int, str]) -> list[Cell]:
    """Marks first, then both ends of the axis and the epochs where there is still room."""
    total = format_count(last)
    wanted: list[tuple[int, str, str]] = [
        *((column - len(mark.label) // 2, mark.label, "mark") for column, mark in marks.items()),
        (columns - len(total), total, "label"),
        (0, "0", "label"),
        *((column - len(label) // 2, label, "label") for column, label in epochs.items()),
    ]
    line: list[Cell] = [(" ", "label")] * columns
    taken = [False] * columns
    for ideal, text, part in wanted:
        shifts = sorted(range(-SHIFT, SHIFT + 1), key=abs) if part == "mark" else (0,)
        starts = (min(max(0, ideal + shift), max(0, columns - len(text))) for shift in shifts)
        start = next((start for start in starts if not any(taken[max(0, start - 1) : start + len(text) + 1])), None)
        if start is None:
            continue
        for place, letter in enumerate(text[:columns], start):
            line[place], taken[place] = (letter, part), True
    return [(" " * (GUTTER + 1), "label"), *line]


def _column(step: int, last: int, columns: int) -> int:
    dots = columns * DOTS_ACROSS
    return min(columns - 1, round(step / last * (dots - 1)) // DOTS_ACROSS)


def _row_of(share: float, rows: int) -> int:
    return round((1.0 - share) * (rows * DOTS_DOWN - 1)) // DOTS_DOWN


class SchedulePlot(Widget):
    """Curves with rates on the left and steps below. ``show`` replaces what is drawn."""

    DEFAULT_CSS = """
    SchedulePlot {
        height: 1fr;
        min-height: 4;
        width: 1fr;
        & > .schedule-plot--done { color: $primary; }
        & > .schedule-plot--rest { color: $primary 45%; }
        & > .schedule-plot--old { color: $foreground 30%; }
        & > .schedule-plot--new { color: $success; }
        & > .schedule-plot--other { color: $accent; }
        & > .schedule-plot--other-rest { color: $accent 45%; }
        & > .schedule-plot--mark { color: $warning; text-style: bold; }
        & > .schedule-plot--rule { color: $warning 60%; }
        & > .schedule-plot--axis { color: $foreground 30%; }
        & > .schedule-plot--label { color: $foreground 60%; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"schedule-plot--{part}" for part in PARTS}
    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._curves: tuple[Curve, ...] = ()
        self._marks: tuple[Mark, ...] = ()
        self._steps_per_epoch = 0.0
        self._strips: list[Strip] | None = None
        """What is painted; None until it is drawn for this size and these colours."""

    def show(self, curves: Iterable[Curve], marks: Iterable[Mark] = (), *, steps_per_epoch: float = 0.0) -> None:
        """Draw these curves (later ones over earlier ones), point at these steps, and mark epochs of so many (0: none)."""
        self._steps_per_epoch = steps_per_epoch
        self._curves = tuple(curve for curve in curves if curve.last >= curve.first)
        self._marks = tuple(marks)
        self._draw_anew()

    def clear(self) -> None:
        """Draw nothing."""
        self.show(())

    def _draw_anew(self) -> None:
        self._strips = None
        self.refresh()

    def on_resize(self, event: Resize) -> None:
        """Another size, another drawing."""
        self._draw_anew()

    def notify_style_update(self) -> None:
        """Other colours, another drawing."""
        super().notify_style_update()
        self._strips = None

    def render_line(self, y: int) -> Strip:
        if self._strips is None:
            self._strips = self._painted(self.size)
        if y < len(self._strips):
            return self._strips[y]
        return Strip.blank(self.size.width, self.rich_style)

    def _painted(self, size: Size) -> list[Strip]:
        if not self._curves or size.width < GUTTER + 4 or size.height < 3:
            return []
        styles = {part: self.get_visual_style(f"schedule-plot--{part}").rich_style for part in PARTS}
        return [
            Strip(
                Segment("".join(text for text, _ in run), styles[part])
                for part, run in groupby(line, key=lambda cell: cell[1])
            )
            for line in plot_lines(
                self._curves,
                self._marks,
                size.width - GUTTER - 1,
                size.height - 2,
                steps_per_epoch=self._steps_per_epoch,
            )
        ]
