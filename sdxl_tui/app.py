"""The shell of the app: three places, each in a mode of its own, theme, help, quitting. What a place does is in ``screens/``.

What is known of runs, queue and GPUs comes from ``watching.py``. Profiles and Checkpoints are imported when they are first
visited, so that the first frame comes soon. The app only reads run directories and drops requests into them: quitting, or
dying, never touches a run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from textual import work
from textual.binding import Binding, BindingType
from textual.command import CommandPalette
from textual.filter import Monochrome
from textual.screen import Screen

from sdxl_tui.config import Config, ConfigError, ThemeName, read_config
from sdxl_tui.screens.place import OpenCheckpoints, OpenPlace, OpenRun, Place, PlaceName
from sdxl_tui.screens.runs import RunsScreen
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.guard import guard_stream, install_guard
from sdxl_tui.terminal.ink import InkFilter
from sdxl_tui.terminal.pictures import remove_pictures
from sdxl_tui.theme import THEMES
from sdxl_tui.watching import Watching
from sdxl_tui.widgets.key_names import named
from sdxl_tui.widgets.place_bar import PlaceBar

if TYPE_CHECKING:
    from textual.command import Provider

    from sdxl_tui.workspace import Workspace


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


def _palette() -> type[Provider]:
    from sdxl_tui.screens.palette import PlaceCommands  # noqa: PLC0415 - not needed for the first frame

    return PlaceCommands


class SdxlTui(Watching):
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

    def __init__(
        self,
        workspace: Workspace,
        *,
        open_run: str | None = None,
        now: Callable[[], float] = time.time,
        config: Config | None = None,
        config_problem: str = "",
    ) -> None:
        super().__init__(workspace, now=now, config=config or Config())
        self._config_problem = config_problem
        self._open_run = open_run
        self._came_from: PlaceName | None = None
        self.add_mode(PlaceName.RUNS, lambda: RunsScreen(workspace))
        self.add_mode(PlaceName.PROFILES, self._profiles)
        self.add_mode(PlaceName.CHECKPOINTS, self._checkpoints)
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
        """Take up the user's keys; open the page that was asked for."""
        if self.config.keys:
            self.set_keymap(dict(self.config.keys))
            self.set_timer(KEYS_SECONDS, self._check_keys)
        if self._config_problem:
            words = f"{clean(self._config_problem, lines=True)}\nUntil it is mended, the defaults are used."
            self.notify(words, title="Configuration", severity="error", markup=False, timeout=20)
        if self._open_run is not None:
            self.post_message(OpenRun(self._open_run))

    def on_unmount(self) -> None:
        """Leave no picture in the terminal's memory."""
        remove_pictures(self)

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

    # Going places

    async def action_place(self, place: str) -> None:
        """Go to a place as it was left; if one is there already, to its first page."""
        if CommandPalette.is_open(self):  # type: ignore[arg-type]
            # it would stay open where it is, and there can be one
            await self.pop_screen()
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

    def action_help_quit(self) -> None:
        """Ctrl+C: say how to leave, so that a reflex ends nothing."""
        self.notify("q leaves the app. Runs go on without it.", timeout=3)
