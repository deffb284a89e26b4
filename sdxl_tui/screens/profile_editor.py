"""Editing one profile, as a form or as TOML: both are views of one ``ProfileDraft``, so neither loses a comment.

What becomes of the file is ``DraftPlace``'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal
from textual.events import DescendantFocus, Mount, ScreenResume
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import ContentSwitcher, Input, TextArea

from engine.errors import UserError
from engine.profile.fields import SOURCES, ProfileField, ProfileSection, profile_sections
from engine.profile.problems import ProfileError
from engine.routes.effects import Effect
from engine.routes.resuming import ResumePlan
from sdxl_tui.fleet.profile_diff import Side
from sdxl_tui.fleet.profile_draft import section_of, without_index
from sdxl_tui.fleet.profile_shelf import duplicate
from sdxl_tui.fleet.source_run import SourceRun, newest_run_of
from sdxl_tui.screens.diff_dialog import compare_with_another
from sdxl_tui.screens.find_field import FindField
from sdxl_tui.screens.launch_dialog import SWEPT, LaunchDialog, sweep_example
from sdxl_tui.screens.outlook_place import OutlookPlace
from sdxl_tui.screens.place import PlaceName, changes_workspace
from sdxl_tui.screens.source_dialog import BESIDE_THE_PATH, SourceDialog
from sdxl_tui.screens.source_run_dialog import SourceRunDialog
from sdxl_tui.terminal.clean import clean
from sdxl_tui.widgets.field_help import EditorHelp
from sdxl_tui.widgets.path_input import Offered
from sdxl_tui.widgets.profile_form import HIDDEN, SectionForm
from sdxl_tui.widgets.profile_sections import DraftTitle, SectionList
from sdxl_tui.widgets.row_list import RowList
from sdxl_tui.widgets.source_run_line import SourceRunLine
from sdxl_tui.widgets.toml_editor import TomlEditor

if TYPE_CHECKING:
    from sdxl_tui.workspace import Workspace

JUDGE_AFTER: Final = 0.05
"""Seconds without a keystroke before the TOML text is judged."""
STEP_AFTER: Final = 0.8
"""Seconds without a keystroke in the TOML text after which the next one is another step to undo."""


class ProfileEditor(OutlookPlace):
    """Sections on the left, their fields beside them, what they come to on the right, help below."""

    place = PlaceName.PROFILES
    topic = "Profile editor"
    about = (
        "Form and TOML are two views of the same text: an edit in the form changes that value and nothing else of the file.",
        "An empty field goes back to its default, or to what the profile it extends says. What is wrong with a value, and "
        "what a resume does with a changed one, stands in the help below.",
        "• behind a name: the value is not the file's yet; * in a profile that extends another: it is not the parent's. "
        "F8 goes back to the file's value, then to what an empty field means. "
        "Ctrl with up and down steps a number. Tab completes a path.",
        "A folder of images has settings of its own (trigger, masks, regularisation and more): F7 in its line.",
        "Undo takes back one edit at a time, in the form as in the TOML. Unsaved text is kept in the workspace and offered again "
        "after a crash or a lost connection. $EDITOR gets the file, or a copy with what is not saved yet (F4 while typing).",
        "Beside the form stand the planned learning rate, the data set and the estimate of memory, disk and time, all at once "
        "where the screen is large enough; F5 shows one at a time, the data set with some of its images. They are looked at in "
        "the background, as you type. Epochs are marked below the curve.",
        "Launching saves, looks at everything that could be wrong, and asks: now or in the queue, on which GPU, once or as a "
        "sweep over the values of a field or two.",
        "F6 compares the profile, as it stands here, with another one or with what a run trains.",
        "If a run was launched from the profile, what differs from the newest one is marked: + a resume applies it, ~ a resume "
        "ignores it, ! it rules a resume out.",
    )

    DEFAULT_CSS = """
    ProfileEditor {
        #pages { width: 1fr; padding: 0 1; }
        &.-wide SectionList { width: 22; }
        &.-beside SectionList { display: none; }
        &.-beside BesideForm { width: 36; }
        &.-beside FieldRow.-tables > .field-label { width: 12; }
        &.-beside SourceLine > .repeats { width: 6; }
    }
    """
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (130, "-wide")]  # noqa: RUF012 - Textual declares it so

    AUTO_FOCUS: ClassVar[str | None] = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f7", "source", "Folder's settings", priority=True),
        Binding("ctrl+l", "launch", "Launch"),
        Binding("ctrl+t", "turn", "Form or TOML"),
        Binding("ctrl+r", "show_difference", "At resume"),
        Binding("f6", "compare", "Compare", priority=True),
        Binding("ctrl+n", "next_problem", "Next problem"),
        Binding("slash", "find", "Find a field", priority=True),
        Binding("ctrl+f", "find_typing", "Find", priority=True),
        Binding("f8", "reset", "Back to the saved value, then to the default", show=False),
        Binding("ctrl+up", "step(True)", "Number up", show=False, priority=True),
        Binding("ctrl+down", "step(False)", "Number down", show=False, priority=True),
        Binding("d", "duplicate", "Duplicate to edit"),
        Binding("pagedown", "section(1)", "Next section", show=False),
        Binding("pageup", "section(-1)", "Previous section", show=False),
    ]

    def __init__(self, workspace: Workspace, path: Path, *, read_only: bool = False) -> None:
        """Raises ``ProfileError`` if the file cannot be read as text."""
        super().__init__(workspace, path, read_only=read_only)
        self._section = profile_sections()[0]
        self._form: SectionForm | None = None
        self._judging: Timer | None = None
        self._pausing: Timer | None = None
        self._title, self._sections = DraftTitle(), SectionList()
        self._form_page = Container(id="form")
        self._toml = TomlEditor(id="toml", show_line_numbers=True, read_only=read_only, highlight_cursor_line=False)
        self._pages = ContentSwitcher(self._form_page, self._toml, id="pages", initial="form")
        self._help = EditorHelp(id="help")
        self._run: SourceRun | None = None
        self._difference: ResumePlan | None = None
        """What a resume of that run would do with the profile as it reads now; None while it has problems."""
        self._run_line = SourceRunLine()

    def compose_body(self) -> Iterable[Widget]:
        yield self._title
        yield self._run_line
        yield Horizontal(self._sections, self._pages, self.beside)
        yield self._help

    @on(Mount)
    async def _open(self) -> None:
        """Show the first section, or the text itself where it is no TOML."""
        self.show_state()
        if self.draft.is_toml:
            await self._show_section(self._section)
            self._sections.focus()
        else:
            self._open_toml()

    # showing

    def show_state(self) -> None:
        """What is wrong, or what is planned."""
        self._difference = self._run.plan(self.draft.document.text, self.path) if self._run else None
        effects = self._effects()
        shipped = "shipped, read-only: d duplicates it into your profiles"
        why = "" if not self.read_only else "read-only workspace" if self.workspace.read_only else shipped
        self._title.show(self.draft, read_only=why)
        self._run_line.show(self._run, self._difference, unfinished=bool(self.draft.complaints))
        self._sections.show(self.draft, effects.values())
        self.look_ahead()
        if self._form is not None:
            self._form.show_origins(self.draft.origins(self._section))
            self._form.show_problems(self.draft.complaints)
            self._form.show_marks(effects, self.draft.unsaved_fields, self.draft.own_fields)
        self._show_help()
        self.refresh_bindings()
        self.keep_draft()

    async def show_anew(self, changed: Sequence[str]) -> None:
        """Where it was looked at: the form goes to the first field that changed, the text to the first line."""
        self.show_state()
        if self._pages.current == "toml" or not self.draft.is_toml:
            self._open_toml()
            return
        inside = self._form is not None and self._form.has_focus_within
        path = next((path for path in changed if path not in HIDDEN), None)
        if path is not None:
            self._section = next(one for one in profile_sections() if one.name == section_of(path))
            self._sections.go_to(self._section)
        await self._show_section(self._section)
        if inside and self._form is not None and (path is None or not self._form.focus_field(path)):
            self._form.focus_first()

    def _effects(self) -> dict[str, Effect]:
        """By field, what a resume of the run would do with each value that differs from it."""
        return {effect.field: effect for effect in self._difference.effects} if self._difference else {}

    @on(ScreenResume)
    def _look_for_run(self) -> None:
        """Anew whenever this comes to the front: a launch from here makes a newer one."""
        self._read_run()

    @work(thread=True, exclusive=True, group="run")
    def _read_run(self) -> None:
        found = newest_run_of(self.path, self.workspace.runs)
        self.app.call_from_thread(self._show_run, found)

    def _show_run(self, run: SourceRun | None) -> None:
        if run != self._run:
            self._run = run
            self.show_state()

    def action_show_difference(self) -> None:
        """What a resume of the run would do with each value that differs."""
        if self._run is not None and self._difference is not None:
            self.app.push_screen(SourceRunDialog(self._run, self._difference))

    # the form

    async def _show_section(self, section: ProfileSection) -> None:
        self._section = section
        self.draft.leave_field()
        inherited = self.draft.inherited_values(section)
        self._form = SectionForm(
            section, self.draft.values(section), inherited, folder=self.path.absolute().parent, read_only=self.read_only
        )
        await self._form_page.remove_children()
        await self._form_page.mount(self._form)
        self._form.show_origins(self.draft.origins(section))
        self._form.show_problems(self.draft.complaints)
        self._form.show_marks(self._effects(), self.draft.unsaved_fields, self.draft.own_fields)

    @on(RowList.Highlighted)
    async def _section_moved(self) -> None:
        section = self._sections.section
        if self._pages.current == "toml":
            self._toml.go_to_table(section.name)
        elif section is not self._section or self._form is None:
            await self._show_section(section)
        if self._sections.has_focus:
            self._show_help()

    @on(RowList.Chosen)
    def _section_chosen(self) -> None:
        if self._form is not None and not self.read_only:
            self._form.focus_first()

    @on(SectionForm.Edited)
    def _edited(self, event: SectionForm.Edited) -> None:
        self.draft.set(event.field.path, event.value)
        self.show_state()

    @on(SectionForm.Restored)
    def _restored(self, event: SectionForm.Restored) -> None:
        self.draft.restore(event.field.path, event.value)
        self.show_state()

    @on(SectionForm.Mistyped)
    def _was_mistyped(self, event: SectionForm.Mistyped) -> None:
        self.draft.mistype(event.field.path, event.reason)
        self.show_state()

    @on(Offered)
    def _paths_offered(self, event: Offered) -> None:
        if event.candidates:
            self.call_later(self._help.show_candidates, event.candidates)  # after the edit has shown the field's help

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Help for what has the focus; what is typed there is an edit of its own."""
        self.draft.history.close()
        self._show_help(event.widget)

    def _show_help(self, focused: Widget | None = None) -> None:
        """Help for ``focused``, by default for what has the focus now."""
        focused = focused or self.focused
        field = self._form.field_of(focused) if self._form is not None else None
        if field is not None:
            self._help.show_field(field, self.draft, self._run, self._effects().get(field.path))
        elif self._pages.current == "toml":
            self._help.show_problems(self.draft.problems)
        else:
            self._help.show_section(self._section)

    async def action_section(self, by: int) -> None:
        """Go to the next or previous section, from wherever the cursor is."""
        if self._pages.current == "form":
            inside = self._form is not None and self._form.has_focus_within
            self._sections.action_move(by)
            if inside:
                await self._show_section(self._sections.section)
                self._section_chosen()

    def _focused_field(self) -> ProfileField | None:
        return self._form.field_of(self.focused) if self._form is not None else None

    async def action_reset(self) -> None:
        """The focused field as the file has it; where it is so, at its default."""
        field = self._focused_field()
        if field is not None and self._pages.current == "form" and self.draft.reset(field.path):
            await self.show_anew([field.path])

    def action_step(self, up: bool) -> None:
        """The focused number one step up or down."""
        if self._form is not None and self._pages.current == "form":
            self._form.step(self.focused, up)

    async def action_find(self) -> None:
        """Look for a field by words, and go there."""
        if self.draft.is_toml:
            await self.app.push_screen(FindField(), self._go_to_found)  # what is typed next is for it
        else:
            self.notify("the fields are shown once the text is TOML", title="Not TOML yet", severity="error")

    async def action_find_typing(self) -> None:
        """The same while a letter would be typed into what has the focus."""
        await self.action_find()

    async def _go_to_found(self, path: str | None) -> None:
        if path is not None:
            if self._pages.current == "toml":
                await self.action_turn()
            await self._go_to_field(path)

    # the text

    def _open_toml(self) -> None:
        if self._toml.text != self.draft.document.text:
            self._toml.show_text(self.draft.document.text)
        self._pages.current = "toml"
        self._toml.focus()
        self._show_help(self._toml)

    @on(TextArea.Changed, "#toml")
    def _text_typed(self) -> None:
        if self._pages.current == "toml" and self._toml.text != self.draft.document.text:
            self.draft.replace_text(self._toml.text)
            if self._judging is not None:
                self._judging.stop()
            self._judging = self.set_timer(JUDGE_AFTER, self._judge_text)
            if self._pausing is not None:
                self._pausing.stop()
            self._pausing = self.set_timer(STEP_AFTER, self.draft.history.close)

    def _judge_text(self) -> None:
        self.draft.judge()
        self.show_state()

    async def action_turn(self) -> None:
        """From the form to the text or back; back only where the text is TOML."""
        if self._pages.current == "form":
            self.draft.forget_mistyped()
            self.show_state()
            self._open_toml()
            return
        self._judge_text()
        if not self.draft.is_toml:
            self.notify(clean(self.draft.first_complaint), title="Not TOML yet", severity="error", markup=False)
            return
        self._pages.current = "form"
        await self._show_section(self._section)
        self._sections.focus()

    # acting

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What can be done now."""
        match action:
            case "save" | "undo" | "redo" | "edit_outside" | "reset" | "step":
                can = not self.read_only
            case "find":
                can = not isinstance(self.focused, Input | TextArea)
            case "duplicate":
                can = self.read_only
            case "source":
                field = self._focused_field()
                can = field is not None and field.path == SOURCES and not self.read_only
            case "show_difference":
                can = self._difference is not None
            case "next_problem":
                can = bool(self.draft.complaints)
            case _:
                can = True
        return can

    @work
    async def action_compare(self) -> None:
        """What differs from another profile or from what a run trains."""
        profile = self.draft.profile
        if profile is None:
            self.notify(clean(self.draft.first_complaint), title="Not compared", severity="error", markup=False)
            return
        await compare_with_another(self, Side(self.path.stem, self.path, profile))

    async def action_next_problem(self) -> None:
        """Put the cursor where the next problem is."""
        if self._pages.current == "toml":
            self._toml.go_to_next([problem.line for problem in self.draft.problems if problem.line])
            return
        paths = list(self.draft.complaints)
        focused = self._focused_field()
        at = paths.index(focused.path) if focused is not None and focused.path in paths else -1
        await self._go_to_field(paths[(at + 1) % len(paths)])

    async def _go_to_field(self, path: str) -> None:
        section = next((section for section in profile_sections() if section.name == section_of(path)), None)
        known = section is not None and any(path.startswith(field.path) for field in section.fields)
        if section is None or not known or path in HIDDEN:
            self._open_toml()
            await self.action_next_problem()
            return
        self._sections.go_to(section)
        await self._show_section(section)
        if self._form is not None:
            self._form.focus_field(path)
            if path.startswith(f"{SOURCES}.") and not self.read_only:
                await self._edit_source(path)

    async def action_source(self) -> None:
        """All that can be set for the folder of images in focus."""
        await self._edit_source("")

    async def _edit_source(self, wanted: str) -> None:
        """wanted: path of the field to begin at."""
        found = self._form.source() if self._form is not None else None
        if found is None or wanted in BESIDE_THE_PATH:
            return
        editor, line = found

        def take(others: dict[str, Any] | None) -> None:
            if others is not None and line.is_attached:
                editor.set_others(line, others)
            elif others is not None:  # the file was read again meanwhile
                words = "The profile was read again meanwhile: open the folder's settings once more."
                self.notify(words, title="Not taken", severity="warning", markup=False, timeout=8)

        folder = self.path.absolute().parent
        await self.app.push_screen(SourceDialog(line.path.value, line.others, folder=folder, wanted=wanted), take)

    @changes_workspace
    async def action_launch(self) -> None:
        """Save, then ask how it is to be launched; what stands against it is named first."""
        if complaint := self.draft.first_complaint:
            self.notify(clean(complaint), title="Not launched", severity="error", markup=False)
            await self.action_next_problem()
        elif self.read_only:
            self.ask_and_launch()
        else:
            self.save(then_launch=True)

    def ask_and_launch(self) -> None:
        self._ask_how()

    @work
    async def _ask_how(self) -> None:
        field = self._focused_field()
        swept = field is not None and field.kind in SWEPT and field.path != "name"
        example = {}
        if swept and field is not None:
            value = self.draft.value(field.path)
            inherited = self.draft.inherited_value(field.path)
            example["example"] = sweep_example(field, inherited if value is None else value)
        wish = await self.app.push_screen_wait(LaunchDialog(self.path, self.workspace, **example))
        if wish is not None:
            self.launch_profile(self.path, waits=wish.waits, gpus=wish.gpus, swept=wish.swept)

    def refused(self, path: Path, error: Exception, answer: str | None) -> None:
        """The cursor goes to the field that is to blame."""
        fields = [problem.field for problem in error.problems] if isinstance(error, ProfileError) else []
        if fields and fields[0]:
            self.call_later(self._go_to_field, without_index(fields[0]))

    @changes_workspace
    @work(thread=True, exclusive=True, group="save")
    def action_duplicate(self) -> None:
        """A copy in the workspace, opened for editing."""
        try:
            copy = duplicate(self.path, self.workspace.profiles)
            editor = ProfileEditor(self.workspace, copy)
        except UserError as error:
            self.app.call_from_thread(self.complain, "Not duplicated", error)
        else:
            self.app.call_from_thread(self.app.switch_screen, editor)
