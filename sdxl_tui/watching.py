"""What the app hears of without asking: runs of ours and of others, the queue, the GPUs. Watched in threads, told as messages.

Our runs are looked at by one thread (``RunsWatch``); whatever changed is put into ``Watching.runs``, which the Runs place and the
bars follow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from textual.message import Message
from textual.reactive import var

from sdxl_tui.config import Config, Event
from sdxl_tui.fleet.gpu_processes import own_runs
from sdxl_tui.fleet.gpu_watch import GpuWatch
from sdxl_tui.fleet.happenings import Happenings, refusal
from sdxl_tui.fleet.queue.watch import QueueWatch
from sdxl_tui.fleet.run_marks import RunMarks
from sdxl_tui.fleet.watch import RunsWatch
from sdxl_tui.fleet.watched.watch import WatchedWatch
from sdxl_tui.settled_memory import settle_memory
from sdxl_tui.terminal.attention import attention
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.job_control import ShellJob
from sdxl_tui.typed_ahead import TypesAhead

if TYPE_CHECKING:
    from sdxl_tui.fleet.gpu_readings import GpuReading
    from sdxl_tui.fleet.happenings import Happening
    from sdxl_tui.fleet.queue.going_on import WentOn
    from sdxl_tui.fleet.runs import RunSummary
    from sdxl_tui.workspace import Workspace


@dataclass
class RunsSeen(Message):
    """The runs of the workspace changed."""

    runs: tuple[RunSummary, ...]
    happened: Sequence[Happening] = ()
    """To them since they were seen before."""


@dataclass
class WatchedSeen(Message):
    """The runs of other trainers changed."""

    runs: tuple[RunSummary, ...]


@dataclass
class WatchedUnreadable(Message):
    """The list of the folders that they lie in cannot be read."""

    reason: str


@dataclass
class FolderUnreadable(Message):
    """A folder that they lie in cannot be listed."""

    reason: str


@dataclass
class RunsUnreadable(Message):
    """The runs folder cannot be read."""

    reason: str


@dataclass
class GpusSeen(Message):
    """The GPUs do something else than before."""

    gpus: tuple[GpuReading, ...]


@dataclass
class QueueWentOn(Message):
    """Runs of the queue were started, or could not be."""

    went: WentOn


@dataclass
class QueueStopped(Message):
    """The queue cannot go on."""

    reason: str


class Watching(TypesAhead, ShellJob):
    """now: the clock that ages are counted from (Unix seconds). config: what is told of, and how."""

    runs: var[tuple[RunSummary, ...] | None] = var(None, always_update=True)
    """Every run of the workspace, newest first; None until they have been read once."""
    gpus: var[tuple[GpuReading, ...]] = var(())
    """The GPUs of this machine; none where there are none, or until they have been read."""

    def __init__(self, workspace: Workspace, *, now: Callable[[], float], config: Config) -> None:
        super().__init__()
        self.workspace = workspace
        self.config = config
        self.now = now
        self.marks = RunMarks()
        """The runs that are to be compared, and everybody's colour."""
        self.runs_problem = ""
        """Why the runs cannot be read; empty while they can."""
        happenings = Happenings()
        self._watch = RunsWatch(
            workspace,
            lambda runs: self._tell(RunsSeen(runs, happenings.look(runs))),
            lambda reason: self._tell(RunsUnreadable(reason)),
        )
        self._queue_watch = QueueWatch(
            workspace,
            lambda went: self._tell(QueueWentOn(went)),
            lambda reason: self._tell(QueueStopped(reason)),
        )
        self._ours: tuple[RunSummary, ...] | None = None
        self._watched: tuple[RunSummary, ...] = ()
        self._watched_watch = WatchedWatch(
            workspace,
            lambda runs: self._tell(WatchedSeen(runs)),
            lambda reason: self._tell(WatchedUnreadable(reason)),
            lambda: {run.id for run in self._ours or ()},
            lambda problem: self._tell(FolderUnreadable(problem)),
        )
        self._gpu_watch = GpuWatch(lambda gpus: self._tell(GpusSeen(gpus)), lambda: own_runs(self.runs or ()))
        self._is_listening = False
        self._watch.start()

    def on_mount(self) -> None:
        """Take what the watch has found by now; from now on what it finds is told."""
        settle_memory()
        self._is_listening = True
        match self._watch.last:
            case str(reason):
                self._tell(RunsUnreadable(reason))
            case tuple(runs):
                self._show_runs(runs, ())
        self._queue_watch.start()
        self._gpu_watch.start()

    def on_unmount(self) -> None:
        """Stop watching."""
        self._watch.stop()
        self._queue_watch.stop()
        self._gpu_watch.stop()
        self._watched_watch.stop()

    def _tell(self, message: Message) -> None:
        """Called in the watch's thread; what is found before the app runs is taken at its start."""
        if self._is_listening:
            self.post_message(message)

    def on_runs_seen(self, message: RunsSeen) -> None:
        """The runs changed; what happened to them is told of, wherever one is."""
        for happening in message.happened:
            severity: Literal["error", "information"] = "error" if happening.is_bad else "information"
            self.notify(happening.words, title=happening.run_id, severity=severity, markup=False)
            if happening.event in self.config.notify.on:
                self._ask_for_attention(happening)
        self.runs_problem = ""
        self._show_runs(message.runs, self._watched)

    def _show_runs(self, ours: tuple[RunSummary, ...], watched: tuple[RunSummary, ...]) -> None:
        if self._ours is None and not self._watched_watch.has_begun:
            self.call_after_refresh(self._watched_watch.start)  # the first frame does not wait for folders of others
        self._ours, self._watched = ours, watched
        self.runs = (
            tuple(sorted((*ours, *watched), key=lambda run: (run.created, run.id), reverse=True)) if watched else ours
        )

    def on_watched_seen(self, message: WatchedSeen) -> None:
        """Runs of other trainers stand among ours; before ours are known, they wait."""
        if self._ours is None:
            self._watched = message.runs
        else:
            self._show_runs(self._ours, message.runs)

    def on_folder_unreadable(self, message: FolderUnreadable) -> None:
        """Its runs are not in the table until it can be."""
        words = f"{clean(message.reason)}. What it holds is not shown until it can be."
        self.notify(words, title="Runs of others", severity="warning", markup=False, timeout=10)

    def on_watched_unreadable(self, message: WatchedUnreadable) -> None:
        """They are not shown then; ours are."""
        self.notify(
            clean(message.reason, lines=True), title="Runs of others", severity="error", markup=False, timeout=12
        )
        self._show_runs(self._ours or (), ())

    def _ask_for_attention(self, happening: Happening) -> None:
        """Ring, or have the desktop show it, as the user's configuration says. The text is cleaned there."""
        if self._driver is not None:
            self._driver.write(attention(self.config.notify.terminal, happening.run_id, happening.words))

    def on_runs_unreadable(self, message: RunsUnreadable) -> None:
        """The runs folder cannot be read: the Runs place says so until it can."""
        self.runs_problem = message.reason
        self._ours, self.runs = None, ()

    def on_gpus_seen(self, message: GpusSeen) -> None:
        """For whatever shows them."""
        self.gpus = message.gpus

    def on_queue_went_on(self, message: QueueWentOn) -> None:
        """A run's turn has come, or it could not be started."""
        self._watch.look_now()
        for run_id in message.went.started:
            self.notify("its turn has come: it starts", title=clean(run_id), markup=False)
        for run_id, reason in message.went.refused.items():
            happening = refusal(clean(run_id), reason)
            self.notify(happening.words, title=happening.run_id, severity="error", markup=False, timeout=12)
            if Event.FAILED in self.config.notify.on:
                self._ask_for_attention(happening)

    def on_queue_stopped(self, message: QueueStopped) -> None:
        """The queue cannot be read or changed."""
        self.notify(clean(message.reason, lines=True), title="Queue", severity="error", markup=False, timeout=12)

    def on_look_now(self) -> None:
        """A screen has done something to runs."""
        self._watch.look_now()
        self._watched_watch.look_now()
        self._queue_watch.look_now()
