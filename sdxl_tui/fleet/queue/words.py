"""Why each run in the queue waits, for a person. No file is read: the caller has looked at the runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.run.liveness import WORKING, RunState
from sdxl_tui.fleet.queue.record import Entry, Queue
from sdxl_tui.terminal.clean import clean

STALE: Final = "waits since before the restart"
PAUSED: Final = "the queue is paused"


def waiting_words(queue: Queue, states: Mapping[str, RunState]) -> dict[str, str]:
    """By run id, why it waits. states: of all runs, by id; one that runs (again) waits for nothing and is left out."""
    words = {}
    place = 0
    for entry in queue.entries:
        if states.get(entry.run) in WORKING:
            continue
        own = _own_words(entry, states)
        if not own:
            place += 1
        words[entry.run] = own or _place_words(queue, place)
    return words


def _own_words(entry: Entry, states: Mapping[str, RunState]) -> str:
    """What keeps this very run from starting; empty if it only waits for its turn."""
    if entry.problem:
        return f"held, could not be started: {clean(entry.problem)}"
    if entry.held:
        return "held"
    if entry.after is None or (state := states.get(entry.after)) is RunState.FINISHED:
        return ""
    name = clean(entry.after)
    if state is None:
        return f"after {name}, which is gone"
    if state in WORKING or state is RunState.QUEUED:
        return f"after {name}"
    verb = {RunState.STOPPED: "was stopped", RunState.FAILED: "failed", RunState.KILLED: "was killed"}
    return f"after {name}, which {verb.get(state, 'was lost')}"


def _place_words(queue: Queue, place: int) -> str:
    if queue.is_stale:
        return STALE
    if queue.paused:
        return PAUSED
    return "next in the queue" if place == 1 else f"{ordinal(place)} in the queue"


def ordinal(number: int) -> str:
    """``2nd``."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 not in {11, 12, 13} else "th"
    return f"{number}{ending}"


def standstill(queue: Queue) -> str:
    """Why the queue starts nothing, and what to do; empty if it does, or if nothing waits."""
    if not queue.entries:
        return ""
    count = len(queue.entries)
    runs = "1 run waits" if count == 1 else f"{count} runs wait"
    if queue.is_stale:
        return f"This machine was restarted: {runs}, and nothing starts by itself. To go on: sdxl-tui queue start"
    return f"The queue is paused, {runs}. To go on: sdxl-tui queue start" if queue.paused else ""
