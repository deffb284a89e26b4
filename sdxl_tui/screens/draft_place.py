"""A page with a profile that is edited: what becomes of its file. Showing and editing are the subclass's affair.

Nothing typed is lost unasked: unsaved text is kept in the workspace, and what others do to the file is noticed. All that
touches the disk runs in threads.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on, work
from textual.binding import Binding, BindingType
from textual.events import Mount
from textual.timer import Timer

from engine.errors import UserError
from engine.profile.problems import ProfileConflict, ProfileError
from sdxl_tui.fleet.kept_drafts import DraftKeeper, KeptDraft, is_edited_elsewhere, left_behind
from sdxl_tui.fleet.profile_draft import ProfileDraft
from sdxl_tui.screens.draft_questions import changed_on_disk, leave_unsaved, take_up
from sdxl_tui.screens.launching import LaunchingPlace
from sdxl_tui.screens.outside_editor import edit_outside
from sdxl_tui.terminal.clean import clean

if TYPE_CHECKING:
    from sdxl_tui.workspace import Workspace

KEEP_AFTER: Final = 0.3
"""Seconds from a keystroke to the draft on disk, at most; typing on does not put it off."""
LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the file."""


class DraftPlace(LaunchingPlace):
    """``show_anew`` is called when the text has become another one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "Save"),
        Binding("ctrl+z", "undo", "Undo", show=False, priority=True),
        Binding("ctrl+y", "redo", "Redo", show=False, priority=True),
        Binding("e", "edit_outside", "$EDITOR", show=False),
        Binding("f4", "edit_outside", "$EDITOR, also while typing", show=False, priority=True),
        Binding("escape", "leave", "Back"),
    ]

    def __init__(self, workspace: Workspace, path: Path, *, read_only: bool) -> None:
        """Raises ``ProfileError`` if the file cannot be read as text."""
        super().__init__(workspace)
        self.draft = ProfileDraft(path)
        self.read_only = read_only
        self._keeper = DraftKeeper(workspace.drafts, path)
        self._keeping: Timer | None = None
        self._cannot_keep = False
        self._leave_when_saved = False
        self._disk = threading.Lock()
        self._disk_seen = self.draft.document.disk_version()

    @property
    def path(self) -> Path:
        """The profile's file."""
        return self.draft.path

    @property
    def unsaved(self) -> str | None:
        """Changes that stand only here."""
        return f"changes to {clean(self.path.name)}" if self.draft.is_changed and not self.read_only else None

    def show_state(self) -> None:
        """What is wrong, what is saved."""
        raise NotImplementedError

    async def show_anew(self, changed: Sequence[str]) -> None:
        """Show the text, which is another one now. changed: the fields whose values are others."""
        raise NotImplementedError

    def complain(self, title: str, error: Exception) -> None:
        """Say what could not be done."""
        self.notify(clean(str(error), lines=True), title=title, severity="error", markup=False, timeout=12)

    # the draft that survives

    @on(Mount)
    def _begin(self) -> None:
        self.set_interval(LOOK_EVERY, self._look_soon)
        if not self.read_only:
            self._look_for_kept()

    def keep_draft(self) -> None:
        """Unsaved text goes to the disk soon; saved text needs no draft."""
        text = self.draft.document.text if self.draft.document.is_changed and not self.read_only else None
        if self._keeper.want(text) and self._keeping is None:
            self._keeping = self.set_timer(KEEP_AFTER, self._keep_now)

    def _keep_now(self) -> None:
        self._keeping = None
        self._write_draft()

    @work(thread=True, group="keep")
    def _write_draft(self, then_remove: KeptDraft | None = None) -> None:
        try:
            self._keeper.write()
        except OSError as error:
            if not self._cannot_keep:
                self._cannot_keep = True
                self.app.call_from_thread(
                    self.notify,
                    f"{error.strerror}: save soon, a crash would lose the changes",
                    title="Unsaved text cannot be kept",
                    severity="warning",
                    timeout=12,
                    markup=False,
                )
            return
        self._cannot_keep = False
        if then_remove is not None:
            with contextlib.suppress(OSError):
                then_remove.remove()

    def forget_unsaved(self) -> None:
        with contextlib.suppress(OSError):
            self._keeper.forget()

    @work(thread=True, group="kept")
    def _look_for_kept(self) -> None:
        if is_edited_elsewhere(self.workspace.drafts, self.path):
            words = "Another window has unsaved changes to it. Whoever saves last is asked first."
            self.app.call_from_thread(
                self.notify, words, title=clean(self.path.name), severity="warning", markup=False, timeout=8
            )
        for kept in left_behind(self.workspace.drafts, self.path):
            if kept.text != self.draft.document.text:
                self.app.call_from_thread(self._offer, kept)
                return
            with contextlib.suppress(OSError):
                kept.remove()

    @work
    async def _offer(self, kept: KeptDraft) -> None:
        answer = await self.app.push_screen_wait(take_up(self.path, kept, self.draft.document.text, self.now()))
        if answer == "take":
            await self._take(kept.text)
            self.keep_draft()
            self._write_draft(kept)
        elif answer == "discard":
            with contextlib.suppress(OSError):
                kept.remove()

    async def _take(self, text: str) -> None:
        changed = self.draft.take(text)
        await self.show_anew(changed)

    # undo

    async def action_undo(self) -> None:
        """Take the last edit back."""
        await self._show_step(self.draft.undo(), "Nothing to undo")

    async def action_redo(self) -> None:
        """Make the edit again that was taken back last."""
        await self._show_step(self.draft.redo(), "Nothing to redo")

    async def _show_step(self, changed: Sequence[str] | None, otherwise: str) -> None:
        if changed is None:
            self.notify(otherwise, markup=False, timeout=2)
        else:
            await self.show_anew(changed)

    # what others do to the file

    def _look_soon(self) -> None:
        if self.app.screen is self:
            self._look_at_disk()

    @work(thread=True, exclusive=True, group="look")
    def _look_at_disk(self) -> None:
        document = self.draft.document
        with self._disk:
            version = document.disk_version()
            if version == self._disk_seen:
                return
            self._disk_seen = version
            if not document.changed_on_disk:
                return
        self.app.call_from_thread(self._changed_outside, version is None)

    @work
    async def _changed_outside(self, gone: bool) -> None:
        if gone:
            self._say_changed("was deleted or moved. Saving asks, and makes it anew.")
        elif self.draft.is_changed:
            self._say_changed("was changed by another program. Your changes stand here; saving asks first.")
        elif await self._reload():
            self._say_changed("was changed by another program and read again.")

    def _say_changed(self, what: str) -> None:
        name = clean(self.path.name)
        self.notify(f"{name} {what}", title="Changed on disk", severity="warning", markup=False, timeout=8)

    async def _reload(self) -> bool:
        try:
            changed = self.draft.reload()
        except ProfileError as error:
            self.complain("Not read again", error)
            return False
        await self.show_anew(changed)
        return True

    async def action_edit_outside(self) -> None:
        """The file in ``$EDITOR``; with unsaved changes a copy that has them, which then stand here, still unsaved."""
        if self.read_only:
            return
        with contextlib.ExitStack() as scratch:
            own, before = self.path, self.draft.document.text
            if self.draft.document.is_changed:
                own = Path(scratch.enter_context(tempfile.TemporaryDirectory(prefix="sdxl-tui-"))) / self.path.name
            try:
                if own is not self.path:
                    own.write_text(before, encoding="utf-8", newline="")
                edit_outside(self.app, own)
            except (UserError, OSError) as error:
                self.complain("$EDITOR", error)
            if own is self.path:
                if self.draft.document.changed_on_disk:
                    self._disk_seen = self.draft.document.disk_version()
                    await self._reload()
                return
            try:
                text = ProfileDraft(own).document.text
            except ProfileError as error:
                self.complain("Not taken", error)
                return
        if text != before:
            await self._take(text)

    # saving and leaving

    def action_save(self) -> None:
        """Write the file."""
        self.save()

    @work(thread=True, exclusive=True, group="save")
    def save(self, *, overwrite: bool = False, then_launch: bool = False) -> None:
        """Write the file; asks if another program changed it. then_launch: go on with ``ask_and_launch``."""
        if self.draft.document.is_changed or overwrite:
            try:
                with self._disk:
                    self.draft.document.save(overwrite=overwrite)
                    self._disk_seen = self.draft.document.disk_version()
            except ProfileConflict:
                self._leave_when_saved = False
                self.app.call_from_thread(self._ask_about_conflict, then_launch)
                return
            except ProfileError as error:
                self._leave_when_saved = False
                self.app.call_from_thread(self.complain, "Not saved", error)
                return
        self.app.call_from_thread(self._saved)
        if self._leave_when_saved:
            self.app.call_from_thread(self.call_later, self.run_action, "app.back")
        if then_launch:
            self.app.call_from_thread(self.ask_and_launch)

    def ask_and_launch(self) -> None:
        """Ask how the saved file is to be launched, and do it."""
        raise NotImplementedError

    def _saved(self) -> None:
        self.draft.history.close()
        self.show_state()
        if complaint := self.draft.first_complaint:
            self.notify(clean(complaint), title="Saved, but not valid yet", severity="warning", markup=False)
        else:
            self.notify(clean(self.path.name), title="Saved", markup=False, timeout=2)

    @work
    async def _ask_about_conflict(self, then_launch: bool) -> None:
        answer = await self.app.push_screen_wait(changed_on_disk(self.path))
        if answer == "overwrite":
            self.save(overwrite=True, then_launch=then_launch)
        elif answer == "reload":
            await self._reload()

    async def action_leave(self) -> None:
        """Back to the list; asks first if something would be lost."""
        if self.unsaved is None:
            self.forget_unsaved()
            await self.run_action("app.back")
            return

        async def go_on(answer: str | None) -> None:
            if answer == "discard":
                self.forget_unsaved()
                await self.run_action("app.back")
            elif answer == "save":
                self._leave_when_saved = True
                self.save()

        await self.app.push_screen(leave_unsaved(self.path), go_on)
