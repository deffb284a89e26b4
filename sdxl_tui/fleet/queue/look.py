"""The queue as it stands: each run that waits, with its state and why it waits."""

from __future__ import annotations

from dataclasses import dataclass

from engine.run.layout import RunDirectory
from engine.run.liveness import RunState, assess
from sdxl_tui.fleet.queue.record import Entry, Queue, read_queue
from sdxl_tui.fleet.queue.words import waiting_words
from sdxl_tui.workspace import Workspace


@dataclass(frozen=True)
class Waiting:
    """A run that waits."""

    place: int
    """1 for the first of the queue."""
    entry: Entry
    why: str
    resumes: bool
    """It trained before and goes on from its newest checkpoint."""


def look_at(workspace: Workspace) -> tuple[Queue, list[Waiting]]:
    """The queue, and what waits in it. Raises ``QueueError`` if it cannot be read."""
    queue = read_queue(workspace)
    asked = {entry.run for entry in queue.entries} | {entry.after for entry in queue.entries if entry.after}
    states: dict[str, RunState] = {}
    attempts: dict[str, int] = {}
    for run_id in asked:
        run = RunDirectory(workspace.runs / run_id)
        if run.path.is_dir():
            liveness = assess(run)
            states[run_id], attempts[run_id] = liveness.state, liveness.attempt
    words = waiting_words(queue, states)
    return queue, [
        Waiting(place, entry, words[entry.run], attempts.get(entry.run, 0) > 0)
        for place, entry in enumerate(queue.entries, 1)
        if entry.run in words
    ]


def why_it_waits(workspace: Workspace, run_id: str) -> str:
    """Why a run waits; empty if it does not."""
    if read_queue(workspace).find(run_id) is None:
        return ""
    return next((one.why for one in look_at(workspace)[1] if one.entry.run == run_id), "")
