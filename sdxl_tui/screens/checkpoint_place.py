"""What can be done with the checkpoint under the cursor, and with two that are marked; what takes time runs in threads.

``CheckpointsScreen`` lists and shows. The dialogs and pages are imported when they are first opened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from textual import work
from textual.binding import Binding, BindingType
from textual.timer import Timer

from engine.checkpoint.describe import CheckpointError, CheckpointSummary, verify
from engine.errors import UserError
from sdxl_tui.fleet.families import CheckpointEntry
from sdxl_tui.screens.place import OpenRun, changes_workspace, in_words
from sdxl_tui.screens.reading import ReadingPlace
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_bytes, format_count
from sdxl_tui.widgets.checkpoint_details import CheckpointDetails
from sdxl_tui.widgets.checkpoint_facts import Checked
from sdxl_tui.widgets.family_list import FamilyList, Selection

if TYPE_CHECKING:
    from engine.foreign.starting_point import StartingPoint
    from engine.run.layout import RunDirectory
    from sdxl_tui.fleet.checkpoint_order import Sorting
    from sdxl_tui.fleet.deletion import DeletionPlan
    from sdxl_tui.fleet.foreign_states import ForeignEntry
    from sdxl_tui.fleet.profile_shelf import ProfileEntry
    from sdxl_tui.workspace import Workspace


PATIENCE_SECONDS: Final = 0.5


class CheckpointPlace(ReadingPlace):
    """A list, details beside it, and the keys that act on what is selected."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "resume", "Resume"),
        Binding("c", "continue", "Train on"),
        Binding("equals_sign", "compare", "Compare", key_display="="),
        Binding("p", "pin", "Pin"),
        Binding("d,delete", "delete", "Delete"),
        Binding("s", "sort", "Sort"),
        Binding("slash", "filter", "Filter", priority=True),
        Binding("f", "family", "Family curves"),
        Binding("i", "images", "Images"),
        Binding("v", "verify", "Verify"),
        Binding("y", "copy_path", "Copy path"),
        Binding("J", "scroll_details(1)", "Scroll the details down", show=False),
        Binding("K", "scroll_details(-1)", "Scroll the details up", show=False),
    ]

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._checked: dict[str, Checked] = {}
        self._planning: Timer | None = None
        """Says what is waited for, if a deletion takes a while to plan."""
        self._list = FamilyList()
        self._details = CheckpointDetails()

    def selected(self) -> Selection | None:
        """What is under the cursor, with what was read of it just now."""
        raise NotImplementedError

    def show_selected(self) -> None:
        """Something about what is under the cursor is different."""
        raise NotImplementedError

    def _entry(self) -> CheckpointEntry | None:
        selected = self.selected()
        return selected.entry if selected else None

    def summary(self) -> CheckpointSummary | None:
        """The checkpoint under the cursor if it can be read."""
        entry = self._entry()
        return entry.described if entry and isinstance(entry.described, CheckpointSummary) else None

    def _is_replaced(self) -> bool:
        """It is kept aside from the run's lineage: no resume leads there, and it stays without a pin."""
        entry = self._entry()
        return entry is not None and entry.is_replaced

    def is_usable(self) -> bool:
        """The checkpoint is whole as far as was looked."""
        entry, summary = self._entry(), self.summary()
        if entry is None or summary is None:
            return False
        checked = self._checked.get(entry.key)
        return summary.is_whole and not (checked and checked.reason)

    def start_entry(self) -> ForeignEntry | None:
        """The state or LoRA file under the cursor, if it could be read."""
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What can be done with the row under the cursor."""
        needs: dict[str, Callable[[], bool]] = {
            "filter": lambda: not self.is_typing,
            "resume": lambda: self.summary() is not None and not self._is_replaced(),
            "verify": lambda: self.summary() is not None,
            "continue": lambda: self.is_usable() or self.start_entry() is not None,
            "pin": lambda: self._list.is_on_checkpoint and self._entry() is not None and not self._is_replaced(),
            "delete": lambda: self._list.is_on_checkpoint and self._entry() is not None,
            "family": lambda: self.selected() is not None,
            "images": lambda: self.selected() is not None,
            "compare": lambda: len(self._list.marked) == 2,
        }
        return needs[action]() if action in needs else True

    # Ways on

    @changes_workspace
    @work
    async def action_resume(self) -> None:
        """Ask and resume."""
        from sdxl_tui.screens.resume_dialog import ResumeDialog  # noqa: PLC0415 - pydantic, when first needed

        entry, summary = self._entry(), self.summary()
        if entry is None or summary is None:
            return
        checked = self._checked.get(entry.key, Checked())
        answer = await self.app.push_screen_wait(ResumeDialog(summary, damage=checked.reason))
        if answer == "continue":
            self.action_continue()
        elif answer is not None:
            self._open(answer)

    @changes_workspace
    @work
    async def action_continue(self) -> None:
        """Plan and start a child run."""
        from sdxl_tui.screens.way_on_dialog import WayOnDialog  # noqa: PLC0415

        if (state := self.start_entry()) is not None:
            self._read_start(state)
            return
        selected, summary = self.selected(), self.summary()
        if selected is None or summary is None:
            return
        speed = selected.family.run.steps_per_second
        child = await self.app.push_screen_wait(WayOnDialog(self.workspace, summary, steps_per_second=speed))
        if child is not None:
            self._open(child)

    @work(thread=True, group="start", exclusive=True)
    def _read_start(self, entry: ForeignEntry) -> None:
        """What a state or LoRA file tells of itself."""
        from engine.foreign.starting_point import read_starting_point  # noqa: PLC0415
        from sdxl_tui.fleet.profile_shelf import ProfileShelf  # noqa: PLC0415

        try:
            start = read_starting_point(entry.path)
        except (UserError, OSError) as error:
            self._say(entry.path.name, in_words(error))
            return
        profiles = ProfileShelf(self.workspace.profiles).read()
        self.app.call_from_thread(self._train_on_from, start, profiles)

    @work
    async def _train_on_from(self, start: StartingPoint, profiles: Sequence[ProfileEntry]) -> None:
        """Plan and start a run from a state or a LoRA file."""
        from sdxl_tui.screens.file_dialog import FileDialog  # noqa: PLC0415

        run = await self.app.push_screen_wait(FileDialog(self.workspace, start, profiles))
        if run is not None:
            self._open(run)

    def _open(self, run: RunDirectory) -> None:
        self._list.go_to_run(run.id)
        self.post_message(OpenRun(run.id))

    # Looking closer

    def action_verify(self) -> None:
        """Compare every digest."""
        entry = self._entry()
        if entry is not None and self.summary() is not None:
            self._checked[entry.key] = Checked(running=True)
            self.show_selected()
            self._verify(entry)

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
        self.show_selected()

    def action_compare(self) -> None:
        """The two marked ones side by side."""
        from sdxl_tui.screens.compare import ComparePage  # noqa: PLC0415

        if len(marked := self._list.marked) == 2:
            self.app.push_screen(ComparePage(self.workspace, *marked))

    def action_family(self) -> None:
        """The curves of the run's family, joined."""
        from sdxl_tui.screens.family import FamilyPage  # noqa: PLC0415

        if (selected := self.selected()) is not None:
            self.app.push_screen(FamilyPage(self.workspace, selected.family.run.id))

    def action_images(self) -> None:
        """The samples drawn at the checkpoint's step."""
        from sdxl_tui.screens.images import ImagesPage  # noqa: PLC0415

        if (selected := self.selected()) is not None:
            step = selected.entry.step if selected.entry else None
            self.app.push_screen(ImagesPage(self.workspace, selected.family.run.directory, step))

    def action_copy_path(self) -> None:
        """The folder under the cursor, into the terminal's clipboard (OSC 52)."""
        selected, state = self.selected(), self._list.state
        if selected is not None:
            path = str(selected.entry.folder if selected.entry else selected.family.run.directory.path)
        elif state is not None:
            path = str(state.path)
        else:
            return
        self.app.copy_to_clipboard(path)
        self.notify(clean(path), title="Copied", markup=False, timeout=3)

    # How the list is looked at

    def action_filter(self) -> None:
        """Type what is looked for."""
        self._list.open_filter()

    def action_sort(self) -> None:
        """Choose the order: at once, so that what is typed in the same breath arrives in the dialog."""
        from sdxl_tui.screens.sort_dialog import SortDialog  # noqa: PLC0415

        def chosen(sorting: Sorting | None) -> None:
            if sorting is not None:
                self._list.sort(sorting)

        self.app.push_screen(SortDialog(self._list.view.sorting), chosen)

    def action_scroll_details(self, by: int) -> None:
        """By half of what is seen."""
        self._details.scroll_relative(y=by * max(1, self._details.size.height // 2), animate=False)

    # Keeping and deleting

    @changes_workspace
    def action_pin(self) -> None:
        """Pin it, or let it go again."""
        selected, entry = self.selected(), self._entry()
        if selected is not None and entry is not None and self._list.is_on_checkpoint:
            self._pin(selected.family.run.directory, entry.folder.name, not entry.pinned)

    @work(thread=True, group="pin")
    def _pin(self, run: RunDirectory, name: str, is_to_stay: bool) -> None:
        from engine.checkpoint.pins import pin, unpin  # noqa: PLC0415

        if self._attempt(name, lambda: pin(run, name) if is_to_stay else unpin(run, name)):
            self.app.call_from_thread(self.read_soon)

    @changes_workspace
    def action_delete(self) -> None:
        """Say what would go, and ask."""
        if (entry := self._entry()) is not None and self._list.is_on_checkpoint:
            self._planning = self.set_timer(
                PATIENCE_SECONDS,
                lambda: self.notify("Comparing digests: one whole checkpoint of a run must stay …", timeout=3),
            )
            self._plan_deletion(entry)

    @work(thread=True, group="delete", exclusive=True)
    def _plan_deletion(self, entry: CheckpointEntry) -> None:
        from sdxl_tui.fleet.deletion import plan_deletion  # noqa: PLC0415

        plan = plan_deletion([entry.folder])
        self.app.call_from_thread(self._ask_to_delete, entry, plan)

    @work
    async def _ask_to_delete(self, entry: CheckpointEntry, plan: DeletionPlan) -> None:
        from sdxl_tui.screens.ask import Answer, Ask  # noqa: PLC0415

        if self._planning is not None:
            self._planning.stop()
        name = f"{entry.folder.parent.parent.name} at step {format_count(entry.step)}"
        if not plan.goes:
            reasons = "\n".join(f"{clean(refused.reason).capitalize()}." for refused in plan.refused)
            await self.app.push_screen_wait(Ask(f"{name} stays", reasons or "There is nothing to delete.", []))
            return
        text = (
            f"Deletes {clean(str(entry.folder))}\n{format_bytes(plan.bytes)} are freed. This cannot be undone; runs that "
            "were continued from it have their own copy of the weights."
        )
        answer = Answer("delete", "d", f"Delete {format_bytes(plan.bytes)}", destroys=True)
        if await self.app.push_screen_wait(Ask(f"Delete {name}?", text, [answer])) == "delete":
            self._delete(name, plan)

    @work(thread=True, group="delete")
    def _delete(self, name: str, plan: DeletionPlan) -> None:
        from sdxl_tui.fleet.deletion import delete  # noqa: PLC0415

        done = delete(plan)
        for refused in done.refused:
            self._say(name, f"It stays: {refused.reason}.")
        if done.goes:
            said = f"{format_bytes(done.bytes)} freed"
            self.app.call_from_thread(self.notify, said, title=f"Deleted {name}", markup=False, timeout=4)
        self.app.call_from_thread(self.read_soon)
