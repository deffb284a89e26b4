"""The head of a run's page: what it is and does, how far it is, its figures, and the latest there is to say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len

from sdxl_tui.fleet.runs import RunSummary
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import (
    UNKNOWN,
    format_count,
    format_duration,
    format_loss,
    format_lr,
    format_percent,
    format_speed,
)
from sdxl_tui.widgets.painted import Painted, Piece, Row
from sdxl_tui.widgets.run_cells import (
    FAINT,
    MUTED,
    REMARK_COLOURS,
    bar_cell,
    bar_colour,
    began,
    checkpoint_step,
    label_pieces,
    origin,
    remark,
    split_id,
    state_cell,
)

GAP: Final = "   "


class RunHeader(Painted):
    """Four lines."""

    DEFAULT_CSS = """
    RunHeader { height: 4; padding: 0 1; }
    """

    def __init__(self, run_id: str) -> None:
        super().__init__()
        self._run_id = run_id
        self._run: RunSummary | None = None
        self._event: Row = ()
        self._now = 0.0
        self._mark = ""

    def show(self, run: RunSummary | None, event: Row, now: float, mark: str = "") -> None:
        """Say it of ``run``. event: the latest one, for when there is nothing else to say. now: Unix seconds.

        mark: the style of the colour that it has in comparisons, while it is marked.
        """
        self._run, self._event, self._now, self._mark = run, event, now, mark
        self.repaint()

    def rows_for(self, width: int, height: int) -> Sequence[Row]:
        run = self._run
        if run is None:
            return (((clean(self._run_id), "bold"),), self._event or (("Reading the run …", MUTED),))
        title = _title(run, self._now, width, self._mark)
        return (title, _progress(run, width, self._now), _figures(run, width, self._now), self._latest(run))

    def _latest(self, run: RunSummary) -> Row:
        """Why it is in its state, else its latest event."""
        said = remark(run)
        labels = label_pieces(run)
        rest = ((said, REMARK_COLOURS.get(run.state, "$warning")),) if said else self._event
        return (*labels, ("  ", ""), *rest) if labels else rest


def _title(run: RunSummary, now: float, width: int, mark: str) -> Row:
    name, moment = split_id(run)
    marked = [("■ ", mark)] if mark else []
    left: list[Piece] = [*state_cell(run.state), ("  ", ""), *marked, (name, "bold"), (moment, FAINT)]
    facts = [run.device, began(run, now)]
    if run.liveness.attempt > 1:
        facts.insert(1, f"attempt {run.liveness.attempt}")
    came_from = origin(run)
    if run.started_from is not None and _cells(left) + cell_len(whole := f"  from {run.started_from.label}") < width:
        came_from, facts = whole.strip(), facts if _cells(left) + cell_len(whole) + 16 < width else []
    return spaced(left, [(f"  {came_from}", "$secondary")] if came_from else [], facts, width)


def spaced(left: list[Piece], middle: list[Piece], facts: list[str], width: int) -> Row:
    """Left at the left edge, as many facts as there is room for at the right one, the middle between if it fits."""
    shown = [fact for fact in facts if fact]
    taken = _cells(left)
    while shown and taken + 2 + cell_len(" · ".join(shown)) > width:
        shown.pop()
    right = " · ".join(shown)
    if taken + _cells(middle) + 2 + cell_len(right) <= width:
        left, taken = [*left, *middle], taken + _cells(middle)
    return (*left, (" " * max(1, width - taken - cell_len(right)), ""), (right, MUTED))


def _progress(run: RunSummary, width: int, now: float) -> Row:
    total = format_count(run.total_steps) if run.total_steps else "?"
    steps: list[Piece] = [("  ", ""), (format_count(run.step), "bold"), (f"/{total}", MUTED)]
    if run.share is not None:
        steps.append((f"  {format_percent(run.share):>5}", MUTED))
    room = width - _cells(steps)
    return (*bar_cell(run.share, room, bar_colour(run, now)), *steps)


def _figures(run: RunSummary, width: int, now: float) -> Row:
    """As many figures as there is room for, each with its name."""
    status, moves = run.liveness.status, run.moves(now)
    figures = [("loss", format_loss(run.loss)), ("avg", format_loss(run.loss_avg)), ("LR", format_lr(run.lr))]
    if run.validation_loss is not None:
        figures.insert(2, ("held out", format_loss(run.validation_loss)))
    if moves and run.steps_per_second:
        figures.append(("", format_speed(run.steps_per_second)))
    if moves and run.eta_seconds is not None:
        figures.append(("ETA", format_duration(run.eta_seconds)))
    if status is not None and status.epoch is not None and run.step:
        figures.append(("epoch", f"{status.epoch}" + (f"/{status.epochs}" if status.epochs else "")))
    saved = checkpoint_step(run)
    if run.watched is None:
        figures.append(("saved", UNKNOWN if saved is None else format_count(saved)))
    else:
        figures.append(("saved", clean(run.watched.saved[0].path.name) if run.watched.saved else UNKNOWN))
    row: list[Piece] = []
    for name, value in figures:
        pieces: list[Piece] = [(f"{name} ", MUTED)] if name else []
        pieces.append((value, "bold" if moves else ""))
        if _cells(row) + _cells(pieces) > width:
            break
        row += [*pieces, (GAP, "")]
    return tuple(row[:-1])


def _cells(pieces: list[Piece]) -> int:
    return sum(cell_len(text) for text, _ in pieces)
