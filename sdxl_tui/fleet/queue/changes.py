"""What a person does to the queue: put a run in, take it out, move, hold and release it; stop the whole and let it go on."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from engine.run.errors import RunBusy
from engine.run.layout import RunDirectory
from engine.run.liveness import Liveness, RunState, assess
from engine.run.lock import RunLock
from sdxl_tui.fleet.gpus import Gpu
from sdxl_tui.fleet.queue.going_on import settled
from sdxl_tui.fleet.queue.record import Boot, Entry, Queue, QueueError, changing
from sdxl_tui.terminal.clean import clean
from sdxl_tui.workspace import Workspace

PRIORITIES: Final = range(-99, 100)


@dataclass(frozen=True)
class Turn:
    """When and where a run that waits is to start."""

    after: str | None = None
    """The id of a run that has to finish first."""
    gpus: tuple[str, ...] = ()
    """UUIDs."""
    priority: int = 0
    retries: int = 0
    held: bool = False
    first: bool = False
    """Before all others of its priority."""


def put_in(workspace: Workspace, run: RunDirectory, turn: Turn) -> int:
    """Let ``run`` wait for its turn; its place, 1 for the next. Nothing is started here.

    Raises ``QueueError`` if it waits already, is alive or finished, or waits for what waits for it.
    """
    liveness = assess(run)
    if liveness.alive:
        raise QueueError("is running", where=run.id)
    if liveness.state is RunState.FINISHED:
        hint = f"Train on: sdxl-tui extend {run.id} --steps N --then HOW --queue"
        raise QueueError("has finished, there is nothing left of it to wait for", where=run.id, hint=hint)
    with changing(workspace) as change:
        queue = settled(workspace, change.queue)
        if queue.find(run.id):
            raise QueueError("is in the queue already", where=run.id, hint=f"See: sdxl-tui queue move {run.id} first")
        _check_after(workspace, queue, run.id, turn.after)
        if not queue.entries:
            queue = replace(queue, boot=Boot.now())
        queue = queue.with_entry(_entry(run, liveness, turn))
        if turn.first:
            queue = queue.moved(run.id, next(i for i, one in enumerate(queue.entries) if one.priority <= turn.priority))
        change.queue = queue
        return place_of(queue, run.id)


def _entry(run: RunDirectory, liveness: Liveness, turn: Turn) -> Entry:
    return Entry(
        run.id,
        time.time(),
        priority=turn.priority,
        held=turn.held,
        after=turn.after,
        gpus=turn.gpus,
        retries=turn.retries,
        attempts=liveness.attempt,
    )


def _check_after(workspace: Workspace, queue: Queue, run_id: str, after: str | None) -> None:
    """Raises ``QueueError`` where a run would wait for ever."""
    seen = {run_id}
    while after is not None:
        if after in seen:
            raise QueueError(f"cannot wait for {clean(after)}, which waits for it", where=run_id)
        if not (workspace.runs / after).is_dir():
            raise QueueError(f"there is no run {clean(after)} to wait for", where=run_id)
        seen.add(after)
        entry = queue.find(after)
        after = entry.after if entry else None


def take_out(workspace: Workspace, run_id: str) -> bool:
    """Take a run out of the queue. One that never started is deleted: it is nothing but a copy of its profile.

    Says whether it was deleted. Raises ``QueueError`` if it is not in the queue, others wait for it, or it cannot be told whether
    it ever started: nothing is changed then.
    """
    with changing(workspace) as change:
        entry = _entry_of(change.queue, run_id)
        waiting = [one.run for one in change.queue.entries if one.after == run_id]
        run = RunDirectory(workspace.runs / run_id)
        with _kept_from_starting(run) as never_started:
            if waiting and never_started:
                hint = f"Take that out first: sdxl-tui queue remove {waiting[0]}"
                raise QueueError(f"{waiting[0]} waits for it", where=run_id, hint=hint)
            change.queue = change.queue.without(entry.run)
            if never_started:
                shutil.rmtree(run.path, ignore_errors=True)
        return never_started


@contextlib.contextmanager
def _kept_from_starting(run: RunDirectory) -> Iterator[bool]:
    """Whether ``run`` never started, and so is nothing but a copy of its profile; if so, nobody starts it while inside."""
    if _left_traces(run):
        yield False
        return
    if not run.path.is_dir():
        yield True
        return
    try:
        lock = RunLock.acquire(run.lock)
    except RunBusy:
        yield False
        return
    with lock:
        yield not _left_traces(run)


def _left_traces(run: RunDirectory) -> bool:
    """Whether a start or a checkpoint is in its folder. Not seeing into it is no answer: raises ``QueueError``."""
    for folder in (run.attempts, run.checkpoints):
        try:
            with os.scandir(folder) as entries:
                if any(entries):
                    return True
        except FileNotFoundError:
            continue
        except OSError as error:
            raise QueueError(
                f"it cannot be told whether it ever started: {error.strerror}",
                where=str(folder),
                hint="It is left as it is, in the queue. Try again when its folder can be read.",
            ) from error
    return False


def move(workspace: Workspace, run_id: str, where: str) -> int:
    """Move a run to ``first``, ``last``, one ``up`` or ``down``, or to a place counted from 1; its new place."""
    with changing(workspace) as change:
        _entry_of(change.queue, run_id)
        now = place_of(change.queue, run_id) - 1
        places = {"first": 0, "last": len(change.queue.entries) - 1, "up": now - 1, "down": now + 1}
        if where not in places and not (where.isdecimal() and int(where)):
            what = f"{clean(where)!r} is no place: first, last, up, down or a number from 1"
            raise QueueError(what, where="queue move")
        change.queue = change.queue.moved(run_id, places[where] if where in places else int(where) - 1)
        return place_of(change.queue, run_id)


def hold(workspace: Workspace, run_id: str) -> None:
    """Do not start a run until it is released."""
    _change_entry(workspace, run_id, lambda entry: replace(entry, held=True))


def release(workspace: Workspace, run_id: str) -> None:
    """Let a run that is held have its turn; one that is not held no longer waits for another run."""

    def released(entry: Entry) -> Entry:
        return replace(entry, held=False, problem="") if entry.held else replace(entry, after=None)

    _change_entry(workspace, run_id, released)


def pause(workspace: Workspace) -> None:
    """Start nothing more until ``let_go``; what runs goes on."""
    with changing(workspace) as change:
        change.queue = replace(change.queue, paused=True)


def let_go(workspace: Workspace) -> None:
    """Let the queue start runs: after a pause, and after this machine was restarted."""
    with changing(workspace) as change:
        change.queue = replace(change.queue, paused=False, boot=Boot.now())


def place_of(queue: Queue, run_id: str) -> int:
    """The place of a run, 1 for the next; 0 if it is not in the queue."""
    return next((place for place, entry in enumerate(queue.entries, 1) if entry.run == run_id), 0)


def find_gpus(words: Sequence[str], gpus: Sequence[Gpu]) -> tuple[str, ...]:
    """The UUIDs of the GPUs that ``words`` name: indices, UUIDs or beginnings of them. Raises ``QueueError``."""
    found = []
    for word in words:
        named = [gpu for gpu in gpus if word == str(gpu.index) or (len(word) > 4 and gpu.uuid.startswith(word))]
        if len(named) != 1:
            there = "; ".join(f"{gpu.index} {clean(gpu.name)} {gpu.uuid}" for gpu in gpus)
            raise QueueError(
                f"there is no GPU {clean(word)!r}",
                where="--gpu",
                hint=f"There are: {there}" if gpus else "No GPU is found on this machine.",
            )
        found.append(named[0].uuid)
    return tuple(dict.fromkeys(found))


def _entry_of(queue: Queue, run_id: str) -> Entry:
    entry = queue.find(run_id)
    if entry is None:
        raise QueueError("is not in the queue of this machine", where=run_id, hint="See what waits: sdxl-tui queue")
    return entry


def _change_entry(workspace: Workspace, run_id: str, change_it: Callable[[Entry], Entry]) -> None:
    with changing(workspace) as change:
        change.queue = change.queue.with_entry(change_it(_entry_of(change.queue, run_id)))
