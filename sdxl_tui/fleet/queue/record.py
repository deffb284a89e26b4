"""``queue/HOST.json``: the runs that wait on a machine, in order. Read freely, changed by one at a time, replaced whole."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from engine.durable import write_json_atomically
from engine.errors import UserError
from engine.run.keeper import boot_id, pid_namespace, start_of
from engine.run.records import as_float, as_int, read_json_object
from sdxl_tui.workspace import Workspace

FORMAT: Final = 1


class QueueError(UserError):
    """A queue that cannot be read or changed as asked."""


@dataclass(frozen=True)
class Entry:
    """A run that waits for its start, or for being resumed."""

    run: str
    """Its id."""
    added: float
    """Unix seconds."""
    priority: int = 0
    """Higher ones stand before lower ones."""
    held: bool = False
    """Not to be started until it is released."""
    after: str | None = None
    """The id of a run that has to finish first."""
    gpus: tuple[str, ...] = ()
    """UUIDs of the GPUs chosen for it; empty: whichever are free."""
    retries: int = 0
    """How many times it is started again if it fails or is killed."""
    attempts: int = 0
    """The run's starts so far: one more, and it has been started from here."""
    problem: str = ""
    """Why it could not be started; it is held then."""

    @classmethod
    def read(cls, stored: object) -> Self:
        """The entry in ``stored``. Raises ``KeyError``, ``TypeError`` or ``ValueError`` if it is none."""
        if not isinstance(stored, dict):
            raise TypeError("an entry is an object")
        return cls(
            run=str(stored["run"]),
            added=as_float(stored.get("added")) or 0.0,
            priority=as_int(stored.get("priority")) or 0,
            held=stored.get("held") is True,
            after=None if stored.get("after") is None else str(stored["after"]),
            gpus=tuple(str(uuid) for uuid in stored.get("gpus") or ()),
            retries=max(0, as_int(stored.get("retries")) or 0),
            attempts=as_int(stored.get("attempts")) or 0,
            problem=str(stored.get("problem") or ""),
        )


@dataclass(frozen=True)
class Boot:
    """Since when this machine, or this container, has been up: another one means that it was restarted."""

    boot_id: str
    pid_namespace: str
    init_start: int | None

    @classmethod
    def now(cls) -> Self:
        """Since when it has been up now."""
        return cls(boot_id(), pid_namespace(), start_of(1))


@dataclass(frozen=True)
class Queue:
    """The runs that wait, the next one first."""

    entries: tuple[Entry, ...] = ()
    paused: bool = False
    """Nothing is started until it is told to go on."""
    boot: Boot | None = None
    """Since when it may start runs; None: nothing ever waited."""

    @property
    def is_stale(self) -> bool:
        """It waited when the machine was restarted: nothing starts by itself until someone says so."""
        return bool(self.entries) and self.boot != Boot.now()

    @property
    def stands_still(self) -> bool:
        """It starts nothing."""
        return self.paused or self.is_stale

    def find(self, run: str) -> Entry | None:
        """The entry of a run."""
        return next((entry for entry in self.entries if entry.run == run), None)

    def with_entry(self, entry: Entry) -> Queue:
        """``entry`` in its place: for a run that waits already its old one, else after all of its priority or higher."""
        if self.find(entry.run):
            return replace(self, entries=tuple(entry if one.run == entry.run else one for one in self.entries))
        before = [one for one in self.entries if one.priority >= entry.priority]
        after = [one for one in self.entries if one.priority < entry.priority]
        return replace(self, entries=(*before, entry, *after))

    def without(self, run: str) -> Queue:
        """The queue without a run."""
        return replace(self, entries=tuple(entry for entry in self.entries if entry.run != run))

    def moved(self, run: str, to: int) -> Queue:
        """The queue with a run at place ``to`` (0 is the first). It takes over the priority of where it comes to stand."""
        entry = self.find(run)
        if entry is None:
            return self
        others = [one for one in self.entries if one is not entry]
        place = max(0, min(to, len(others)))
        highest = others[place - 1].priority if place else None
        lowest = others[place].priority if place < len(others) else None
        priority = entry.priority
        if lowest is not None:
            priority = max(priority, lowest)
        if highest is not None:
            priority = min(priority, highest)
        return replace(self, entries=(*others[:place], replace(entry, priority=priority), *others[place:]))

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "format": FORMAT,
            "paused": self.paused,
            "boot": None if self.boot is None else asdict(self.boot),
            "entries": [asdict(entry) for entry in self.entries],
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """The queue in ``stored``. Raises ``KeyError``, ``TypeError`` or ``ValueError`` if it is none."""
        if stored.get("format") != FORMAT:
            raise ValueError("another format")
        boot = stored.get("boot")
        return cls(
            tuple(Entry.read(entry) for entry in stored["entries"]),
            stored.get("paused") is True,
            Boot(str(boot["boot_id"]), str(boot["pid_namespace"]), as_int(boot["init_start"])) if boot else None,
        )


def host_name() -> str:
    """The name of this machine as part of a file's."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", socket.gethostname()).lstrip(".") or "localhost"


def queue_file(workspace: Workspace) -> Path:
    """Where this machine's queue lies: runs folders on a shared disk have one per machine."""
    return workspace.queue / f"{host_name()}.json"


def read_queue(workspace: Workspace) -> Queue:
    """The queue as it is; empty where there is none. Raises ``QueueError`` if it cannot be read."""
    return _read(queue_file(workspace))


def waits_elsewhere(workspace: Workspace) -> dict[str, str]:
    """By run id, the other machine whose queue on this disk it waits in. What cannot be read is that machine's affair."""
    found: dict[str, str] = {}
    try:
        with os.scandir(workspace.queue) as entries:
            names = [entry.name for entry in entries if entry.name.endswith(".json") and entry.name[0] != "."]
    except OSError:
        return found
    for name in names:
        if (host := name.removesuffix(".json")) != host_name():
            with contextlib.suppress(QueueError):
                found |= {entry.run: host for entry in _read(workspace.queue / name).entries}
    return found


def _read(path: Path) -> Queue:
    stored = read_json_object(path)
    if stored is None and not os.path.lexists(path):
        return Queue()
    try:
        return Queue.from_json(stored or {})
    except (KeyError, TypeError, ValueError) as error:
        raise QueueError(
            "the queue cannot be read",
            where=str(path),
            hint="Move that file away to start with an empty queue; the runs in it stay, and 'queue add RUN' puts them back.",
        ) from error


class QueueChange:
    """The queue while nobody else can change it. What ``queue`` is set to is written at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queue = _read(path)

    @property
    def queue(self) -> Queue:
        """As it is."""
        return self._queue

    @queue.setter
    def queue(self, changed: Queue) -> None:
        if changed != self._queue:
            write_json_atomically(self._path, changed.to_json())
            self._queue = changed


@contextlib.contextmanager
def changing(workspace: Workspace) -> Iterator[QueueChange]:
    """The queue to change; waits until whoever changes it now is done (a start takes a second).

    Raises ``QueueError`` if it cannot be read, locked or written.
    """
    path = queue_file(workspace)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield QueueChange(path)
        finally:
            os.close(lock)
    except OSError as error:
        raise QueueError(f"the queue cannot be changed: {error.strerror}", where=str(path)) from error
