"""The Checkpoints place: families of runs and their checkpoints on the left, everything the chosen one says on the right.

Folders with training states of sd-scripts stand below the families. All reading is done in threads; the list follows a live
run's saves by itself. What the keys do is in ``checkpoint_place``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on, work
from textual.containers import Horizontal
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget
from textual.worker import get_current_worker

from engine.checkpoint.describe import BrokenCheckpoint
from engine.errors import UserError
from engine.foreign.lora_facts import LoraFacts
from engine.foreign.sd_scripts_state import SdScriptsState
from engine.run.layout import RunDirectory
from sdxl_tui.fleet.families import CheckpointEntry, CheckpointShelf, Family
from sdxl_tui.fleet.foreign_states import ForeignEntry, StateFolder, StateFolderError, StateShelf
from sdxl_tui.fleet.sample_pictures import samples_by_step
from sdxl_tui.screens.checkpoint_place import CheckpointPlace
from sdxl_tui.screens.place import PlaceName
from sdxl_tui.screens.sample_tiles import TileSize, sample_tiles
from sdxl_tui.settled_memory import settle_memory
from sdxl_tui.terminal.clean import clean
from sdxl_tui.widgets.family_list import FamilyList, Selection
from sdxl_tui.widgets.gallery import GAP, Tile, gallery_strips
from sdxl_tui.widgets.state_details import state_details

if TYPE_CHECKING:
    from sdxl_tui.workspace import Workspace

REFRESH_EVERY: Final = 2.0
PUBLISH_EVERY: Final = 0.3
"""Seconds of reading after which what was read so far is shown."""
REST_SECONDS: Final = 0.15
"""The cursor rests this long on a checkpoint before its samples are read."""
IDLE_SECONDS: Final = 0.7
"""Without a move, after which the dialogs are imported."""
GIVE_WAY_SECONDS: Final = 0.004
"""Between two reads while the cursor moves: the details of the row it is on come first."""
SAMPLE_CELLS, SAMPLE_LINES = 32, 6
"""Cells across of a sample beside the details, and lines that must be free for any."""
MUTED: Final = "$foreground 60%"


class CheckpointsScreen(CheckpointPlace):
    """Runs, checkpoints and the scheduler state stored in them."""

    place = PlaceName.CHECKPOINTS
    topic = "Checkpoints"
    about: ClassVar[tuple[str, ...]] = (
        "Every checkpoint shows the learning-rate schedule stored in it: where it stands, what the next steps would be.",
        "Resume goes on exactly there, in the same run. Continue makes a child run: with a new learning rate and schedule, "
        "with the moments or without, with more steps or another rank. It shows the jump before anything is started.",
        "The filter takes words and conditions: fox lr<1e-4 -damaged. Words are looked for in the run's name and in what the "
        "checkpoint is (pinned, cosine, decay, adamw …), a dash before one leaves those out. Fields: step loss val lr base "
        "done epoch rank size age, as in step>=500, val<0.12, done>50%, size>100MB, age<2d.",
        "Space marks a checkpoint or state; with two marked, = shows what differs. Training states and LoRA files of sd-scripts "
        "appear here too: f in Runs adds a folder. c trains on from their weights, with the settings of a profile you choose.",
    )

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._shelf = CheckpointShelf(workspace)
        self._states = StateShelf(workspace)
        self._states_problem = ""
        self._moved_at = time.monotonic()
        self._offered: tuple[object, ...] = ()
        self._pictured: tuple[str, Size] | None = None
        """Whose samples were drawn last, for which screen."""

    def compose_body(self) -> Iterable[Widget]:
        yield Horizontal(self._list, self._details)

    def on_mount(self) -> None:
        """Read now and from then on."""
        self._details.say(("Reading the checkpoints …", MUTED))
        self._list.take_focus()
        self.read_every(REFRESH_EVERY, paced=True)
        self._preparing = self.set_interval(REST_SECONDS, self._prepare_at_rest)

    def _prepare_at_rest(self) -> None:
        """Once the list was read and nobody moves in it: imports would hold up the first keys."""
        if not self._reading and time.monotonic() - self._moved_at > IDLE_SECONDS:
            self._preparing.stop()
            self._prepare_dialogs()

    @work(thread=True, group="prepare")
    def _prepare_dialogs(self) -> None:
        """Import what the dialogs need (pydantic among it), so that they open at once."""
        import sdxl_tui.screens.file_dialog  # noqa: PLC0415
        import sdxl_tui.screens.resume_dialog  # noqa: PLC0415
        import sdxl_tui.screens.way_on_dialog  # noqa: F401, PLC0415

        settle_memory()

    def on_screen_resume(self) -> None:
        """What happened while another place was looked at."""
        self.read_soon()

    def show_run(self, run_id: str) -> None:
        """Put the cursor on the newest checkpoint of a run, unfolding it."""
        self._list.go_to_run(run_id)
        self.read_soon()

    # reading

    def read_and_show(self) -> None:
        """List what there is, show it, then read what is in sight and not known yet."""
        worker = get_current_worker()
        try:
            self._publish()
            published, fresh = time.monotonic(), False
            for read in self._unread():
                if worker.is_cancelled:
                    return
                read()
                fresh = True
                if time.monotonic() - self._moved_at < REST_SECONDS:
                    time.sleep(GIVE_WAY_SECONDS)
                if time.monotonic() - published > PUBLISH_EVERY:
                    self._publish()
                    published, fresh = time.monotonic(), False
            if fresh:
                self._publish()
        except UserError as error:
            self.app.call_from_thread(self._say_instead, str(error))

    def _unread(self) -> Iterable[Callable[[], object]]:
        for entry in [entry for entry in self._list.in_sight() if entry.described is None]:
            yield partial(self._shelf.describe, entry)
        for state in [state for state in self._list.states_in_sight() if state.described is None]:
            yield partial(self._states.describe, state)

    def _publish(self) -> None:
        families, problem = self._shelf.read(), ""
        states: tuple[StateFolder, ...] = ()
        try:
            states = self._states.read()
        except StateFolderError as error:
            problem = str(error)
        self.app.call_from_thread(self._show_all, families, states, problem)

    @work(thread=True, exclusive=True, group="describe")
    def _describe(self, entry: CheckpointEntry) -> None:
        described = self._shelf.describe(entry)
        if not get_current_worker().is_cancelled:
            self.app.call_from_thread(self.read_soon if described is None else self.show_selected)

    @work(thread=True, exclusive=True, group="describe")
    def _describe_state(self, state: ForeignEntry) -> None:
        self._states.describe(state)
        if not get_current_worker().is_cancelled:
            self.app.call_from_thread(self.show_selected)

    @work(thread=True, exclusive=True, group="samples")
    def _draw_samples(self, entry: CheckpointEntry) -> None:
        """The pictures of exactly this step, as many as have room, once the cursor rests."""
        time.sleep(REST_SECONDS)
        worker, room = get_current_worker(), self._details.room_for_samples
        paths = samples_by_step(RunDirectory(entry.folder.parent.parent)).get(entry.step, ())
        fitting = min(len(paths), (room.width + GAP) // (SAMPLE_CELLS + GAP))
        if worker.is_cancelled or not fitting or room.height < SAMPLE_LINES:
            return

        def show(tiles: list[Tile], _: str) -> None:
            if not worker.is_cancelled:
                self.app.call_from_thread(self._take_samples, entry.key, gallery_strips(tiles, SAMPLE_CELLS))

        size = TileSize(SAMPLE_CELLS, min(room.height, SAMPLE_CELLS // 2))
        sample_tiles(self.app, [(path, "") for path in paths[:fitting]], size, lambda: worker.is_cancelled, show)

    def _take_samples(self, key: str, strips: list[Strip]) -> None:
        entry = self._entry()
        if entry is not None and entry.key == key:
            self._details.show_samples(strips)

    # showing

    def _show_all(self, families: tuple[Family, ...], states: tuple[StateFolder, ...], problem: str) -> None:
        self._list.show(families, self.now(), states)
        self.show_selected()
        if problem and problem != self._states_problem:
            self.notify(clean(problem, lines=True), title="States", severity="warning", markup=False, timeout=10)
        self._states_problem = problem

    def _say_instead(self, text: str) -> None:
        self._details.say((clean(text, lines=True), "$error"))

    def _say_empty(self) -> None:
        if self._list.is_filtered:
            self._details.say(("Nothing fits the filter.", MUTED))
        else:
            self._details.say(
                ("No runs yet.\n\n", "bold"),
                ("Launch a profile (", MUTED),
                ("2", "bold $primary"),
                (" Profiles). Its checkpoints appear here as they are saved.", MUTED),
            )

    def selected(self) -> Selection | None:
        selection = self._list.selection
        if selection is None or selection.entry is None:
            return selection
        return Selection(selection.family, self._shelf.known(selection.entry))

    def start_entry(self) -> ForeignEntry | None:
        state = self._list.state
        if not isinstance(state, ForeignEntry):
            return None
        known = self._states.known(state)
        return known if isinstance(known.described, SdScriptsState | LoraFacts) else None

    def show_selected(self) -> None:
        selected, summary = self.selected(), self.summary()
        offered = (
            self.start_entry() is None,
            selected is None,
            summary is None,
            self.is_usable(),
            len(self._list.marked),
            self._list.is_on_checkpoint,
        )
        if offered != self._offered:
            self._offered = offered
            self.refresh_bindings()
        if selected is None:
            self._show_state()
            return
        family, entry = selected.family, selected.entry
        if entry is None:
            self._details.say(
                (f"{family.run.id}\n", "bold"),
                (f"{family.run.state}. {'' if family.problem else 'No checkpoint yet.'}", MUTED),
                (f"\n{clean(family.problem).capitalize()}.", "$error") if family.problem else "",
                (f"\n{clean(family.run.reason)}", "$warning") if family.run.reason else "",
            )
        elif entry.described is None:
            self._describe(entry)
        elif isinstance(entry.described, BrokenCheckpoint):
            self._details.say(
                (f"{entry.described.name}\n", "bold"),
                ("damaged\n\n", "bold $error"),
                (clean(entry.described.reason, lines=True), ""),
                ("\n\nNothing can be resumed or continued from it. Older checkpoints are not touched by this.", MUTED),
            )
        else:
            self._details.show(
                entry.described,
                family.run,
                family.parent or family.run.started_from,
                self._checked.get(entry.key),
                self.now(),
                kept="kept though replaced" if entry.is_replaced else "pinned" if entry.pinned else "",
            )
            if not self.app.no_color and self._pictured != (pictured := (entry.key, self.size)):
                self._pictured = pictured
                self._draw_samples(entry)

    def _show_state(self) -> None:
        state = self._list.state
        if state is None:
            if self._list.families is not None and self._list.is_empty:
                self._say_empty()
        elif isinstance(state, ForeignEntry) and self._states.known(state).described is None:
            self._describe_state(state)
        else:
            known = self._states.known(state) if isinstance(state, ForeignEntry) else state
            self._details.say_content(lambda width: state_details(known, width))

    @on(FamilyList.Moved)
    def _moved(self) -> None:
        self._moved_at = time.monotonic()
        self.show_selected()

    @on(FamilyList.Unfolded)
    def _unfolded(self) -> None:
        self.read_soon()

    @on(FamilyList.Chosen)
    def _chosen(self) -> None:
        self.action_resume()
