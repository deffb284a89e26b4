"""What the three places share: the bar above, the keys below, the workspace, and how one place asks for another.

A place is a ``Place`` subclass that takes the workspace and yields its body from ``compose_body``. ``app.py`` makes it the
first time it is visited, as the bottom screen of its own mode, so it keeps its state while another place is looked at.
Pages that belong to a place (a run, a profile in the editor) are ``Place`` subclasses too, pushed on top of it; Escape goes
back. Screens never import the app: they post ``OpenRun``, ``OpenCheckpoints`` or ``OpenPlace``, and the app goes there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Final, ParamSpec, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.events import Mount, ScreenResume
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from engine.errors import UserError
from sdxl_tui.terminal.clean import clean
from sdxl_tui.widgets.key_bar import KeyBar
from sdxl_tui.widgets.key_names import area_name, named
from sdxl_tui.widgets.place_bar import PlaceBar

if TYPE_CHECKING:
    from sdxl_tui.fleet.runs import RunSummary
    from sdxl_tui.workspace import Workspace

OfPlace = TypeVar("OfPlace", bound="Place")
Given = ParamSpec("Given")
Answered = TypeVar("Answered")

READ_ONLY: Final = "You can watch here, but not change anything: the folder of its runs cannot be written by you."


def in_words(error: Exception) -> str:
    """What is wrong, for a person; the system's own errors without their numbers."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


class PlaceName(StrEnum):
    """The places, by the name of their mode."""

    RUNS = "runs"
    PROFILES = "profiles"
    CHECKPOINTS = "checkpoints"


@dataclass
class OpenPlace(Message):
    """Go to a place as it was left."""

    place: PlaceName


@dataclass
class OpenRun(Message):
    """Go to the page of a run."""

    run_id: str


@dataclass
class OpenCheckpoints(Message):
    """Go to the checkpoints of a run; ``CheckpointsScreen.show_run`` is called with it."""

    run_id: str


@dataclass
class LookNow(Message):
    """Something was just done to runs: they are worth another look."""


def changes_workspace(
    action: Callable[Concatenate[OfPlace, Given], Answered],
) -> Callable[Concatenate[OfPlace, Given], Answered | None]:
    """An action of a place that writes into the workspace: where that is read-only, this is said and nothing is done."""

    @wraps(action)
    def guarded(place: OfPlace, /, *arguments: Given.args, **named_ones: Given.kwargs) -> Answered | None:
        if place.workspace.read_only:
            place.notify(READ_ONLY, title="Read-only workspace", severity="warning", markup=False, timeout=6)
            return None
        return action(place, *arguments, **named_ones)

    return guarded


class Place(Screen[None]):
    """A full screen of the app: place bar, body, key bar."""

    place: ClassVar[PlaceName]
    """Which name in the bar is lit."""
    topic: ClassVar[str] = ""
    """Heading of the help."""
    about: ClassVar[tuple[str, ...]] = ()
    """Paragraphs of the help above the keys: what is seen here and what one can do."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "app.back", "Back", show=False),
        Binding("tab", "app.focus_next", "Next part", show=False),
        Binding("shift+tab", "app.focus_previous", "Previous part", show=False),
    ]

    def __init_subclass__(cls, **words: Any) -> None:
        """Every key of a place has a name, by which a user's configuration finds it."""
        if "BINDINGS" in cls.__dict__:
            cls.BINDINGS = named(area_name(cls.__name__), cls.BINDINGS)
        super().__init_subclass__(**words)

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace

    @on(Mount)
    def _follow_runs(self) -> None:
        """Count the live runs in the bar, if the app knows them."""
        if hasattr(self.app, "runs"):
            self.watch(self.app, "runs", self._show_live)

    @on(ScreenResume)
    def _show_live(self) -> None:
        """Only while in front: whatever a screen behind paints, Textual paints the one in front as a whole."""
        runs: Sequence[RunSummary] | None = getattr(self.app, "runs", None)
        if self.is_active:
            self.query_one(PlaceBar).live = None if runs is None else sum(run.alive for run in runs)

    def compose(self) -> ComposeResult:
        yield PlaceBar(self.place, self.workspace.path, read_only=self.workspace.read_only)
        with Container(classes="body"):
            yield from self.compose_body()
        yield KeyBar()

    def compose_body(self) -> Iterable[Widget]:
        """The widgets between the bars."""
        raise NotImplementedError

    @property
    def is_typing(self) -> bool:
        """Letters go into an input. Keys bound with priority (the filter's, so that what is typed right after it arrives in
        it) have to leave them alone then.
        """
        return isinstance(self.focused, Input)

    def now(self) -> float:
        """The clock that ages are counted from (Unix seconds): the app's, which tests freeze."""
        return float(getattr(self.app, "now", time.time)())

    # In threads

    def _attempt(self, title: str, act: Callable[[], object]) -> bool:
        """Do it; what a person can mend is said. Whether it was done."""
        try:
            act()
        except (UserError, OSError) as error:
            self._say(title, in_words(error))
            return False
        return True

    def _say(self, title: str, reason: str) -> None:
        self.app.call_from_thread(
            self.notify, clean(reason, lines=True), title=title, severity="error", markup=False, timeout=10
        )

    @property
    def unsaved(self) -> str | None:
        """What would be lost if the app quit now (``"changes to demo.toml"``); None: nothing. Quitting then asks."""
        return None

    def forget_unsaved(self) -> None:
        """What is unsaved was given up on purpose."""
