"""A run's events in words. The kinds and their fields stand in docs/files.md; unknown ones are shown by their name."""

from __future__ import annotations

import time
from typing import Any

from engine.run.records import as_float, as_int, as_rates
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_bytes, format_count, format_duration, format_loss, format_lr
from sdxl_tui.widgets.painted import Piece, Row

Event = dict[str, Any]


def event_text(event: Event) -> Piece:
    """What happened, and the style for it."""
    kind = str(event.get("event", ""))
    words = _WORDS.get(kind)
    text = words(event) if words is not None else clean(kind, limit=60)
    return text, _STYLES.get(kind, "$warning" if kind == "command" and event.get("ok") is False else "")


def event_row(event: Event) -> Row:
    """A line about an event: its local time dim, then what happened."""
    text, style = event_text(event)
    return ((f"{_clock(event)} ", "$foreground 40%"), (text, style))


def _clock(event: Event) -> str:
    """``10:15:02``; blanks of that width where the event has no time."""
    moment = as_float(event.get("time"))
    try:
        return " " * 8 if moment is None else time.strftime("%H:%M:%S", time.localtime(moment))
    except (OverflowError, OSError, ValueError):
        return " " * 8


def _text(event: Event, name: str, limit: int = 500) -> str:
    value = event.get(name)
    return "" if value is None else clean(str(value), limit=limit)


def _count(event: Event, name: str) -> str:
    return format_count(as_int(event.get(name)))


def _failed(event: Event) -> str:
    where = _text(event, "where")
    message = _text(event, "message") or _text(event, "error")
    hint = _text(event, "hint")
    return "failed: " + (f"{where}: " if where else "") + message + (f" · {hint}" if hint else "")


def _saved(event: Event) -> str:
    size = format_bytes(as_float(event.get("bytes")))
    return f"saved {_text(event, 'checkpoint')} ({_text(event, 'reason')}, {size})"


def _dataset(event: Event) -> str:
    skipped = event.get("skipped")
    left_out = len(skipped) if isinstance(skipped, list) else as_int(skipped)
    text = f"{_count(event, 'images')} images, {_count(event, 'batches_per_epoch')} batches per epoch"
    return f"{text}, {format_count(left_out)} files left out" if left_out else text


def _cached(event: Event) -> str:
    took = format_duration(as_float(event.get("seconds")))
    return f"{_text(event, 'what')} ready: {_count(event, 'count')}, {_count(event, 'built')} new in {took}"


def _sampled(event: Event) -> str:
    files = event.get("files")
    return f"drew {len(files) if isinstance(files, list) else 0} samples at step {_count(event, 'step')}"


def _lr_scaled(event: Event) -> str:
    rates = as_rates(event.get("base_lr"))
    shown = ", ".join(f"{clean(name, limit=40)} {format_lr(rate)}" for name, rate in rates.items())
    factor = as_float(event.get("factor"))
    return f"LR scaled × {factor or 0:g} after step {_count(event, 'step')}: base LR {shown}"


def _command(event: Event) -> str:
    outcome = "done" if event.get("ok") else "not followed"
    return f"command {_text(event, 'command')}: {_text(event, 'message') or outcome}"


def _warning(event: Event) -> str:
    where = _text(event, "where")
    return (f"{where}: " if where else "") + _text(event, "message")


def _continued(event: Event) -> str:
    taken = _TAKEN.get(_text(event, "route"), "weights")
    if origin := _text(event, "origin"):
        step = "" if as_int(event.get("step")) is None else f" at step {_count(event, 'step')}"
        return f"{taken} from {_text(event, 'kind')} {origin}{step}"
    return f"{taken} from {_text(event, 'checkpoint')} of {_text(event, 'parent_run')}"


def _numbers(event: Event, name: str) -> dict[str, float | None]:
    """The numbers of a table in the event."""
    table = event.get(name)
    return {str(key): as_float(value) for key, value in table.items()} if isinstance(table, dict) else {}


def _estimate(event: Event) -> str:
    memory, disk = _numbers(event, "memory").get("total"), _numbers(event, "disk").get("total")
    seconds = as_float(event.get("seconds"))
    took = "unknown time" if seconds is None else format_duration(seconds)
    return f"estimate: {format_bytes(memory)} of memory, {format_bytes(disk)} of disk, {took}"


def _estimate_result(event: Event) -> str:
    memory, speed = _numbers(event, "memory"), _numbers(event, "seconds_per_step")
    thought, took = (speed.get(name) for name in ("estimated", "measured"))
    pace = "" if took is None else f"; {took:.3g} s per step" + ("" if thought is None else f" of {thought:.3g} s")
    return f"took {format_bytes(memory.get('measured'))} of {format_bytes(memory.get('estimated'))} estimated{pace}"


def _base(event: Event) -> str:
    predicts = {"epsilon": "the noise", "v_prediction": "v"}.get(_text(event, "prediction"), _text(event, "prediction"))
    ending = ", zero terminal SNR" if event.get("zero_terminal_snr") is True else ""
    return f"the base predicts {predicts} ({_text(event, 'said_by')}){ending}"


_TAKEN = {
    "resize": "resized weights",
    "reschedule": "state taken over with a new schedule",
    "extend": "state taken over, with more steps to come,",
}

_WORDS = {
    "started": lambda e: f"started on {_text(e, 'device')} at step {_count(e, 'step')} of {_count(e, 'total_steps')}",
    "base": _base,
    "resumed": lambda e: f"resumed exactly from {_text(e, 'checkpoint')}",
    "continued": _continued,
    "dataset": _dataset,
    "cached": _cached,
    "estimate": _estimate,
    "estimate_result": _estimate_result,
    "rehearsed": lambda e: f"a checkpoint comes back exactly: tried in {format_duration(as_float(e.get('seconds')))}",
    "warning": _warning,
    "saved": _saved,
    "save_failed": lambda e: f"step {_count(e, 'step')} could not be saved: {_text(e, 'message')}",
    "pruned": lambda e: f"deleted {_text(e, 'checkpoint')}",
    "sampled": _sampled,
    "held_out": lambda e: f"{_count(e, 'images')} images held out to be measured",
    "validated": lambda e: f"validation loss {format_loss(as_float(e.get('loss')))} at step {_count(e, 'step')}",
    "command": _command,
    "lr_scaled": _lr_scaled,
    "stopping": lambda e: f"stopping, asked by {_text(e, 'reason')}",
    "nonfinite": lambda e: (
        f"the {_text(e, 'what')} of step {_count(e, 'step')} is not finite{': dropped' if e.get('dropped') else ''}"
    ),
    "paused": lambda e: f"paused at step {_count(e, 'step')}",
    "unpaused": lambda e: f"going on after {format_duration(as_float(e.get('seconds')))}",
    "stopped": lambda e: f"stopped at step {_count(e, 'step')}",
    "finished": lambda e: f"finished at step {_count(e, 'step')}",
    "failed": _failed,
}
_STYLES = {
    "failed": "$error",
    "save_failed": "$error",
    "nonfinite": "$error",
    "warning": "$warning",
    "stopping": "$warning",
    "paused": "$warning",
    "finished": "$success",
    "saved": "$primary",
    "resumed": "$accent",
    "continued": "$accent",
}
