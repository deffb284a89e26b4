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
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.worker import get_current_worker

from engine.checkpoint.describe import BrokenCheckpoint, CheckpointError, CheckpointSummary, verify
from engine.errors import UserError
from engine.run.layout import RunDirectory
from sdxl_tui.fleet.families import CheckpointEntry, CheckpointShelf, Described, Family
from sdxl_tui.screens.place import OpenRun, Place, PlaceName
from sdxl_tui.terminal.clean import clean
from sdxl_tui.widgets.checkpoint_details import Checked, CheckpointDetails
from sdxl_tui.widgets.family_rows import family_rows
from sdxl_tui.widgets.filter_bar import FilterBar
from sdxl_tui.widgets.row_list import RowList

if TYPE_CHECKING:
    from sdxl_tui.workspace import Workspace

REFRESH_EVERY: Final = 2.0
PUBLISH_EVERY: Final = 0.3
"""Seconds of reading after which what was read so far is shown."""
UNFOLDED_ROWS: Final = 30
"""A list longer than this starts with the older runs folded."""


class CheckpointsScreen(Place):
    """Runs, checkpoints and the scheduler state stored in them."""

    place = PlaceName.CHECKPOINTS
    topic = "Checkpoints"
    about = (
        "Every checkpoint shows the learning-rate schedule stored in it: where it stands, what the next steps would be.",
        "Resume goes on exactly there, in the same run. Continue takes the LoRA weights into a child run with a new "
        "learning rate and schedule, and shows the jump before anything is started.",
    )

    DEFAULT_CSS = """
    CheckpointsScreen {
        #list { width: 36%; min-width: 30; max-width: 56; border-right: solid $foreground 15%; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "resume", "Resume"),
        Binding("c", "continue", "Continue with a new LR"),
        Binding("v", "verify", "Verify"),
        Binding("y", "copy_path", "Copy path"),
        Binding("slash", "filter", "Filter"),
    ]

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._shelf = CheckpointShelf(workspace)
        self._families: tuple[Family, ...] | None = None
        self._folded: set[str] = set()
        self._checked: dict[str, Checked] = {}
        self._wanted_run: str | None = None
        self._reading = False
        self._possible = (False, False)
        self._words: tuple[str, ...] = ()
        self._filter = FilterBar()
        self._list = RowList(id="families")
        self._details = CheckpointDetails()

    def compose_body(self) -> Iterable[Widget]:
        yield Horizontal(Vertical(self._list, self._filter, id="list"), self._details)

    def on_mount(self) -> None:
        """Read now and from then on."""
        self._details.say(("Reading the checkpoints …", "$foreground 60%"))
        self._list.focus()
        self.set_interval(REFRESH_EVERY, self._refresh_if_seen)
        self._refresh()
        self._prepare_dialogs()

    @work(thread=True, group="prepare")
    def _prepare_dialogs(self) -> None:
        """Import what the dialogs need (pydantic among it), so that they open at once."""
        import sdxl_tui.screens.continue_dialog  # noqa: PLC0415
        import sdxl_tui.screens.resume_dialog  # noqa: F401, PLC0415

    def on_screen_resume(self) -> None:
        """What happened while another place was looked at."""
        self._refresh()

    def show_run(self, run_id: str) -> None:
        """Put the cursor on the newest checkpoint of a run, unfolding it."""
        self._wanted_run = run_id
        if self._families is not None:
            self._show_families(self._families)

    # reading

    def _refresh_if_seen(self) -> None:
        if self.is_current:
            self._refresh()

    def _refresh(self) -> None:
        if not self._reading:
            self._reading = True
            self._read()

    @work(thread=True, group="read")
    def _read(self) -> None:
        """List the families, show them, then describe what is in sight and not known yet."""
        worker = get_current_worker()
        try:
            families = self._shelf.read()
            self.app.call_from_thread(self._show_families, families)
            published, fresh = time.monotonic(), False
            for entry in self._undescribed(families):
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
        finally:
            self._reading = False

    def _undescribed(self, families: tuple[Family, ...]) -> list[CheckpointEntry]:
        return [
            entry
            for root in families
            for family in root.walk()
            if family.key not in self._folded
            for entry in family.checkpoints
            if entry.described is None
        ]

    @work(thread=True, exclusive=True, group="describe")
    def _describe(self, entry: CheckpointEntry) -> None:
        described = self._shelf.describe(entry)
        if not get_current_worker().is_cancelled:
            self.app.call_from_thread(self._refresh if described is None else self._show_selected)

    # showing

    def _show_families(self, families: tuple[Family, ...]) -> None:
        first = self._families is None
        self._families = families
        if first:
            self._fold_older(families)
        if self._wanted_run is not None:
            self._unfold_to(self._wanted_run)
        shown = family_rows(families, self._folded, self._words, self._now())
        if list(self._list.rows) != shown:
            self._list.show_rows(shown)
        newest = next((row.key for row in shown if "/" in row.key), None)
        if self._wanted_run is not None:
            self._go_to_run(self._wanted_run)
        elif first and newest:
            self._list.move_to(newest)
        if not shown:
            self._say_empty()
        self._show_selected()

    def _now(self) -> float:
        now = getattr(self.app, "now", time.time)
        return float(now())

    def _fold_older(self, families: tuple[Family, ...]) -> None:
        """In a long list only live runs and the newest one are open."""
        runs = [family for root in families for family in root.walk()]
        if sum(1 + len(run.checkpoints) for run in runs) > UNFOLDED_ROWS:
            newest = max(runs, key=lambda run: run.run.created)
            self._folded |= {run.key for run in runs if not run.run.alive and run is not newest}

    def _unfold_to(self, run_id: str) -> None:
        for root in self._families or ():
            lineage = [family.key for family in root.walk()]
            if run_id in lineage:
                self._folded -= set(lineage)

    def _go_to_run(self, run_id: str) -> None:
        family = self._family(run_id)
        if family is not None:
            self._wanted_run = None
            self._list.move_to(family.checkpoints[0].key if family.checkpoints else family.key)

    def _say(self, text: str) -> None:
        self._details.say((clean(text, lines=True), "$error"))

    def _say_empty(self) -> None:
        if self._words:
            self._details.say(("Nothing fits the filter.", "$foreground 60%"))
        else:
            self._details.say(
                ("No runs yet.\n\n", "bold"),
                ("Launch a profile (", "$foreground 60%"),
                ("2", "bold $primary"),
                (" Profiles). Its checkpoints appear here as they are saved.", "$foreground 60%"),
            )

    def _family(self, run_id: str) -> Family | None:
        return next((run for root in self._families or () for run in root.walk() if run.key == run_id), None)

    def _selected(self) -> tuple[Family, CheckpointEntry | None] | None:
        """The run under the cursor and the checkpoint: on a run's own row its newest one."""
        key = self._list.key
        if key is None:
            return None
        run_id, _, name = key.partition("/")
        family = self._family(run_id)
        if family is None:
            return None
        entries = [entry for entry in family.checkpoints if not name or entry.folder.name == name]
        return family, self._shelf.known(entries[0]) if entries else None

    def _show_selected(self) -> None:
        selected, summary = self._selected(), self._summary()
        possible = (summary is not None, self._is_usable())
        if possible != self._possible:
            self._possible = possible
            self.refresh_bindings()
        if selected is None:
            return
        family, entry = selected
        if entry is None:
            self._details.say(
                (f"{family.run.id}\n", "bold"),
                (f"{family.run.state}. No checkpoint yet.", "$foreground 60%"),
                (f"\n{clean(family.run.reason)}", "$warning") if family.run.reason else "",
            )
        elif entry.described is None:
            self._describe(entry)
        else:
            self._show_details(family, entry, entry.described)

    def _show_details(self, family: Family, entry: CheckpointEntry, described: Described) -> None:
        if isinstance(described, BrokenCheckpoint):
            self._details.say(
                (f"{described.name}\n", "bold"),
                ("damaged\n\n", "bold $error"),
                (clean(described.reason, lines=True), ""),
                (
                    "\n\nNothing can be resumed or continued from it. Older checkpoints are not touched by this.",
                    "$foreground 60%",
                ),
            )
        else:
            self._details.show(described, family.run, family.parent, self._checked.get(entry.key), self._now())

    @on(RowList.Highlighted)
    def _moved(self) -> None:
        self._show_selected()

    @on(RowList.Folding)
    def _folding(self, event: RowList.Folding) -> None:
        self._folded = self._folded | {event.key} if event.folded else self._folded - {event.key}
        self._show_families(self._families or ())
        self._refresh()

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        if "/" in event.key:
            self._details.focus()
        elif row := next((row for row in self._list.rows if row.key == event.key and row.fold), None):
            self._folding(RowList.Folding(row.key, row.fold == "open"))

    # acting

    def _summary(self) -> CheckpointSummary | None:
        selected = self._selected()
        entry = selected[1] if selected else None
        return entry.described if entry and isinstance(entry.described, CheckpointSummary) else None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What can be done with the row under the cursor."""
        if action in {"resume", "verify"}:
            return self._summary() is not None
        return self._is_usable() if action == "continue" else True

    def _is_usable(self) -> bool:
        """The checkpoint is whole as far as was looked."""
        selected, summary = self._selected(), self._summary()
        if selected is None or selected[1] is None or summary is None:
            return False
        checked = self._checked.get(selected[1].key)
        return summary.is_whole and not (checked and checked.reason)

    @work
    async def action_resume(self) -> None:
        """Ask and resume."""
        from sdxl_tui.screens.resume_dialog import ResumeDialog  # noqa: PLC0415 - pydantic, when first needed

        selected, summary = self._selected(), self._summary()
        if selected is None or selected[1] is None or summary is None:
            return
        checked = self._checked.get(selected[1].key, Checked())
        answer = await self.app.push_screen_wait(ResumeDialog(summary, damage=checked.reason))
        if answer == "continue":
            self.action_continue()
        elif answer is not None:
            self._open(answer)

    @work
    async def action_continue(self) -> None:
        """Plan and start a child run."""
        from sdxl_tui.screens.continue_dialog import ContinueDialog  # noqa: PLC0415

        selected, summary = self._selected(), self._summary()
        if selected is None or summary is None:
            return
        speed = selected[0].run.steps_per_second
        child = await self.app.push_screen_wait(ContinueDialog(self.workspace, summary, steps_per_second=speed))
        if child is not None:
            self._open(child)

    def _open(self, run: RunDirectory) -> None:
        self._wanted_run = run.id
        self.post_message(OpenRun(run.id))

    def action_verify(self) -> None:
        """Compare every digest."""
        summary, selected = self._summary(), self._selected()
        if summary is not None and selected is not None and selected[1] is not None:
            self._checked[selected[1].key] = Checked(running=True)
            self._show_selected()
            self._verify(selected[1])

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
            family, entry = selected
            path = str(entry.folder if entry else family.run.directory.path)
            self.app.copy_to_clipboard(path)
            self.notify(clean(path), title="Copied", markup=False, timeout=3)

    def action_filter(self) -> None:
        """Type what is looked for."""
        self._filter.open()

    @on(FilterBar.Changed)
    def _filter_typed(self, event: FilterBar.Changed) -> None:
        self._words = event.words
        self._show_families(self._families or ())

    @on(FilterBar.Left)
    def _filter_left(self) -> None:
        self._list.focus()
