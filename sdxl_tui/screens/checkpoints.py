"""The Checkpoints place: families of runs and their checkpoints on the left, everything the chosen one says on the right.

From here a run is resumed exactly or continued with a new learning rate. All reading is done in threads; the list follows a
live run's saves by itself. The dialogs are imported when they are first opened.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widget import Widget
from textual.worker import get_current_worker

from engine.checkpoint.describe import BrokenCheckpoint, CheckpointError, CheckpointSummary, verify
from engine.errors import UserError
from engine.run.layout import RunDirectory
from sdxl_tui.fleet.families import CheckpointEntry, CheckpointShelf, Family
from sdxl_tui.screens.place import OpenRun, PlaceName
from sdxl_tui.screens.reading import ReadingPlace
from sdxl_tui.terminal.clean import clean
from sdxl_tui.widgets.checkpoint_details import Checked, CheckpointDetails
from sdxl_tui.widgets.family_list import FamilyList, Selection

if TYPE_CHECKING:
    from sdxl_tui.workspace import Workspace

REFRESH_EVERY: Final = 2.0
PUBLISH_EVERY: Final = 0.3
"""Seconds of reading after which what was read so far is shown."""
MUTED: Final = "$foreground 60%"


class CheckpointsScreen(ReadingPlace):
    """Runs, checkpoints and the scheduler state stored in them."""

    place = PlaceName.CHECKPOINTS
    topic = "Checkpoints"
    about = (
        "Every checkpoint shows the learning-rate schedule stored in it: where it stands, what the next steps would be.",
        "Resume goes on exactly there, in the same run. Continue takes the LoRA weights into a child run with a new "
        "learning rate and schedule, and shows the jump before anything is started.",
    )

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "resume", "Resume"),
        Binding("c", "continue", "Continue with a new LR"),
        Binding("v", "verify", "Verify"),
        Binding("y", "copy_path", "Copy path"),
        Binding("slash", "filter", "Filter", priority=True),
    ]

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._shelf = CheckpointShelf(workspace)
        self._checked: dict[str, Checked] = {}
        self._possible = (False, False)
        self._list = FamilyList()
        self._details = CheckpointDetails()

    def compose_body(self) -> Iterable[Widget]:
        yield Horizontal(self._list, self._details)

    def on_mount(self) -> None:
        """Read now and from then on."""
        self._details.say(("Reading the checkpoints …", MUTED))
        self._list.take_focus()
        self.read_every(REFRESH_EVERY)
        self._prepare_dialogs()

    @work(thread=True, group="prepare")
    def _prepare_dialogs(self) -> None:
        """Import what the dialogs need (pydantic among it), so that they open at once."""

    def on_screen_resume(self) -> None:
        """What happened while another place was looked at."""
        self.read_soon()

    def show_run(self, run_id: str) -> None:
        """Put the cursor on the newest checkpoint of a run, unfolding it."""
        self._list.go_to_run(run_id)
        self.read_soon()

    # reading

    def read_and_show(self) -> None:
        """List the families, show them, then describe what is in sight and not known yet."""
        worker = get_current_worker()
        try:
            self.app.call_from_thread(self._show_families, self._shelf.read())
            published, fresh = time.monotonic(), False
            for entry in [entry for entry in self._list.in_sight() if entry.described is None]:
                if worker.is_cancelled:
                    return
                self._shelf.describe(entry)
                fresh = True
                if time.monotonic() - published > PUBLISH_EVERY:
                    self.app.call_from_thread(self._show_families, self._shelf.read())
                    published, fresh = time.monotonic(), False
            if fresh:
                self.app.call_from_thread(self._show_families, self._shelf.read())
        except UserError as error:
            self.app.call_from_thread(self._say, str(error))

    @work(thread=True, exclusive=True, group="describe")
    def _describe(self, entry: CheckpointEntry) -> None:
        described = self._shelf.describe(entry)
        if not get_current_worker().is_cancelled:
            self.app.call_from_thread(self.read_soon if described is None else self._show_selected)

    # showing

    def _show_families(self, families: tuple[Family, ...]) -> None:
        self._list.show(families, self._now())
        self._show_selected()

    def _now(self) -> float:
        now = getattr(self.app, "now", time.time)
        return float(now())

    def _say(self, text: str) -> None:
        self._details.say((clean(text, lines=True), "$error"))

    def _say_empty(self) -> None:
        if self._list.words:
            self._details.say(("Nothing fits the filter.", MUTED))
        else:
            self._details.say(
                ("No runs yet.\n\n", "bold"),
                ("Launch a profile (", MUTED),
                ("2", "bold $primary"),
                (" Profiles). Its checkpoints appear here as they are saved.", MUTED),
            )

    def _selected(self) -> Selection | None:
        """What is under the cursor, with what was read of it just now."""
        selection = self._list.selection
        if selection is None or selection.entry is None:
            return selection
        return Selection(selection.family, self._shelf.known(selection.entry))

    def _show_selected(self) -> None:
        selected, summary = self._selected(), self._summary()
        possible = (summary is not None, self._is_usable())
        if possible != self._possible:
            self._possible = possible
            self.refresh_bindings()
        if selected is None:
            if self._list.families is not None and self._list.is_empty:
                self._say_empty()
            return
        family, entry = selected.family, selected.entry
        if entry is None:
            self._details.say(
                (f"{family.run.id}\n", "bold"),
                (f"{family.run.state}. No checkpoint yet.", MUTED),
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
            checked = self._checked.get(entry.key)
            self._details.show(entry.described, family.run, family.parent, checked, self._now())

    @on(FamilyList.Moved)
    def _moved(self) -> None:
        self._show_selected()

    @on(FamilyList.Unfolded)
    def _unfolded(self) -> None:
        self.read_soon()

    @on(FamilyList.Chosen)
    def _chosen(self) -> None:
        self.action_resume()

    # acting

    def _summary(self) -> CheckpointSummary | None:
        selected = self._selected()
        entry = selected.entry if selected else None
        return entry.described if entry and isinstance(entry.described, CheckpointSummary) else None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What can be done with the row under the cursor."""
        if action == "filter":
            return not self.is_typing
        if action in {"resume", "verify"}:
            return self._summary() is not None
        return self._is_usable() if action == "continue" else True

    def _is_usable(self) -> bool:
        """The checkpoint is whole as far as was looked."""
        selected, summary = self._selected(), self._summary()
        if selected is None or selected.entry is None or summary is None:
            return False
        checked = self._checked.get(selected.entry.key)
        return summary.is_whole and not (checked and checked.reason)

    @work
    async def action_resume(self) -> None:
        """Ask and resume."""
        from sdxl_tui.screens.resume_dialog import ResumeDialog  # noqa: PLC0415 - pydantic, when first needed

        selected, summary = self._selected(), self._summary()
        if selected is None or selected.entry is None or summary is None:
            return
        checked = self._checked.get(selected.entry.key, Checked())
        answer = await self.app.push_screen_wait(ResumeDialog(summary, damage=checked.reason))
        if answer == "continue":
            self.action_continue()
        elif answer is not None:
            self._open(answer)

    @work
    async def action_continue(self) -> None:
        """Plan and start a child run."""
        from sdxl_tui.screens.way_on_dialog import WayOnDialog  # noqa: PLC0415

        selected, summary = self._selected(), self._summary()
        if selected is None or summary is None:
            return
        speed = selected.family.run.steps_per_second
        child = await self.app.push_screen_wait(WayOnDialog(self.workspace, summary, steps_per_second=speed))
        if child is not None:
            self._open(child)

    def _open(self, run: RunDirectory) -> None:
        self._list.go_to_run(run.id)
        self.post_message(OpenRun(run.id))

    def action_verify(self) -> None:
        """Compare every digest."""
        summary, selected = self._summary(), self._selected()
        if summary is not None and selected is not None and selected.entry is not None:
            self._checked[selected.entry.key] = Checked(running=True)
            self._show_selected()
            self._verify(selected.entry)

    @work(thread=True, group="verify")
    def _verify(self, entry: CheckpointEntry) -> None:
        try:
            verify(entry.folder, digests=True)
            checked = Checked()
        except (CheckpointError, OSError) as error:
            checked = Checked(reason=error.what if isinstance(error, CheckpointError) else f"damaged: {error}")
        self.app.call_from_thread(self._take_check, entry, checked)

    def _take_check(self, entry: CheckpointEntry, checked: Checked) -> None:
        self._checked[entry.key] = checked
        self._show_selected()

    def action_copy_path(self) -> None:
        """The folder under the cursor, into the terminal's clipboard (OSC 52)."""
        selected = self._selected()
        if selected is not None:
            entry = selected.entry
            path = str(entry.folder if entry else selected.family.run.directory.path)
            self.app.copy_to_clipboard(path)
            self.notify(clean(path), title="Copied", markup=False, timeout=3)

    def action_filter(self) -> None:
        """Type what is looked for."""
        self._list.open_filter()
