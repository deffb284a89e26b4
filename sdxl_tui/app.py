"""The shell of the app: three places, each in a mode of its own, theme, help, quitting. What a place does is in ``screens/``.

Runs are looked at by one background thread (``RunsWatch``); whatever changed is put into ``SdxlTui.runs``, which the Runs
place and the bars follow. Profiles and Checkpoints are imported when they are first visited, so that the first frame comes
soon. The app only reads run directories and drops requests into them: quitting, or dying, never touches a run.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from textual import on, work
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.filter import Monochrome
from textual.message import Message
from textual.reactive import var
from textual.screen import Screen

from sdxl_tui.config import Config, ConfigError, Event, ThemeName, read_config
from sdxl_tui.fleet.gpu_processes import own_runs
from sdxl_tui.fleet.gpu_watch import GpuWatch
from sdxl_tui.fleet.happenings import Happenings, refusal
from sdxl_tui.fleet.queue.watch import QueueWatch
from sdxl_tui.fleet.run_marks import RunMarks
from sdxl_tui.fleet.watch import RunsWatch
from sdxl_tui.fleet.watched.watch import WatchedWatch
from sdxl_tui.screens.place import OpenCheckpoints, OpenPlace, OpenRun, Place, PlaceName
from sdxl_tui.screens.runs import RunsScreen
from sdxl_tui.settled_memory import settle_memory
from sdxl_tui.terminal.attention import attention
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.frugal import FrugalFrames
from sdxl_tui.terminal.guard import guard_stream, install_guard
from sdxl_tui.terminal.ink import InkFilter
from sdxl_tui.terminal.pictures import remove_pictures
from sdxl_tui.theme import THEMES
from sdxl_tui.typed_ahead import TypesAhead
from sdxl_tui.widgets.key_names import named
from sdxl_tui.widgets.place_bar import PlaceBar

if TYPE_CHECKING:
    from textual.command import Provider

    from sdxl_tui.fleet.gpu_readings import GpuReading
    from sdxl_tui.fleet.happenings import Happening
    from sdxl_tui.fleet.queue.going_on import WentOn
    from sdxl_tui.fleet.runs import RunSummary
    from sdxl_tui.workspace import Workspace


TERMINAL_SECONDS: Final = 3.0
"""Between two looks at whether the terminal is still there."""
KEYS_SECONDS: Final = 1.0
"""After the first frame, before a user's keys are looked over: that imports every screen."""


def run_app(workspace: Workspace, *, open_run: str | None = None) -> int:
    """Open the app on ``workspace`` until the user quits; its exit code. open_run: id of the run whose page is shown first."""
    install_guard()
    config, problem = Config(), ""
    try:
        config = read_config()
    except ConfigError as error:  # nobody is kept from their runs by a comma
        problem = str(error)
    app = SdxlTui(workspace, open_run=open_run, config=config, config_problem=problem)
    guard_stream(app, sys.__stderr__ or sys.stderr)
    app.run()
    return app.return_code or 0


def has_lost_terminal() -> bool:
    """The terminal is gone. Who has it only as a file (su -c, docker exec) is not told by a signal."""
    try:
        descriptor = sys.__stdin__.fileno() if sys.__stdin__ else -1
    except (OSError, ValueError):
        return False
    watch = select.poll()
    watch.register(descriptor, 0)
    return any(found & select.POLLHUP for _, found in watch.poll(0))


def has_shell() -> bool:
    """Who started this process does job control: it is of the same session, and gave us a group of our own."""
    parent = os.getppid()
    try:
        return os.getsid(parent) == os.getsid(0) and os.getpgid(parent) != os.getpgrp()
    except OSError:
        return False


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


def _palette() -> type[Provider]:
    from sdxl_tui.screens.palette import PlaceCommands  # noqa: PLC0415 - not needed for the first frame

    return PlaceCommands


class SdxlTui(TypesAhead, FrugalFrames):
    """now: the clock that ages are counted from (Unix seconds); tests freeze it. config: the user's settings, by default none.
    config_problem: why there are none although there is a file.
    """

    TITLE = "sdxl-tui"
    CSS_PATH = "app.tcss"
    COMMANDS = {_palette}  # noqa: RUF012 - Textual declares it so
    DEFAULT_MODE = PlaceName.RUNS
    BINDINGS: ClassVar[list[BindingType]] = named(
        "app",
        [
            Binding("f1", "place('runs')", "Runs", show=False, priority=True),
            Binding("f2", "place('profiles')", "Profiles", show=False, priority=True),
            Binding("f3", "place('checkpoints')", "Checkpoints", show=False, priority=True),
            Binding("1", "place('runs')", "Runs", show=False),
            Binding("2", "place('profiles')", "Profiles", show=False),
            Binding("3", "place('checkpoints')", "Checkpoints", show=False),
            Binding("ctrl+l", "redraw", "Draw the screen anew", show=False),
            Binding("ctrl+z", "suspend_process", "To the shell; fg comes back", show=False),
            Binding("question_mark", "help", "Help"),
            Binding("q", "quit", "Quit"),
        ],
    )

    runs: var[tuple[RunSummary, ...] | None] = var(None, always_update=True)
    """Every run of the workspace, newest first; None until they have been read once."""
    gpus: var[tuple[GpuReading, ...]] = var(())
    """The GPUs of this machine; none where there are none, or until they have been read."""

    def __init__(
        self,
        workspace: Workspace,
        *,
        open_run: str | None = None,
        now: Callable[[], float] = time.time,
        config: Config | None = None,
        config_problem: str = "",
    ) -> None:
        super().__init__()
        self.workspace = workspace
        self.config = config or Config()
        self._config_problem = config_problem
        self.now = now
        self.marks = RunMarks()
        """The runs that are to be compared, and everybody's colour."""
        self.runs_problem = ""
        """Why the runs cannot be read; empty while they can."""
        self._open_run = open_run
        self._came_from: PlaceName | None = None
        self.add_mode(PlaceName.RUNS, lambda: RunsScreen(workspace))
        self.add_mode(PlaceName.PROFILES, self._profiles)
        self.add_mode(PlaceName.CHECKPOINTS, self._checkpoints)
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
        for theme in THEMES.values():
            self.register_theme(theme)
        self.theme = THEMES[self.config.theme].name
        if self.no_color:
            self.theme = THEMES[ThemeName.CONTRAST].name
            self._filters = [*(one for one in self._filters if not isinstance(one, Monochrome)), InkFilter()]

    def _profiles(self) -> Screen[Any]:
        from sdxl_tui.screens.profiles import ProfilesScreen  # noqa: PLC0415 - not needed for the first frame

        return ProfilesScreen(self.workspace)

    def _checkpoints(self) -> Screen[Any]:
        from sdxl_tui.screens.checkpoints import CheckpointsScreen  # noqa: PLC0415 - not needed for the first frame

        return CheckpointsScreen(self.workspace)

    def on_mount(self) -> None:
        """Take what the watch has found by now; open the page that was asked for."""
        settle_memory()
        self._is_listening = True
        match self._watch.last:
            case str(reason):
                self._tell(RunsUnreadable(reason))
            case tuple(runs):
                self._show_runs(runs, ())
        self._queue_watch.start()
        self._gpu_watch.start()
        if not self.is_headless:
            self.set_interval(TERMINAL_SECONDS, self._end_without_terminal)
        if self.config.keys:
            self.set_keymap(dict(self.config.keys))
            self.set_timer(KEYS_SECONDS, self._check_keys)
        if self._config_problem:
            words = f"{clean(self._config_problem, lines=True)}\nUntil it is mended, the defaults are used."
            self.notify(words, title="Configuration", severity="error", markup=False, timeout=20)
        if self._open_run is not None:
            self.post_message(OpenRun(self._open_run))

    def on_unmount(self) -> None:
        """Stop watching; leave no picture in the terminal's memory."""
        remove_pictures(self)
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

    @work(thread=True, group="keys")
    def _check_keys(self) -> None:
        """Names that there are not do nothing, and keys that lost their meaning may be missed: both are told."""
        from sdxl_tui.named_keys import lost_keys, named_keys, unknown_names  # noqa: PLC0415

        known = named_keys()
        wrong, lost = unknown_names(self.config.keys, known), lost_keys(self.config.keys, known)
        if wrong or lost:
            words = clean("\n".join([*wrong, *lost]), lines=True)
            severity: Literal["error", "warning"] = "error" if wrong else "warning"
            self.call_from_thread(
                self.notify, words, title="Configuration", severity=severity, markup=False, timeout=12
            )

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

    # Going places

    async def action_place(self, place: str) -> None:
        """Go to a place as it was left; if one is there already, to its first page."""
        if place != self.current_mode:
            self._came_from = None
            await self.switch_mode(place)  # what is typed next is for it
        else:
            while len(self.screen_stack) > 1 and isinstance(self.screen, Place) and self.screen.unsaved is None:
                self.pop_screen()

    async def action_back(self) -> None:
        """One page up; from a place's first page to where it was opened from."""
        if len(self.screen_stack) > 1:
            self.pop_screen()
        elif self._came_from is not None:
            place, self._came_from = self._came_from, None
            self.switch_mode(place)

    def on_look_now(self) -> None:
        """A screen has done something to runs."""
        self._watch.look_now()
        self._watched_watch.look_now()
        self._queue_watch.look_now()

    def on_open_place(self, message: OpenPlace) -> None:
        """A screen asks for a place."""
        self._go_from_here(message.place)

    async def on_place_bar_clicked(self, message: PlaceBar.Clicked) -> None:
        """A click in the bar above."""
        await self.action_place(message.place)

    def _go_from_here(self, place: PlaceName) -> None:
        here = PlaceName(self.current_mode)
        if here != place:
            self.switch_mode(place)
            self._came_from = here

    async def on_open_run(self, message: OpenRun) -> None:
        """A screen asks for a run's page: it is put on the Runs place in the place of another run's page."""
        from sdxl_tui.screens.run import RunScreen  # noqa: PLC0415 - not needed for the first frame

        self.on_look_now()
        self._go_from_here(PlaceName.RUNS)
        while len(self.screen_stack) > 1:
            await self.pop_screen()
        run = next((run for run in self._watched if run.id == message.run_id), None)
        if run is None:
            await self.push_screen(RunScreen(self.workspace, message.run_id))
        else:
            from sdxl_tui.screens.watched_run import WatchedRunScreen  # noqa: PLC0415 - few have any

            await self.push_screen(WatchedRunScreen(self.workspace, run))

    async def on_open_checkpoints(self, message: OpenCheckpoints) -> None:
        """A screen asks for a run's checkpoints."""
        from sdxl_tui.screens.checkpoints import CheckpointsScreen  # noqa: PLC0415 - not needed for the first frame

        self._go_from_here(PlaceName.CHECKPOINTS)
        if isinstance(screen := self.screen, CheckpointsScreen):
            screen.show_run(message.run_id)

    # Help and quitting

    async def action_help(self) -> None:
        """The keys of the screen in front."""
        from sdxl_tui.screens.help import HelpScreen  # noqa: PLC0415 - not needed for the first frame

        if isinstance(self.screen, Place):
            await self.push_screen(HelpScreen(self.screen))

    async def action_quit(self) -> None:
        """Leave; asks first if something typed would be lost. Runs go on."""
        places = [screen for stack in self._screen_stacks.values() for screen in stack if isinstance(screen, Place)]
        unsaved = [what for place in places if (what := place.unsaved) is not None]
        if not unsaved:
            self.exit()
            return
        from sdxl_tui.screens.ask import Answer, Ask  # noqa: PLC0415 - not needed for the first frame

        question = Ask(
            "Quit without saving?",
            f"Not saved: {clean(', '.join(unsaved))}. Runs go on in any case.",
            [Answer("quit", "y", "Quit and lose the changes", destroys=True)],
        )

        def leave(answer: str | None) -> None:
            if answer == "quit":
                for place in places:
                    place.forget_unsaved()
                self.exit()

        await self.push_screen(question, leave)

    def action_suspend_process(self) -> None:
        """To the shell, which fg comes back from; where no shell started this (ssh HOST sdxl-tui) nobody could wake it."""
        if has_shell():
            super().action_suspend_process()
        else:
            self.notify("There is no shell behind this app to go to.", title="Ctrl-Z", markup=False, timeout=4)

    def _end_without_terminal(self) -> None:
        """As a lost connection ends it, by the same signal: nobody would ever end it else."""
        if has_lost_terminal():
            os.kill(os.getpid(), signal.SIGHUP)

    @on(Driver.SignalResume)
    def _draw_all(self) -> None:
        """Back from the shell: Textual draws what has changed, and the terminal has lost everything."""
        self.refresh(layout=True)

    def action_help_quit(self) -> None:
        """Ctrl+C: say how to leave, so that a reflex ends nothing."""
        self.notify("q leaves the app. Runs go on without it.", timeout=3)
