"""Starting what can be started: called by whoever ends, by each change of the queue, and by the app while it is open."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from engine.errors import UserError
from engine.run.errors import RunBusy
from engine.run.layout import RunDirectory
from engine.run.liveness import Liveness, RunState, assess
from sdxl_tui.fleet.devices import Claim, DevicesBusy, Needs, claim, needs_of
from sdxl_tui.fleet.gpus import Gpu, list_gpus
from sdxl_tui.fleet.queue.record import Entry, Queue, QueueChange, changing, queue_file
from sdxl_tui.fleet.queue.watch import STRANGERS_SECONDS
from sdxl_tui.workspace import Workspace

RETRY_STATES: Final = frozenset({RunState.FAILED, RunState.KILLED, RunState.LOST})


@dataclass
class WentOn:
    """What came of it."""

    started: list[str] = field(default_factory=list)
    """Ids of runs, in the order they were started."""
    refused: dict[str, str] = field(default_factory=dict)
    """By id, why a run could not be started; it is held now."""
    waits_for_strangers: bool = False
    """Something waits for what other programs, or runs of another workspace, have taken: nobody tells us when they end."""


def go_on(workspace: Workspace) -> WentOn:
    """Start every run whose turn it is and whose devices are free. Never raises for what is wrong with one run.

    Two who do this at once take turns, so that none starts a run twice or misses a device that the other saw in use.
    Raises ``QueueError`` if the queue cannot be read or changed.
    """
    went = WentOn()
    if not queue_file(workspace).exists():
        return went
    with changing(workspace) as change:
        change.queue = settled(workspace, change.queue)
        if not change.queue.stands_still:
            _Round(workspace, change, went).start_what_can()
    if went.refused:
        _tell_of_refused(workspace, went)
    return went


def _tell_of_refused(workspace: Workspace, went: WentOn) -> None:
    """Have the user's command told of runs that could not be started: no keeper is there to do it. Returns at once."""
    from sdxl_tui.config import ConfigError, read_config  # noqa: PLC0415 - only where something is refused
    from sdxl_tui.fleet.launch import engine_environment, tell_command  # noqa: PLC0415

    with contextlib.suppress(ConfigError, OSError):
        if read_config().notify.command:
            for run_id in went.refused:
                subprocess.Popen(
                    [*tell_command(workspace.path), run_id, "refused"],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    env=engine_environment(),
                    start_new_session=True,
                )


def settled(workspace: Workspace, queue: Queue) -> Queue:
    """The queue without the runs that were started, and with those once more that are to be tried again."""
    for entry in queue.entries:
        run = RunDirectory(workspace.runs / entry.run)
        if not run.path.is_dir():
            queue = queue.without(entry.run)
            continue
        liveness = assess(run)
        if not was_started(entry, liveness) or (liveness.alive and entry.retries):
            continue
        if entry.retries and liveness.state in RETRY_STATES:
            queue = queue.with_entry(replace(entry, retries=entry.retries - 1, attempts=liveness.attempt, problem=""))
        else:
            queue = queue.without(entry.run)
    return queue


def was_started(entry: Entry, liveness: Liveness) -> bool:
    """The run has had a start since it was put into the queue; one that was cut short before its engine ran is none."""
    began = liveness.process is not None or liveness.exit is not None
    return liveness.attempt > entry.attempts and began


def is_blocked(workspace: Workspace, entry: Entry) -> bool:
    """The run it waits for has not finished."""
    return entry.after is not None and assess(RunDirectory(workspace.runs / entry.after)).state is not RunState.FINISHED


class _Round:
    """One pass over the queue, first to last, while nobody else can change it."""

    def __init__(self, workspace: Workspace, change: QueueChange, went: WentOn) -> None:
        self._workspace, self._change, self._went = workspace, change, went
        self._gpus: list[Gpu] | None = None
        self._kept: set[str] = set()
        """GPUs by UUID that an earlier run waits for: a later one may not take them first."""
        self._all_kept = False
        """An earlier run waits for any GPUs."""
        self._processor_kept = False
        self._trains_here: bool | None = None
        """A run of this workspace is alive; None: nobody has asked yet."""

    def start_what_can(self) -> None:
        for entry in self._change.queue.entries:
            run = RunDirectory(self._workspace.runs / entry.run)
            if entry.held or is_blocked(self._workspace, entry) or assess(run).alive:
                continue
            try:
                self._try(entry, run)
            except RunBusy:
                self._trains_here = True
                continue  # someone started it by hand this very moment: the next round sees that
            except UserError as error:
                reason = str(error).replace("\n", " ")
                self._change.queue = self._change.queue.with_entry(replace(entry, held=True, problem=reason))
                self._went.refused[entry.run] = reason

    def _try(self, entry: Entry, run: RunDirectory) -> None:
        from sdxl_tui.fleet.launch import start  # noqa: PLC0415 - only where something is started

        needs = self._needs(entry, run)
        try:
            devices = self._claim(needs, entry)
        except DevicesBusy as error:
            self._went.waits_for_strangers |= error.by_strangers or not self._somebody_here_trains()
            self._keep_for(needs)
            return
        with devices:
            start(run, devices=devices)
        self._trains_here = True
        self._went.started.append(entry.run)
        if not entry.retries:
            self._change.queue = self._change.queue.without(entry.run)

    def _needs(self, entry: Entry, run: RunDirectory) -> Needs:
        from engine.estimate.memory import estimate_memory  # noqa: PLC0415
        from engine.profile.load import read_snapshot  # noqa: PLC0415

        if not self._found_gpus():
            return Needs(0)
        profile = read_snapshot(run.latest_profile)
        return needs_of(profile, entry.gpus, memory=round(estimate_memory(profile).total))

    def _claim(self, needs: Needs, entry: Entry) -> Claim:
        if not needs.gpus:
            if self._processor_kept:
                raise DevicesBusy("an earlier run waits for the processor")
            return claim(needs, (), entry.run)
        if self._all_kept:
            raise DevicesBusy("an earlier run waits for GPUs")
        return claim(needs, self._found_gpus(), entry.run, without=self._kept)

    def _keep_for(self, needs: Needs) -> None:
        if not needs.gpus:
            self._processor_kept = True
        elif needs.index is not None:
            self._kept.add(self._found_gpus()[needs.index].uuid)
        elif needs.chosen:
            self._kept.update(needs.chosen)
        else:
            self._all_kept = True

    def _somebody_here_trains(self) -> bool:
        """A run of this workspace, whose end will start what waits; else a run of another one is in the way.

        Asked once a round: a workspace may hold thousands of runs, and the queue many that wait.
        """
        if self._trains_here is None:
            paths = self._workspace.runs.iterdir()
            self._trains_here = any(assess(RunDirectory(path)).alive for path in paths if path.is_dir())
        return self._trains_here

    def _found_gpus(self) -> list[Gpu]:
        if self._gpus is None:
            self._gpus = list_gpus()
        return self._gpus


def go_on_until_devices_are_free(workspace: Workspace) -> WentOn:
    """``go_on``; where other programs or another workspace's runs are in the way, again and again until they are not.

    Of several who wait like this on one machine only one does; the others return at once.
    """
    went = go_on(workspace)
    if not went.waits_for_strangers:
        return went
    with _only_waiter(workspace) as alone:
        while alone and went.waits_for_strangers:
            time.sleep(STRANGERS_SECONDS)
            again = go_on(workspace)
            went.started += again.started
            went.waits_for_strangers = again.waits_for_strangers
    return went


@contextlib.contextmanager
def _only_waiter(workspace: Workspace) -> Iterator[bool]:
    descriptor = os.open(queue_file(workspace).with_suffix(".waiter"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def let_others_go_on(workspace: Workspace) -> None:
    """Have a process of its own wait for what ``go_on`` found taken by others. Returns at once."""
    from sdxl_tui.fleet.launch import engine_environment, go_on_command  # noqa: PLC0415

    with contextlib.suppress(OSError):
        subprocess.Popen(
            go_on_command(workspace.path),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=engine_environment(),
            start_new_session=True,
        )
