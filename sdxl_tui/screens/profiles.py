"""The Profiles place: what one can train from, whether it is valid, and what it plans.

Profiles are parsed in a thread; pydantic is imported there, and the editor when it is first opened, so that the place itself
is light.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.content import Content
from textual.widget import Widget

from engine.errors import UserError
from sdxl_tui.screens.ask import Answer, Ask
from sdxl_tui.screens.launching import LaunchingPlace
from sdxl_tui.screens.place import PlaceName, changes_workspace
from sdxl_tui.screens.reading import ReadingPlace
from sdxl_tui.terminal.clean import clean
from sdxl_tui.widgets.filter_bar import FilterBar, matches
from sdxl_tui.widgets.live_table import LiveTable
from sdxl_tui.widgets.profile_cells import profile_columns

if TYPE_CHECKING:
    from pathlib import Path

    from sdxl_tui.fleet.profile_shelf import ProfileEntry, ProfileShelf
    from sdxl_tui.widgets.profile_plan import ProfilePlan
    from sdxl_tui.workspace import Workspace

REFRESH_EVERY: Final = 2.0
MUTED: Final = "$foreground 60%"


class ProfileTable(LiveTable["ProfileEntry"], inherit_bindings=False):
    """The list; ``n`` is left to the place, where it makes a new profile."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("home,g", "edge(0)", "First", show=False),
        Binding("end,G", "edge(1)", "Last", show=False),
    ]


class ProfilesScreen(LaunchingPlace, ReadingPlace):
    """The profiles of the workspace and the shipped ones; the plan of the one under the cursor."""

    place: ClassVar[PlaceName] = PlaceName.PROFILES
    topic: ClassVar[str] = "Profiles"
    about: ClassVar[tuple[str, ...]] = (
        "A profile says what is trained and how. Those of the workspace are yours; the shipped ones are read-only and "
        "start your own with one key.",
        "A new name is taken over by the profiles that extend this one.",
        "= compares a profile with another one, or with what a run trains: values, wherever they are inherited from.",
        "Launch makes a run of it. The run trains its own copy: later edits of the profile never reach it.",
    )

    DEFAULT_CSS = """
    ProfilesScreen {
        LiveTable { height: 1fr; }
        #plan { height: 10; border-top: solid $foreground 15%; }
        #plan ProfilePlan { layout: horizontal; }
        #plan ProfilePlan > #summary { width: 50%; }
        #plan ProfilePlan > SchedulePlot { margin: 0 0 0 2; }
        #plan ProfilePlan.-wrong > #summary { width: 1fr; }
        &.-tiny #plan { display: none; }
        &.-wide #plan ProfilePlan { layout: vertical; }
        &.-wide #plan ProfilePlan > #summary { width: 1fr; }
        &.-wide #plan ProfilePlan > SchedulePlot { margin: 1 0 0 0; }
        &.-wide #all { layout: horizontal; }
        &.-wide #plan { height: 1fr; width: 45%; border-top: none; border-left: solid $foreground 15%; padding: 1 1; }
    }
    """
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (130, "-wide")]  # noqa: RUF012 - Textual declares it so
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (16, "-low")]  # noqa: RUF012

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,e", "edit", "Edit"),
        Binding("E", "edit_outside", "$EDITOR"),
        Binding("l,L", "launch", "Launch"),
        Binding("w", "queue", "Queue"),
        Binding("n", "new", "New"),
        Binding("d", "duplicate", "Duplicate"),
        Binding("r", "rename", "Rename"),
        Binding("equals_sign,f6", "compare", "Compare", key_display="="),
        Binding("x", "delete", "Delete"),
        Binding("slash", "filter", "Filter", priority=True),
    ]

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._shelf: ProfileShelf | None = None
        self._plan: ProfilePlan | None = None
        self._table = ProfileTable(profile_columns(), lambda entry: str(entry.path), id="profiles")
        self._filter = FilterBar()
        self._entries: list[ProfileEntry] = []
        self._wanted: Path | None = None

    def compose_body(self) -> Iterable[Widget]:
        yield Container(Vertical(self._table, self._filter), Container(id="plan"), id="all")

    def on_mount(self) -> None:
        """Read now and from then on."""
        self._table.focus()
        self.read_every(REFRESH_EVERY)

    def on_screen_resume(self) -> None:
        """What was changed in the editor, or elsewhere."""
        self.read_soon()

    # reading

    def read_and_show(self) -> None:
        from sdxl_tui.fleet.profile_shelf import ProfileShelf  # noqa: PLC0415 - pydantic, off the first frame's path

        if self._shelf is None:
            self._shelf = ProfileShelf(self.workspace.profiles)
        self.app.call_from_thread(self._show, self._shelf.read())

    def _show(self, entries: list[ProfileEntry]) -> None:
        if self._plan is None:
            from sdxl_tui.widgets.profile_plan import ProfilePlan  # noqa: PLC0415 - imported in the thread by now

            self._plan = ProfilePlan()
            self.query_one("#plan", Container).mount(self._plan)
        self._entries = entries
        self._show_table()
        if self._wanted is not None and self._table.move_to(str(self._wanted)):
            self._wanted = None
        self._show_plan()

    def _show_table(self) -> None:
        words = self._filter.words
        shown = [entry for entry in self._entries if matches(words, entry.name, _facts(entry))]
        self._table.show(shown)
        self._filter.count(len(shown), len(self._entries))

    @on(FilterBar.Changed)
    def _filter_typed(self) -> None:
        self._show_table()

    @on(FilterBar.Left)
    def _filter_left(self) -> None:
        self._table.focus()

    def _show_plan(self) -> None:
        self.refresh_bindings()
        entry = self._table.item
        if entry is not None and self._plan is not None:
            self._plan.show(entry.profile, entry.problems)

    @on(LiveTable.Highlighted)
    def _moved(self) -> None:
        self._show_plan()

    @on(LiveTable.Chosen)
    async def _chosen(self) -> None:
        await self.action_edit()

    # acting

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What can be done with the profile under the cursor."""
        if action == "filter":
            return not self.is_typing
        entry = self._table.item
        if action in {"edit", "duplicate", "launch"}:
            return entry is not None
        if action == "compare":
            return entry is not None and entry.profile is not None
        if action in {"delete", "rename", "edit_outside"}:
            return entry is not None and not entry.is_shipped
        return True

    async def action_edit(self) -> None:
        """Open the editor; of a shipped profile, to read."""
        if (entry := self._table.item) is not None:
            await self._open_editor(entry.path, read_only=entry.is_shipped)

    async def _open_editor(self, path: Path, *, read_only: bool) -> None:
        """Until it stands there: what is typed next is for it."""
        from sdxl_tui.screens.profile_editor import ProfileEditor  # noqa: PLC0415 - when first needed

        try:
            editor = ProfileEditor(self.workspace, path, read_only=read_only or self.workspace.read_only)
        except UserError as error:
            self._complain("Cannot be opened", error)
        else:
            await self.app.push_screen(editor)

    @changes_workspace
    def action_edit_outside(self) -> None:
        """The file in ``$EDITOR``."""
        from sdxl_tui.screens.outside_editor import edit_outside  # noqa: PLC0415 - when first needed

        if (entry := self._table.item) is not None and not entry.is_shipped:
            try:
                edit_outside(self.app, entry.path)
            except UserError as error:
                self._complain("$EDITOR", error)
            self.read_soon()

    @changes_workspace
    def action_launch(self) -> None:
        """Start a run of the profile; one that is not valid is named."""
        self._begin(waits=False)

    @changes_workspace
    def action_queue(self) -> None:
        """Let a run of the profile wait for its turn."""
        self._begin(waits=True)

    def _begin(self, *, waits: bool) -> None:
        entry = self._table.item
        if entry is None:
            return
        if entry.problems:
            self.notify(clean(entry.problems[0].message), title="Not launched", severity="error", markup=False)
        else:
            self.notify(clean(entry.name), title="Queueing" if waits else "Launching", markup=False, timeout=2)
            self.launch_profile(entry.path, waits=waits)

    @property
    def refusal_answers(self) -> Sequence[Answer]:
        return (Answer("edit", "e", "Edit the profile"),)

    def refused(self, path: Path, error: Exception, answer: str | None) -> None:
        if answer == "edit":
            self.call_later(self._open_editor, path, read_only=not path.is_relative_to(self.workspace.profiles))

    @changes_workspace
    async def action_new(self) -> None:
        """A new profile from a shipped one."""
        from sdxl_tui.screens.new_profile import NewProfile  # noqa: PLC0415 - when first needed

        async def go_on(made: Path | None) -> None:
            if made is not None:
                self._wanted = made
                await self._open_editor(made, read_only=False)

        await self.app.push_screen(NewProfile(self.workspace.profiles), go_on)

    @changes_workspace
    def action_duplicate(self) -> None:
        """A copy in the workspace, under the cursor."""
        if (entry := self._table.item) is not None:
            self._duplicate(entry.path)

    @work(thread=True, exclusive=True, group="duplicate")
    def _duplicate(self, path: Path) -> None:
        from sdxl_tui.fleet.profile_shelf import duplicate  # noqa: PLC0415 - pydantic, when first needed

        try:
            copy = duplicate(path, self.workspace.profiles)
        except UserError as error:
            self.app.call_from_thread(self._complain, "Not duplicated", error)
        else:
            self.app.call_from_thread(self._go_to, copy)

    def _go_to(self, made: Path) -> None:
        self._wanted = made
        self.read_soon()
        self.notify(clean(made.name), title="Duplicated as", markup=False, timeout=3)

    @changes_workspace
    async def action_rename(self) -> None:
        """Another name for a profile of the workspace; those that extend it go on doing so."""
        from sdxl_tui.screens.rename_profile import RenameProfile  # noqa: PLC0415 - when first needed

        entry = self._table.item
        if entry is None or entry.is_shipped:
            return

        def go_on(made: Path | None) -> None:
            if made is not None:
                self._wanted = made
                self.read_soon()

        await self.app.push_screen(RenameProfile(entry.path, self.workspace), go_on)

    @changes_workspace
    async def action_delete(self) -> None:
        """Delete a profile of the workspace; asks, and names what is lost."""
        entry = self._table.item
        if entry is None or entry.is_shipped:
            return
        from sdxl_tui.fleet.profile_shelf import heirs_of  # noqa: PLC0415 - pydantic, imported by now

        heirs = heirs_of(entry.path, self._entries)
        losing = f"\nExtended by {', '.join(clean(name) for name in heirs)}: not valid without it." if heirs else ""
        text = Content.assemble(
            (clean(str(entry.path)), "bold"),
            (losing, "bold $warning"),
            ("\nRuns made of it keep their own copy.", MUTED),
        )

        def go_on(answer: str | None) -> None:
            if answer == "delete":
                try:
                    entry.path.unlink(missing_ok=True)
                except OSError as error:
                    self._complain("Not deleted", error)
                self.read_soon()

        answers = (Answer("delete", "x", "Delete the file", destroys=True),)
        await self.app.push_screen(Ask(" Delete this profile? ", text, answers), go_on)

    @work
    async def action_compare(self) -> None:
        """What differs from another profile or from what a run trains."""
        from sdxl_tui.fleet.profile_diff import Side  # noqa: PLC0415 - when first needed
        from sdxl_tui.screens.diff_dialog import compare_with_another  # noqa: PLC0415

        entry = self._table.item
        if entry is not None and entry.profile is not None:
            await compare_with_another(self, Side(entry.name, entry.path, entry.profile))

    def action_filter(self) -> None:
        """Type what is looked for."""
        self._filter.open()

    def _complain(self, title: str, error: Exception) -> None:
        self.notify(clean(str(error), lines=True), title=title, severity="error", markup=False, timeout=12)


def _facts(entry: ProfileEntry) -> str:
    """What a profile is looked for by besides its name."""
    facts = ["shipped" if entry.is_shipped else "workspace"]
    if entry.profile is not None:
        facts += [entry.profile.model.base, entry.profile.schedule.kind.value]
    return " ".join(facts)
