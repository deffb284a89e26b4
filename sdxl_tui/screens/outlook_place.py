"""A page with a profile that is edited, and what it comes to beside it: curve, data set, estimate.

Everything is looked at in threads, and what an edit makes out of date is given up; nothing is looked at that is not shown.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual import on, work
from textual.binding import Binding, BindingType
from textual.events import Mount, Resize, ScreenResume
from textual.worker import get_current_worker

from sdxl_tui.fleet.profile_outlook import DataReader, Machine, estimate_of, rooms, this_machine
from sdxl_tui.screens.aside import ask_aside
from sdxl_tui.screens.draft_place import DraftPlace
from sdxl_tui.screens.sample_tiles import TileSize, sample_tiles
from sdxl_tui.widgets.beside_form import PARTS, PLAN, BesideForm
from sdxl_tui.widgets.gallery import GAP, Tile, gallery_strips

if TYPE_CHECKING:
    from pathlib import Path

    from textual.geometry import Size

    from engine.profile.schema import Profile
    from sdxl_tui.fleet.profile_outlook import DataAnswer
    from sdxl_tui.workspace import Workspace

WIDE: Final = 130
HIGH: Final = 46
"""Columns and lines from which all parts stand one below the other."""
TALL: Final = 58
"""Lines from which some of the images are shown among all parts; the data set alone has them on any screen."""
LOOK_AGAIN_EVERY: Final = 10.0
"""Seconds between two looks at the folders of images; free memory and disk are asked as often."""
SHARE_OF_TIME: Final = 0.05
"""That such looks may take; a look at many images is repeated more seldom."""
BREATHE_EVERY: Final = 16
"""Images between two pauses of a millisecond, in which a key that is typed gets its turn at once."""
PROGRESS_EVERY: Final = 0.5
"""Seconds between two words about how far a look at the images has come."""


class OutlookPlace(DraftPlace):
    """``beside`` is to be put beside the form; ``look_ahead`` is to be called after every edit."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("f5", "turn_beside", "Outlook", priority=True)]

    def __init__(self, workspace: Workspace, path: Path, *, read_only: bool) -> None:
        super().__init__(workspace, path, read_only=read_only)
        self.beside = BesideForm()
        self._part: str | None = None
        """The one that was chosen; None: as many as have room."""
        self._data = DataReader()
        self._machine: Machine | None = None
        self._asked = False
        self._looked_for = 0.0
        self._looked_last = 0.0
        """How many seconds the last look at the images took, and when it ended."""
        self._pictures: tuple[Path, ...] = ()
        self._thumbnails: tuple[tuple[Path, ...], Size] | None = None
        """Of which images, and for which room, thumbnails were drawn last."""
        self._looked_at: tuple[Any, Any] = (None, None)
        """For which data set and which profile a look was begun last."""

    @on(Mount)
    def _begin_to_look(self) -> None:
        self.set_interval(LOOK_AGAIN_EVERY, self._look_now_and_then)

    def _look_now_and_then(self) -> None:
        if time.monotonic() > self._looked_last + self._looked_for / SHARE_OF_TIME:
            self._look_again()

    @on(Resize)
    def _lay_out(self) -> None:
        """All parts, one, or none: as there is room."""
        wide, high = self.size.width >= WIDE, self.size.height >= HIGH
        shown = self._part or ("all" if wide and high else PLAN if wide else None)
        self.beside.set_class(self.size.height >= TALL, "-tall")
        self.beside.show_parts(shown)
        self.set_class(shown is not None and not wide, "-beside")
        self.look_ahead()
        self.call_after_refresh(self._show_thumbnails)

    def action_turn_beside(self) -> None:
        """The next part alone; after the last one what there is room for: all, the first one, or none."""
        has_room_for_one = self.size.width >= WIDE and self.size.height < HIGH
        turns = PARTS if has_room_for_one else (None, *PARTS)
        now = self._part or (PLAN if has_room_for_one else None)
        self._part = turns[(turns.index(now) + 1) % len(turns)]
        self._lay_out()

    @on(ScreenResume)
    def _look_again(self) -> None:
        """Folders and disks change without an edit."""
        if self.app.screen is self:
            self._looked_at = (None, None)
            self.look_ahead(anew=True)
            if self.beside.display:
                self._ask_machine()

    def look_ahead(self, *, anew: bool = False) -> None:
        """Look at what has changed of the profile. anew: at the folders too."""
        profile = self.draft.profile
        self.beside.show_plan(profile, self.draft.problems)
        if profile is None or not self.beside.display:
            return
        of_data = _decides_data(profile)
        seen_data, seen = self._looked_at
        self._looked_at = of_data, profile
        if seen != profile:
            self._read_estimate(profile)
        if self._machine is None and not self._asked:
            self._ask_machine()
        if seen_data != of_data:
            self._read_data(profile, anew)

    @work(thread=True, exclusive=True, group="estimate")
    def _read_estimate(self, profile: Profile) -> None:
        worker = get_current_worker()
        found = estimate_of(profile, self.workspace.runs)
        if worker.is_cancelled:
            return
        machine = self._machine
        room = () if isinstance(found, str) or machine is None else rooms(profile, found, machine)
        self.app.call_from_thread(self.beside.show_estimate, found, room)

    @work(thread=True, exclusive=True, group="data")
    def _read_data(self, profile: Profile, anew: bool) -> None:
        worker = get_current_worker()
        began = told = time.monotonic()

        def progress(done: int, total: int) -> None:
            nonlocal told
            if done % BREATHE_EVERY == 0:
                time.sleep(0.001)
            if time.monotonic() > told + PROGRESS_EVERY and not worker.is_cancelled:
                told = time.monotonic()
                self.app.call_from_thread(self.beside.tell_progress, done, total)

        answer = self._data.read(profile, anew=anew, progress=progress, should_stop=lambda: bool(worker.is_cancelled))
        self._looked_last = time.monotonic()
        self._looked_for = self._looked_last - began
        if answer is not None and not worker.is_cancelled:
            self.app.call_from_thread(self._show_data, answer)

    def _show_data(self, answer: DataAnswer) -> None:
        self.beside.show_data(answer)
        self._pictures = answer.pictures
        self.call_after_refresh(self._show_thumbnails)

    def _show_thumbnails(self) -> None:
        shown = self._pictures, self.beside.thumbnails.content_size
        if shown != self._thumbnails and not self.app.no_color:
            self._thumbnails = shown
            self._draw_thumbnails(*shown)

    @work(thread=True, exclusive=True, group="thumbnails")
    def _draw_thumbnails(self, paths: tuple[Path, ...], room: Size) -> None:
        """As many as have room, side by side."""
        worker, columns = get_current_worker(), 2 * room.height
        fitting = (room.width + GAP) // (columns + GAP)

        def show(tiles: list[Tile], _: str) -> None:
            if not worker.is_cancelled:
                self.app.call_from_thread(self.beside.thumbnails.show, gallery_strips(tiles, columns))

        if room.height < 1 or not paths[:fitting]:
            self.app.call_from_thread(self.beside.thumbnails.show, ())
            return
        size = TileSize(columns, room.height)
        sample_tiles(self.app, [(path, "") for path in paths[:fitting]], size, lambda: worker.is_cancelled, show)

    def _ask_machine(self) -> None:
        self._asked = True
        ask_aside(self.app, self, this_machine, self._show_machine)

    def _show_machine(self, machine: Machine) -> None:
        if machine != self._machine:
            self._machine = machine
            if self.draft.profile is not None and self.beside.display:
                self._read_estimate(self.draft.profile)


def _decides_data(profile: Profile) -> tuple[Any, ...]:
    """All that what is said of the data set follows from."""
    network = profile.network.trains_text, profile.model.base
    return profile.dataset, profile.captions, profile.training, profile.launch.processes, profile.stages, network
