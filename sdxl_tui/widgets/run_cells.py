"""How a run is written: its state with symbol and colour, its progress, its columns in the table of runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Final

from engine.run.layout import CHECKPOINT_NAME
from engine.run.liveness import RunState
from sdxl_tui.fleet.run_marks import COLOURS
from sdxl_tui.fleet.runs import RunSummary
from sdxl_tui.terminal.numbers import (
    UNKNOWN,
    format_age,
    format_count,
    format_duration,
    format_loss,
    format_lr,
    format_speed,
)
from sdxl_tui.widgets.live_table import FLEXIBLE, HIDDEN, Cell, Column

MOMENT: Final = re.compile(r"-\d{8}-\d{6}(-\d+)?")
MUTED: Final = "$foreground 60%"
FAINT: Final = "$foreground 35%"

STATES: Final[dict[RunState, tuple[str, str]]] = {
    RunState.QUEUED: ("○", MUTED),
    RunState.STARTING: ("◌", "$primary"),
    RunState.CACHING: ("◍", "$primary"),
    RunState.TRAINING: ("●", "$success"),
    RunState.SAMPLING: ("◆", "$accent"),
    RunState.VALIDATING: ("◆", "$accent"),
    RunState.SAVING: ("◇", "$primary"),
    RunState.PAUSED: ("‖", "$warning"),
    RunState.FINISHED: ("✓", "$success"),
    RunState.STOPPED: ("■", "$secondary"),
    RunState.FAILED: ("✗", "$error"),
    RunState.KILLED: ("✗", "$error"),
    RunState.LOST: ("?", "$warning"),
    RunState.WATCHED: ("◎", "$accent"),
}
"""Symbol and colour of each state; no two states share their word, so colour is never needed."""

REMARK_COLOURS: Final = {RunState.FAILED: "$error", RunState.KILLED: "$error", RunState.LOST: "$warning"}
"""Where a reason is more than a remark."""
SHORT_WORDS: Final = {
    RunState.STARTING: "start",
    RunState.CACHING: "cache",
    RunState.TRAINING: "train",
    RunState.SAMPLING: "sample",
    RunState.VALIDATING: "valid",
    RunState.FINISHED: "done",
    RunState.STOPPED: "stop",
    RunState.WATCHED: "watch",
}
BARS: Final = "▁▂▃▄▅▆▇█"
ROOM_FOR_ID: Final = 28
"""A column of this width shows whole ids."""
NARROW: Final = 100
"""Tables of fewer cells are written tersely."""


def state_cell(state: RunState, width: int = 10) -> Cell:
    """``● training`` in the state's colour; ``● train`` where there are too few cells for that."""
    symbol, colour = STATES[state]
    word = state.value if width >= len(state.value) + 2 else SHORT_WORDS.get(state, state.value)
    return ((f"{symbol} {word}", colour),)


def run_style(colour: int) -> str:
    """The style of a run's colour."""
    return f"$run-{colour % COLOURS + 1}"


def bar_cell(share: float | None, width: int, colour: str) -> Cell:
    """A bar of ``width`` cells, done to half a cell."""
    if width < 1:
        return ()
    halves = 0 if share is None else round(share * width * 2)
    if share is not None and 0 < share < 1:
        halves = min(max(halves, 1), width * 2 - 1)
    full, half = divmod(halves, 2)
    return (("━" * full + "╸" * half, colour), ("─" * (width - full - half), "$foreground 20%"))


def bar_colour(run: RunSummary, now: float) -> str:
    """Of its bar: it does not change with every save. now: Unix seconds."""
    if not run.alive:
        return "$accent" if run.moves(now) else MUTED
    return "$warning" if run.state is RunState.PAUSED else "$success"


def run_columns(
    now: Callable[[], float],
    mark_of: Callable[[str], str] = lambda _: "",
    trend_of: Callable[[str], Sequence[float | None]] = lambda _: (),
) -> tuple[Column[RunSummary], ...]:
    """The columns of the table of runs. now: the clock that ages are counted from (Unix seconds).

    mark_of: the style of a run's mark; empty for one that is not marked. trend_of: its losses, as far as they have been read.
    """

    def moves(run: RunSummary) -> bool:
        return run.moves(now())

    return (
        Column("STATE", _by_room({0: 8, NARROW: 10}), lambda run, width: state_cell(run.state, width)),
        Column(
            "RUN", _by_room({0: FLEXIBLE}), lambda run, width: _marked(run, width, mark_of(run.id), now()), widest=44
        ),
        Column(
            "DONE",
            _by_room({0: HIDDEN, 72: 5, NARROW: 8, 130: 12, 160: 20}),
            lambda run, width: bar_cell(run.share, width, bar_colour(run, now())),
        ),
        Column("STEP", _by_room({0: 11, NARROW: 15}), lambda run, width: _steps(run, width, moves(run)), "right"),
        Column("EPOCH", _by_room({0: HIDDEN, 150: 7}), _epoch, "right"),
        Column("LOSS", _by_room({0: 6}), lambda run, _: _figure(format_loss(_loss(run)), moves(run)), "right"),
        Column("TREND", _by_room({0: HIDDEN, 120: 12}), lambda run, _: trend_cell(trend_of(run.id), moves(run))),
        Column("LR", _by_room({0: 8}), lambda run, _: _figure(format_lr(run.lr), moves(run)), "right"),
        Column(
            "IT/S", _by_room({0: HIDDEN, 60: 5, NARROW: HIDDEN}), lambda run, _: _terse_speed(run, moves(run)), "right"
        ),
        Column("SPEED", _by_room({0: HIDDEN, NARROW: 9}), lambda run, _: _speed(run, moves(run)), "right"),
        Column(
            "ETA", _by_room({0: 9}), lambda run, _: _live_figure(format_duration(run.eta_seconds), moves(run)), "right"
        ),
        Column("DEVICE", _by_room({0: HIDDEN, NARROW: 7}), _device),
        Column("AGE", _by_room({0: HIDDEN, NARROW: 6}), lambda run, _: ((age(now() - run.created), MUTED),), "right"),
        Column("", _by_room({0: HIDDEN, 130: FLEXIBLE}), lambda run, _: _remark(run, now())),
    )


def trend_cell(losses: Sequence[float | None], alive: bool) -> Cell:
    """``█▆▅▄▃▂▁▁``: the highest is full, the lowest a thin line; a blank where nothing was measured."""
    known = [loss for loss in losses if loss is not None]
    if len(known) < 2:
        return ()
    low, high = min(known), max(known)
    span = (high - low) or 1.0
    bars = "".join(" " if loss is None else BARS[round((loss - low) / span * (len(BARS) - 1))] for loss in losses)
    return ((bars, "$primary" if alive else MUTED),)


def _by_room(widths: dict[int, int]) -> Callable[[int], int]:
    """A column's width by the table's: that of the largest key the table has room for."""
    return lambda room: widths[max(least for least in widths if least <= room)]


def age(seconds: float) -> str:
    """How old something is, coarse enough not to move while one looks: ``<1 min``, ``12 min``, ``3 h``, ``2 d``."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "<1 min"


def remark(run: RunSummary) -> str:
    """What there is to say about the run beyond its state: why it ended, what it prepares, what it asks for."""
    status = run.liveness.status
    if run.reason:
        return run.reason
    if run.alive and status is not None and status.progress is not None:
        return f"{status.progress.what} {format_count(status.progress.done)}/{format_count(status.progress.total)}"
    return run.message if run.alive else ""


def began(run: RunSummary, now: float) -> str:
    """``launched 3 min ago``; of a run that never started, since when it is there; of a watched one when it last wrote."""
    if run.watched is not None:
        return f"written {format_age(now - run.watched.written)}"
    return f"{'launched' if run.liveness.attempt else 'made'} {format_age(now - run.created)}"


def origin(run: RunSummary) -> str:
    """Where a child run came from: ``↳ demo-20261124-093000 @20 continue``; empty for a run that started fresh.

    Of one that started from a state or file: ``↳ last-state @20 continue``.
    """
    if (started := run.started_from) is not None:
        step = "" if started.step is None else f" @{format_count(started.step)}"
        return f"↳ {PurePath(started.path).name}{step} {started.route}"
    if run.origin is None:
        return ""
    when = "" if run.origin.checkpoint else " when it has finished"
    return f"↳ {run.origin.run} @{format_count(run.origin.step)} {run.origin.route}{when}"


def checkpoint_step(run: RunSummary) -> int | None:
    """The step of its newest checkpoint."""
    found = CHECKPOINT_NAME.match(run.checkpoint or "")
    return int(found.group(1)) if found else None


def _marked(run: RunSummary, width: int, mark: str, now: float) -> Cell:
    """The name, after a mark in the colour that the run has in comparisons."""
    moves = run.moves(now)
    return _name(run, width, moves) if not mark else (("■ ", mark), *_name(run, width - 2, moves))


def _name(run: RunSummary, width: int, moves: bool) -> Cell:
    """The id with the name in front standing out, shorter where it has to be; ``↳`` marks a child run."""
    name, moment = split_id(run)
    mark = "" if run.origin is None and run.started_from is None else " ↳"
    if moment and width < ROOM_FOR_ID:
        moment = f" {moment[5:9]}-{moment[10:14]}"
    room = width - len(moment) - len(mark)
    if room < 4:
        room, moment = width - len(mark), ""
    name = name if len(name) <= room else f"{name[: max(0, room - 1)]}…"
    return ((name, "bold" if moves else ""), (moment, FAINT), (mark, "$secondary"))


def split_id(run: RunSummary) -> tuple[str, str]:
    """The run's name and the moment in its id, with the hyphen: ``("demo", "-20261124-101500")``."""
    if MOMENT.fullmatch(rest := run.id.removeprefix(run.name)):
        return run.name, rest
    return run.id, ""


def _loss(run: RunSummary) -> float | None:
    return run.loss if run.loss_avg is None else run.loss_avg


def _figure(text: str, moves: bool) -> Cell:
    return ((text, "" if moves and text != UNKNOWN else MUTED),)


def _live_figure(text: str, moves: bool) -> Cell:
    """A figure that only a live run has."""
    return ((text, ""),) if moves and text != UNKNOWN else (("", ""),)


def _speed(run: RunSummary, moves: bool) -> Cell:
    return _live_figure(format_speed(run.steps_per_second), moves)


def _terse_speed(run: RunSummary, moves: bool) -> Cell:
    rate = run.steps_per_second
    return _live_figure(UNKNOWN if not rate else f"{rate:.1f}" if rate >= 0.995 else f"{rate:.3f}".rstrip("0"), moves)


def _steps(run: RunSummary, width: int, moves: bool) -> Cell:
    done, total = format_count(run.step), format_count(run.total_steps) if run.total_steps else UNKNOWN
    if len(done) + len(total) + 1 > width:
        done, total = (
            f"{number / 1000:.3g}k" if number >= 1000 else str(number) for number in (run.step, run.total_steps)
        )
    return ((done, "" if moves else MUTED), (f"/{total}", MUTED))


def _epoch(run: RunSummary, _: int) -> Cell:
    status = run.liveness.status
    if status is None or status.epoch is None or not status.step:
        return ()
    return ((f"{status.epoch}/{status.epochs}" if status.epochs else str(status.epoch), "" if run.alive else MUTED),)


def _device(run: RunSummary, _: int) -> Cell:
    return ((run.device or UNKNOWN, "" if run.alive else MUTED),)


def label_pieces(run: RunSummary) -> Cell:
    """What its user says of it: tags, the note, that it is put away."""
    labels = run.labels
    words = (("put away" if labels.archived else "", FAINT), (labels.tags_text, "$accent"), (labels.note, MUTED))
    pieces = [(text, style) for text, style in words if text]
    return tuple(piece for at, one in enumerate(pieces) for piece in ([("  ", "")] if at else []) + [one])


def _remark(run: RunSummary, now: float) -> Cell:
    said, labels = remark(run), label_pieces(run)
    if run.watched is not None and not said:
        return ((f"written {age(now - run.watched.written)} ago", MUTED), (f"  {run.watched.shown_as}", FAINT))
    gap: Cell = (("  ", ""),) if labels else ()
    if said:
        return (*labels, *gap, (said, REMARK_COLOURS.get(run.state, MUTED)))
    return (*labels, *gap, (origin(run), FAINT))
