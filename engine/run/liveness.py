"""What state a run is in, from its files and its lock: the one place that decides it.

| lock | exit.json | process.json | state |
| --- | --- | --- | --- |
| held | blank | any | what the engine's status says; paused if it is suspended |
| held | filled | any | how it ended, still alive: processes are left over |
| any | the folder may not be read | | lost, and why |
| free | filled | any | finished, stopped, failed, killed |
| free | blank | absent | queued if there is no attempt, else lost |
| free | blank | on another machine, and its keeper or engine still writes (``elsewhere.py``) | what the status says, alive |
| free | blank | any other | what the engine's last event says; else lost: reboot, container restart, or killed with its keeper |
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from engine.run.commands import CommandBox
from engine.run.elsewhere import Elsewhere, seen_elsewhere, watch_elsewhere
from engine.run.json_lines import read_last_json_lines
from engine.run.layout import RunDirectory
from engine.run.lock import STARTING_SECONDS, is_held
from engine.run.process import Place, any_running, is_running, is_suspended, place_of
from engine.run.records import ExitRecord, ProcessRecord, Status

STALLED_SECONDS: Final = 60.0


class RunState(StrEnum):
    """What a run is doing, or how it ended."""

    QUEUED = "queued"
    STARTING = "starting"
    CACHING = "caching"
    TRAINING = "training"
    SAMPLING = "sampling"
    VALIDATING = "validating"
    PAUSED = "paused"
    SAVING = "saving"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    KILLED = "killed"
    LOST = "lost"
    WATCHED = "watched"
    """Another trainer's run, known by what it writes: nothing of it is ours, and whether it lives is not known."""


WORKING: Final = frozenset(
    {
        RunState.STARTING,
        RunState.CACHING,
        RunState.TRAINING,
        RunState.SAMPLING,
        RunState.VALIDATING,
        RunState.PAUSED,
        RunState.SAVING,
    }
)
_LAST_WORDS: Final = {
    "finished": RunState.FINISHED,
    "stopped": RunState.STOPPED,
    "failed": RunState.FAILED,
}


@dataclass(frozen=True)
class Liveness:
    """The state of a run, whether anything of it is alive, and in a few words why."""

    state: RunState
    alive: bool
    """Something of the run still holds its lock (or works on another machine): it cannot be started or deleted."""
    reason: str = ""
    """A short plain phrase, empty where the state says it all."""
    attempt: int = 0
    """The latest start; 0 if there was none."""
    process: ProcessRecord | None = None
    exit: ExitRecord | None = None
    status: Status | None = None
    """The engine's latest word; it may be an earlier attempt's."""


def assess(run: RunDirectory) -> Liveness:
    """Look at ``run`` now. Never raises for what the folder holds; reads a few small files."""
    look = _look(run)
    if look.attempt and look.held == (look.exit is not None):
        # A start or an end between asking for the lock and reading the files looks like this; a second look tells.
        look = _look(run)
    state, alive, reason = _verdict(look)
    return Liveness(state, alive, reason, look.attempt, look.process, look.exit, look.status)


def assess_patiently(run: RunDirectory) -> Liveness:
    """As ``assess``, before something is done that a live run would be harmed by, or that only a live one can hear.

    A single look at a run of another machine, whose clock may be minutes off, does not tell whether it lives: blocks for some
    seconds where it was started there and no end of it is recorded.
    """
    liveness = assess(run)
    if liveness.alive or running_elsewhere(run) is None:
        return liveness
    found = assess(run)  # it has seen now what changed
    return found if found.alive else replace(found, state=RunState.STARTING, alive=True, reason="")


def running_elsewhere(run: RunDirectory) -> str | None:
    """That another machine is at work on ``run``, in words, ``running on gpubox7``: a lock does not reach across every disk.

    Blocks for some seconds where it was started on another machine and no end of it is recorded. None where nothing is seen, and
    where the lock is held, which says it already.
    """
    look = _look(run)
    if look.held or look.exit is not None or not look.attempt:
        return None
    if look.process is None:
        return "being started by someone else" if _just_begun(look) and not is_held(run.lock) else None
    found = watch_elsewhere(run, look.attempt, look.process)
    return None if found is None else found.words


@dataclass(frozen=True)
class _Look:
    """What lies before us: the lock, and the records of the latest attempt."""

    run: RunDirectory
    held: bool
    attempt: int
    exit: ExitRecord | None
    process: ProcessRecord | None
    status: Status | None

    @property
    def own_status(self) -> Status | None:
        """The status, if it is the latest attempt's."""
        return self.status if self.status is not None and self.status.attempt == self.attempt else None


def _look(run: RunDirectory) -> _Look:
    held = is_held(run.lock)
    status = Status.read(run.status)
    number = _latest_attempt(run)
    if number == 0:
        return _Look(run, held, 0, None, None, status)
    attempt = run.attempt(number)
    return _Look(run, held, number, ExitRecord.read(attempt.exit), ProcessRecord.read(attempt.process), status)


def _just_begun(look: _Look) -> bool:
    """Whether the folder of the latest attempt is so new that whoever made it may be about to say who it is."""
    try:
        return abs(time.time() - look.run.attempt(look.attempt).path.stat().st_mtime) < STARTING_SECONDS
    except OSError:
        return False


def _latest_attempt(run: RunDirectory) -> int:
    try:
        with os.scandir(run.attempts) as entries:
            return max((int(entry.name) for entry in entries if entry.name.isdecimal()), default=0)
    except OSError:
        return 0


def _verdict(look: _Look) -> tuple[RunState, bool, str]:
    """(state, alive, reason)"""
    if look.attempt == 0:
        if why := look.run.unreadable:
            return RunState.LOST, False, f"cannot be read: {why}"
        return (RunState.STARTING, True, "") if look.held else (RunState.QUEUED, False, "never started")
    if look.exit is not None:
        state, reason = _ended(look, look.exit)
        if look.held:
            reason = f"{reason}; processes left over" if reason else "processes left over"
        return state, look.held, reason
    if look.held:
        state, reason = _running(look)
        return state, True, reason
    return _gone(look)


def _running(look: _Look) -> tuple[RunState, str]:
    process = look.process
    if process is not None and place_of(process) is Place.HERE:
        if is_suspended(process.engine_pid, process.engine_start):
            return RunState.PAUSED, "suspended by a signal"
        if not any_running(process):
            return RunState.LOST, "the engine ended unrecorded; processes left over"
        if not is_running(process.engine_pid, process.engine_start):
            return RunState.SAVING, "ending"
    state = _said(look.own_status)
    return state, _remark(look, state)


def _said(status: Status | None) -> RunState:
    """What the engine says it does. After its last word it is still saving, until it is gone."""
    if status is None:
        return RunState.STARTING
    try:
        said = RunState(status.state)
    except ValueError:
        return RunState.STARTING
    return said if said in WORKING else RunState.SAVING


def _remark(look: _Look, state: RunState) -> str:
    """What a person should know about a live run beyond its state: it is asked to stop, or it stands still."""
    if _last_event(look, "stopping") is not None:
        return "stopping"
    status = look.own_status
    if state is RunState.TRAINING and status is not None:
        silent = time.time() - status.heartbeat
        if silent > max(STALLED_SECONDS, 10 / status.steps_per_second if status.steps_per_second else 0.0):
            return f"no step for {silent / 60:.0f} min"
    return ""


def _ended(look: _Look, record: ExitRecord) -> tuple[RunState, str]:
    if record.cause == "exec_failed":
        return RunState.FAILED, f"could not be started: {record.message}"
    if record.signal is not None:
        return _ended_by_signal(look, record, record.signal)
    if record.code:
        return RunState.FAILED, _failure(look) or f"exit code {record.code}{_last_log_line(look)}"
    said = _last_word(look)
    if said is None:
        return RunState.STOPPED, "ended without saying why"
    return said, _failure(look) if said is RunState.FAILED else ""


def _ended_by_signal(look: _Look, record: ExitRecord, number: int) -> tuple[RunState, str]:
    if record.cause == "out_of_memory":
        peak = f" (peak {record.max_rss_kb / 1e6:.1f} GB)" if record.max_rss_kb else ""
        return RunState.KILLED, f"out of memory{peak}"
    if number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL) and _stop_is_waiting(look.run):
        # It was asked to stop and ended before it could answer: what happened is what was wanted, without the saving.
        return RunState.STOPPED, "ended without saving"
    return RunState.KILLED, f"killed by {_signal_name(number)}"


def _gone(look: _Look) -> tuple[RunState, bool, str]:
    """Nobody holds the lock, and no end was recorded."""
    process = look.process
    if (there := _elsewhere(look)) is not None:
        return _said(look.own_status), True, there.words
    if (said := _last_word(look)) is not None:
        unknown = "exit code unknown: its keeper was killed"
        return said, False, (_failure(look) or unknown) if said is RunState.FAILED else unknown
    if process is None:
        return RunState.LOST, False, "its start was cut short"
    reasons = {
        Place.HERE: "engine and keeper were killed",
        Place.BEFORE_REBOOT: "machine rebooted",
        Place.OTHER_CONTAINER: "container restarted",
        Place.OTHER_HOST: f"ran on {process.host}, no sign of life",
    }
    return RunState.LOST, False, reasons[place_of(process)]


def _last_word(look: _Look) -> RunState | None:
    """How the engine itself said that it ended, in its status or, if the disk did not take that, in its last event."""
    status = look.own_status
    if status is not None and status.state in _LAST_WORDS:
        return _LAST_WORDS[status.state]
    event = _last_event(look, *_LAST_WORDS)
    return None if event is None else _LAST_WORDS[event["event"]]


def _failure(look: _Look) -> str:
    """The engine's own message about its failure; empty if it left none."""
    event = _last_event(look, "failed")
    if event is not None:
        return _one_line(event.get("message") or event.get("error") or "")
    status = look.own_status
    return _one_line(status.message) if status is not None and status.state == "failed" else ""


def _last_event(look: _Look, *kinds: str) -> dict[str, Any] | None:
    # The engine writes event kinds as plain JSON strings, so that lines of other kinds need no parsing.
    events = reversed(read_last_json_lines(look.run.events, containing=[f'"{kind}"'.encode() for kind in kinds]))
    return next((e for e in events if e.get("attempt") == look.attempt and e.get("event") in kinds), None)


def _last_log_line(look: _Look) -> str:
    """The last line of the engine's log, which for a Python error names it; with a colon before it, or empty."""
    try:
        with look.run.attempt(look.attempt).log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
            lines = file.read(4096).decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    last = next((line for line in reversed(lines) if line.strip()), "")
    return f": {_one_line(last)}" if last else ""


def _one_line(text: object) -> str:
    return next(iter(str(text).strip().splitlines()), "")[:300]


def _elsewhere(look: _Look) -> Elsewhere | None:
    """The other machine on which the run is still at work."""
    if look.process is None or look.exit is not None:
        return None
    return seen_elsewhere(look.run, look.attempt, look.process)


def _stop_is_waiting(run: RunDirectory) -> bool:
    return any(command.command == "stop" for command in CommandBox(run).poll())


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
