"""What happens to runs that their user may want to hear of: it ended, the loss is not finite, the first sample is there.

Whoever is open sees it here (``Happenings``); where nobody is, the run's keeper starts ``sdxl-tui notify about``. Both say it in
the same words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from engine.run.json_lines import JsonLines, read_json_lines
from engine.run.liveness import RunState
from sdxl_tui.config import Event
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count, format_loss

if TYPE_CHECKING:
    from engine.run.layout import RunDirectory
    from sdxl_tui.fleet.runs import RunSummary

UNWANTED: Final = frozenset({RunState.FAILED, RunState.KILLED, RunState.LOST})
"""Ends that nobody asked for."""


@dataclass(frozen=True)
class Happening:
    """Something happened to a run. Text in it is safe to print."""

    run_id: str
    event: Event | None
    """None: it was stopped, by somebody who knows."""
    words: str
    """``finished after 400 steps, loss 0.1130``"""

    @property
    def is_bad(self) -> bool:
        """Somebody should look."""
        return self.event in {Event.FAILED, Event.NAN}


def end_of(run: RunSummary) -> Happening:
    """How a run that is not alive any more ended."""
    reason = f": {run.reason}" if run.reason else ""
    if run.liveness.state is RunState.FINISHED:
        loss = f", loss {format_loss(run.loss_avg)}" if run.loss_avg is not None else ""
        return Happening(run.id, Event.FINISHED, f"finished after {format_count(run.step)} steps{loss}{reason}")
    event = Event.FAILED if run.liveness.state in UNWANTED else None
    return Happening(run.id, event, f"{run.liveness.state.value} at step {format_count(run.step)}{reason}")


def refusal(run_id: str, reason: str) -> Happening:
    """A run of the queue that could not be started."""
    return Happening(run_id, Event.FAILED, f"could not be started and is held: {clean(reason)}")


def happening_of(run_id: str, event: dict[str, Any], *, sampled_before: bool) -> Happening | None:
    """What a line of ``events.jsonl`` means to a person; None if nothing."""
    step = event.get("step")
    at = f" at step {format_count(step)}" if isinstance(step, int) else ""
    match event.get("event"):
        case "nonfinite":
            after = ", the step was dropped" if event.get("dropped") else ""
            return Happening(
                run_id, Event.NAN, f"the {clean(str(event.get('what')), limit=40)} is not finite{at}{after}"
            )
        case "sampled" if not sampled_before:
            files = event.get("files")
            count = len(files) if isinstance(files, list) else 1
            what = "the first sample is there" if count == 1 else f"the first {count} samples are there"
            return Happening(run_id, Event.FIRST_SAMPLE, f"{what}{at}")
    return None


def newest(run: RunDirectory, wanted: Event) -> Happening | None:
    """What ``run`` has last written that means ``wanted``; None if it does not say so, or not for the first time."""
    sampled = False
    found: Happening | None = None
    for event in read_json_lines(run.events):
        happening = happening_of(run.id, event, sampled_before=False)
        if happening is not None and happening.event is wanted:
            if wanted is Event.FIRST_SAMPLE and sampled:
                return None  # an earlier attempt's was the first
            found = happening
        sampled |= event.get("event") == "sampled"
    return found


class Happenings:
    """Follows runs from look to look, in one thread; says each thing once. What was there at the first look is old."""

    def __init__(self) -> None:
        self._alive: set[str] = set()
        self._events: dict[str, JsonLines] = {}
        self._told: set[tuple[str, int, Event]] = set()
        self._sampled: set[str] = set()

    def look(self, runs: Sequence[RunSummary]) -> list[Happening]:
        """What happened since the last look."""
        found = [end_of(run) for run in runs if run.id in self._alive and not run.alive]
        for run in runs:
            if run.alive:
                found += self._news(run)
            else:
                self._events.pop(run.id, None)
        self._alive = {run.id for run in runs if run.alive}
        return found

    def _news(self, run: RunSummary) -> list[Happening]:
        follower = self._events.get(run.id)
        is_new = follower is None
        if follower is None:
            follower = self._events[run.id] = JsonLines(run.directory.events)
        found: list[Happening] = []
        for event in follower.poll():
            happening = happening_of(run.id, event, sampled_before=run.id in self._sampled)
            if event.get("event") == "sampled":
                self._sampled.add(run.id)
            if is_new or happening is None or happening.event is None:
                continue
            key = (run.id, run.liveness.attempt, happening.event)
            if key not in self._told:
                self._told.add(key)
                found.append(happening)
        return found
