"""``--wait``: a run's progress until it ends, and its end as an exit code.

On a terminal one line is rewritten; elsewhere a line is printed for each stage, each tenth of the way and each half minute.
Warnings of the engine are printed as they come. Only looks: the run neither knows nor cares.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol

from engine.run.events import JsonLines, read_events
from engine.run.liveness import Liveness, RunState, assess
from sdxl_tui.cli.arguments import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_USER_ERROR
from sdxl_tui.cli.output import Printer, err, shorten
from sdxl_tui.fleet.queue.look import why_it_waits
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_duration, format_loss, format_lr, format_percent, format_speed
from sdxl_tui.workspace import Workspace

if TYPE_CHECKING:
    from engine.run.layout import RunDirectory

POLL_SECONDS: Final = 0.2
PLAIN_SECONDS: Final = 30.0
QUEUE_SECONDS: Final = 0.5
_PREPARING: Final = frozenset({RunState.STARTING, RunState.CACHING})
_ENDING: Final = frozenset({RunState.FINISHED, RunState.STOPPED, RunState.FAILED, RunState.KILLED, RunState.LOST})
_IN_PASSING: Final = frozenset({RunState.SAVING, RunState.SAMPLING, RunState.VALIDATING})
LEFTOVER_SECONDS: Final = 15.0


def follow(run: RunDirectory, program: str) -> int:
    """Show the progress of ``run`` until it ends; its outcome as an exit code. Ctrl-C ends the showing only.

    program: how commands in hints begin.
    """
    printer = err()
    shown = _LiveLine(printer) if printer.is_terminal else _PlainLines(printer)
    events = JsonLines(run.events)
    ended_at: float | None = None
    try:
        _await_its_turn(run, printer, shown)
        while (liveness := assess(run)).alive:
            if liveness.exit is not None:  # what it left behind holds the lock; the run itself has ended
                ended_at = ended_at or time.monotonic()
                if time.monotonic() - ended_at > LEFTOVER_SECONDS:
                    break
            _print_warnings(printer, shown, events, liveness)
            shown.update(liveness)
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        shown.clear()
        printer.line(f"No longer waiting; {run.id} goes on.")
        printer.line(f"  See it with: {program} runs    Stop it with: {program} stop {run.id}")
        return EXIT_INTERRUPTED
    _print_warnings(printer, shown, events, liveness)
    shown.clear()
    return report_outcome(run, liveness, program)


def _await_its_turn(run: RunDirectory, printer: Printer, shown: _Shown) -> None:
    """Return once ``run`` waits in no queue (any more)."""
    said = ""
    while why := why_it_waits(Workspace(run.workspace), run.id):
        if why != said:
            shown.clear()
            printer.line(f"{run.id} waits: {why}")
            printer.flush()
            said = why
        time.sleep(QUEUE_SECONDS)


def _print_warnings(printer: Printer, shown: _Shown, events: JsonLines, liveness: Liveness) -> None:
    for event in events.poll():
        if event.get("event") == "warning" and event.get("attempt") == liveness.attempt:
            shown.clear()
            where = f"{event['where']}: " if event.get("where") else ""
            message = clean(f"{where}{event.get('message')}")
            printer.line(f"{printer.paint('warning:', 'yellow')} {message}")


def report_outcome(run: RunDirectory, liveness: Liveness, program: str) -> int:
    """Say how an ended run ended; 0 for finished and stopped, 2 if the engine met something a person can mend, else 1."""
    printer = err()
    status = liveness.status
    step, total = (status.step, status.total_steps) if status else (0, 0)
    saved = run.checkpoint(step)
    if liveness.state is RunState.FINISHED:
        printer.line(f"{run.id}: {printer.paint('finished', 'green')} after {step} steps")
        if saved.is_dir():
            printer.line(f"  LoRA: {clean(str(saved / 'lora.safetensors'))}")
        return EXIT_OK
    if liveness.state is RunState.STOPPED:
        where = f"at step {step} of {total}" if total else "before the training began"
        kept = f", saved as {saved.name}" if saved.is_dir() else ""
        printer.line(f"{run.id}: {printer.paint('stopped', 'yellow')} {where}{kept}")
        printer.line(f"  Go on with: {program} resume {run.id}")
        return EXIT_OK
    printer.line(f"{printer.paint('error:', 'red')} {run.id}: {clean(failure(run, liveness), lines=True)}")
    printer.line(f"  The whole log: {program} logs {run.id}")
    mendable = liveness.exit is not None and liveness.exit.code == EXIT_USER_ERROR
    return EXIT_USER_ERROR if mendable else EXIT_FAILED


def failure(run: RunDirectory, liveness: Liveness) -> str:
    """Why a run failed: what the engine said last, else what is known from outside."""
    for event in reversed(read_events(run.events)):
        if event.get("event") == "failed" and event.get("attempt") == liveness.attempt:
            where = f"{event['where']}: " if event.get("where") else ""
            hint = f"\n  {event['hint']}" if event.get("hint") else ""
            return f"{liveness.state.value}: {where}{event.get('message') or event.get('error') or ''}{hint}"
    return f"{liveness.state.value}: {liveness.reason}" if liveness.reason else liveness.state.value


def describe_progress(liveness: Liveness) -> str:
    """One line about a live run: state, step, loss, rate, speed, time left."""
    parts = [liveness.state.value]
    status = liveness.status
    if status is None or status.attempt != liveness.attempt:
        return parts[0]
    if status.progress and liveness.state is RunState.CACHING:
        return f"{parts[0]} {status.progress.what} {status.progress.done}/{status.progress.total}"
    if status.total_steps and liveness.state not in _PREPARING:
        share = format_percent(status.step / status.total_steps)
        parts.append(f"step {status.step}/{status.total_steps} ({share})")
    if status.loss_avg is not None:
        parts.append(f"loss {format_loss(status.loss_avg)}")
    if status.lr:
        parts.append(f"LR {format_lr(next(iter(status.lr.values())))}")
    if status.steps_per_second:
        parts.append(format_speed(status.steps_per_second))
    if status.eta_seconds is not None and liveness.state is RunState.TRAINING:
        parts.append(f"{format_duration(status.eta_seconds)} left")
    return "  ".join(parts)


class _Shown(Protocol):
    """Where progress goes."""

    def update(self, liveness: Liveness) -> None:
        """Show the state of things now."""

    def clear(self) -> None:
        """Make room for a line of text."""


class _LiveLine:
    """One line of a terminal, rewritten in place."""

    def __init__(self, printer: Printer) -> None:
        self._printer = printer
        self._last = ""

    def update(self, liveness: Liveness) -> None:
        text = shorten(clean(describe_progress(liveness)), self._printer.width - 1)
        if text != self._last:
            self._printer.rewrite(text)
            self._last = text

    def clear(self) -> None:
        if self._last:
            self._printer.rewrite("")
            self._last = ""


class _PlainLines:
    """A line now and then, for logs and pipes."""

    def __init__(self, printer: Printer) -> None:
        self._printer = printer
        self._last: tuple[RunState, int] | None = None
        self._printed_at = 0.0

    def update(self, liveness: Liveness) -> None:
        if liveness.state in _ENDING:
            return
        status = liveness.status
        tenth = 10 * status.step // max(1, status.total_steps) if status else 0
        state = RunState.TRAINING if liveness.state in _IN_PASSING else liveness.state
        now = time.monotonic()
        if (state, tenth) == self._last and now - self._printed_at < PLAIN_SECONDS:
            return
        self._last, self._printed_at = (state, tenth), now
        self._printer.line(clean(describe_progress(liveness)))
        self._printer.flush()

    def clear(self) -> None:
        """Nothing to take back."""
