"""The runs of a workspace, read from their folders at each call: there is no index that could be wrong.

Fast enough to be asked every second, and light enough for the command line: no pydantic, no tomlkit, no Textual.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Final

from engine.run.errors import RunError
from engine.run.layout import RUN_ID, RunDirectory
from engine.run.liveness import Liveness, RunState, assess
from engine.run.records import Origin, Parent, RunRecord, Status
from sdxl_tui.fleet.labels import NO_LABELS, Labels, read_labels
from sdxl_tui.fleet.queue.record import QueueError, read_queue, waits_elsewhere
from sdxl_tui.fleet.queue.words import waiting_words
from sdxl_tui.fleet.watched.record import FRESH_SECONDS, Watched, refusal
from sdxl_tui.terminal.clean import clean
from sdxl_tui.workspace import Workspace

LATEST: Final = "latest"


@dataclass(frozen=True)
class RunSummary:
    """One row of a list of runs. Text in it is safe to print; None means not known (yet)."""

    id: str
    name: str
    directory: RunDirectory
    liveness: Liveness
    created: float
    """Unix seconds; the folder's own time if its record is damaged."""
    parent: str | None
    """The id of the run this one continues."""
    origin: Parent | None
    """The checkpoint this run came from, and how."""
    started_from: Origin | None
    """The state or file it started from, if that was no checkpoint of ours."""
    step: int
    total_steps: int
    """0 while unknown."""
    loss: float | None
    loss_avg: float | None
    lr: float | None
    """Of the first parameter group, as last used."""
    steps_per_second: float | None
    eta_seconds: float | None
    """While it trains."""
    device: str
    checkpoint: str | None
    """The newest, by name."""
    message: str
    """What the engine last said."""
    own_reason: str
    """Why the run is in its state, as far as its folder tells; see ``reason``."""
    profile: str = ""
    """The name of the profile it was launched from; empty if its record does not tell."""
    labels: Labels = NO_LABELS
    """What its user says of it."""
    validation_loss: float | None = None
    """On held-out images, as last measured."""
    stage: int | None = None
    """Which of its profile's stages it trains, from 1; None for a profile without stages."""
    waits: str = ""
    """What it waits for, if it is in the queue of this machine."""
    turn: int = 0
    """Its place in the queue, 1 for the next; 0 if it does not wait."""
    watched: Watched | None = None
    """Of a run of another trainer, which is only watched: its folder holds event files, and is never written to. None: ours."""
    waits_on: str = ""
    """Another machine, whose queue it waits in."""
    unchanged_while: tuple[int, int] | None = field(default=None, repr=False)
    """For an ended run: it stays as it is while its folders have these times. None for any other."""

    @property
    def state(self) -> RunState:
        """What it does or how it ended; one that is to be resumed from the queue is queued."""
        return RunState.QUEUED if self.waits else self.liveness.state

    @property
    def reason(self) -> str:
        """Why the run is in its state, in a few words; empty where the state says it all."""
        elsewhere = f"waits in the queue of {self.waits_on}" if self.waits_on else ""
        return self.waits or elsewhere or self.own_reason

    @property
    def alive(self) -> bool:
        """Something of it is alive."""
        return self.liveness.alive

    def moves(self, now: float) -> bool:
        """It is alive, or others wrote of it a moment ago. now: Unix seconds."""
        return self.alive or (self.watched is not None and abs(now - self.watched.written) < FRESH_SECONDS)

    @property
    def share(self) -> float | None:
        """Share of the steps that is done, in [0, 1]."""
        return min(1.0, self.step / self.total_steps) if self.total_steps else None


def list_runs(workspace: Workspace, previous: Iterable[RunSummary] = ()) -> list[RunSummary]:
    """Every run of the workspace, newest first; none if there is no runs folder. A damaged one is a row with a reason.

    previous: an earlier answer. Its ended runs whose folders have not changed since are taken over from it, which makes
    asking again cost next to nothing however many there are.
    """
    known = {summary.id: summary for summary in previous if summary.unchanged_while is not None}
    summaries = []
    for name, path in _run_folders(workspace):
        summary = known.get(name)
        if summary is None or summary.unchanged_while != _folder_times(path):
            summary = summarize(RunDirectory(Path(path)))
        summaries.append(summary)
    summaries = _with_queue(workspace, summaries)
    return sorted(summaries, key=lambda summary: (summary.created, summary.id), reverse=True)


def _with_queue(workspace: Workspace, summaries: list[RunSummary]) -> list[RunSummary]:
    """The same, each with what it waits for."""
    try:
        queue = read_queue(workspace)
    except QueueError:
        waiting = [summary.id for summary in summaries if summary.liveness.state is RunState.QUEUED]
        words = dict.fromkeys(waiting, "the queue cannot be read: see sdxl-tui queue")
    else:
        words = waiting_words(queue, {summary.id: summary.liveness.state for summary in summaries})
    turns = {run_id: turn for turn, run_id in enumerate(words, 1)}
    hosts = waits_elsewhere(workspace)
    return [
        _in_line(summary, words.get(summary.id, ""), turns.get(summary.id, 0), clean(hosts.get(summary.id, "")))
        for summary in summaries
    ]


def _in_line(summary: RunSummary, waits: str, turn: int, host: str) -> RunSummary:
    host = "" if waits or summary.alive else host
    if (summary.waits, summary.turn, summary.waits_on) == (waits, turn, host):
        return summary
    return replace(summary, waits=waits, turn=turn, waits_on=host)


def _folder_times(path: str) -> tuple[int, int] | None:
    """When names in the run's folder and in ``attempts/`` last changed (ns): every start and every record changes one."""
    try:  # by plain text: thousands are asked for, again and again
        return os.stat(path).st_mtime_ns, os.stat(f"{path}/attempts").st_mtime_ns  # noqa: PTH116
    except OSError:
        return None


def run_directories(workspace: Workspace) -> list[RunDirectory]:
    """The folders of the workspace's runs in no order; what is no run (hidden, half built, a file) is left out.

    Raises ``RunError`` if the runs folder is there and cannot be read.
    """
    return [RunDirectory(Path(path)) for _, path in _run_folders(workspace)]


def _run_folders(workspace: Workspace) -> list[tuple[str, str]]:
    """(name, path)"""
    try:
        with os.scandir(workspace.runs) as entries:
            return [(entry.name, entry.path) for entry in entries if RUN_ID.match(entry.name) and entry.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"the runs cannot be listed: {error.strerror}", where=str(workspace.runs)) from error


def summarize(run: RunDirectory) -> RunSummary:
    """Look at one run now. Never raises for what the folder holds."""
    times = _folder_times(str(run.path))  # before all else: what changes while we look counts as changed
    liveness = assess(run)
    has_ended = liveness.exit is not None and not liveness.alive
    record = RunRecord.read(run.record)
    reason = liveness.reason
    if record is None and not run.unreadable:
        reason = f"run.json is missing or damaged; {reason}".removesuffix("; ")
    status = liveness.status or Status(attempt=0, state="", step=0, total_steps=0, heartbeat=0.0)
    parent = _origin(record)
    return RunSummary(
        id=run.id,
        name=clean(record.name) if record else run.id,
        directory=run,
        liveness=replace(liveness, reason=clean(liveness.reason)),
        created=record.created if record else _made(run),
        parent=parent.run if parent else None,
        origin=parent,
        started_from=_started_from(record),
        stage=record.stage if record else None,
        step=status.step,
        total_steps=status.total_steps or _planned_steps(run),
        loss=status.loss,
        loss_avg=status.loss_avg,
        validation_loss=status.validation_loss,
        lr=next(iter(status.lr.values()), None),
        steps_per_second=status.steps_per_second,
        eta_seconds=status.eta_seconds if liveness.state is RunState.TRAINING else None,
        device=clean(status.device),
        checkpoint=clean(status.checkpoint) if status.checkpoint else None,
        message=clean(status.message),
        own_reason=clean(reason),
        profile=clean(PurePath(record.source_profile).stem) if record and record.source_profile else "",
        labels=read_labels(run),
        unchanged_while=times if has_ended else None,
    )


def _origin(record: RunRecord | None) -> Parent | None:
    """The record's parent, safe to print."""
    if record is None or record.parent is None:
        return None
    parent = record.parent
    return Parent(clean(parent.run), clean(parent.checkpoint), parent.step, clean(parent.route), parent.attempt)


def _started_from(record: RunRecord | None) -> Origin | None:
    """The record's origin, safe to print."""
    if record is None or record.origin is None:
        return None
    origin = record.origin
    return replace(origin, path=clean(origin.path), kind=clean(origin.kind), route=clean(origin.route))


def _made(run: RunDirectory) -> float:
    try:
        return run.path.stat().st_mtime
    except OSError:
        return 0.0


def _planned_steps(run: RunDirectory) -> int:
    """The steps its profile asks for, for a run whose engine has not spoken yet; 0 if that cannot be read."""
    import tomllib  # noqa: PLC0415 - only for runs that have not begun

    try:
        steps = tomllib.loads(run.latest_profile.read_text(encoding="utf-8"))["training"]["steps"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return 0
    return steps if isinstance(steps, int) else 0


def find_run(workspace: Workspace, text: str) -> RunDirectory:
    """The run of ours that ``text`` names: an id, the beginning of one, or ``latest``.

    Raises ``RunError`` if there is none (naming the nearest) or more than one, ``WatchedRunError`` if it is another trainer's.
    """
    runs = {run.id: run for run in run_directories(workspace)}
    if text in runs:
        return runs[text]
    refuse_watched(workspace, text)
    if not runs:
        raise RunError(
            "there are no runs yet",
            where=str(workspace.runs),
            hint="Start one: sdxl-tui launch PROFILE, or sdxl-tui demo",
        )
    if text == LATEST:
        return max(runs.values(), key=lambda run: (_created(run), run.id))
    matches = sorted(run_id for run_id in runs if text and run_id.startswith(text))
    if len(matches) == 1:
        return runs[matches[0]]
    if matches:
        raise RunError(
            f"{len(matches)} runs begin with {clean(text)!r}",
            where=str(workspace.runs),
            hint=_named("They are", matches),
        )
    raise RunError(
        f"there is no run {clean(text)!r}",
        where=str(workspace.runs),
        hint=_named("The nearest are", _nearest(text, runs)),
    )


def refuse_watched(workspace: Workspace, text: str) -> None:
    """Raises ``WatchedRunError`` if ``text`` names a run of another trainer: what can only be done with ours was asked of it.

    Names go in this order: an id of ours, an id of theirs, the beginning of ours, the beginning of theirs. Where the list of
    folders cannot be read nothing is watched.
    """
    if not text or text == LATEST or not workspace.state_folders.exists():
        return
    from sdxl_tui.fleet.foreign_states import StateFolderError  # noqa: PLC0415
    from sdxl_tui.fleet.watched.runs import find_watched, ids_of_ours  # noqa: PLC0415 - few have any

    ours = ids_of_ours(workspace)
    if text in ours:
        return
    try:
        found = find_watched(workspace, text)
    except StateFolderError:
        return
    is_ours = any(run_id.startswith(text) for run_id in ours)
    if found is not None and found.watched is not None and (found.id == text or not is_ours):
        error = refusal(found.id, found.watched)
        error.run = found
        raise error


def _created(run: RunDirectory) -> float:
    record = RunRecord.read(run.record)
    return record.created if record else _made(run)


def _nearest(text: str, ids: dict[str, RunDirectory]) -> list[str]:
    import difflib  # noqa: PLC0415 - only for an error message

    newest_first = sorted(ids, reverse=True)
    return difflib.get_close_matches(text, newest_first, n=3, cutoff=0.4) or newest_first[:3]


def _named(beginning: str, ids: list[str]) -> str:
    more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
    return f"{beginning}: {', '.join(ids[:5])}{more}."
