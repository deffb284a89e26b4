"""The editor's title and its list of sections: what stands against a draft, at a glance."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from textual.content import Content
from textual.widgets import Static

from engine.profile.fields import ProfileSection, profile_sections
from engine.profile.setting import AtResume
from engine.routes.effects import Effect
from sdxl_tui.fleet.profile_draft import ProfileDraft, section_of
from sdxl_tui.fleet.source_run import MARKS
from sdxl_tui.terminal.clean import clean
from sdxl_tui.widgets.field_help import RESUME_STYLE
from sdxl_tui.widgets.place_bar import short_path
from sdxl_tui.widgets.row_list import Row, RowList

MUTED: Final = "$foreground 60%"
TOP: Final = "profile"
"""What the section without a name is called."""
GRAVITY: Final = (AtResume.APPLIED, AtResume.RESTORED, AtResume.FIXED)


class DraftTitle(Static):
    """File, whether it is valid, whether it is saved."""

    DEFAULT_CSS = """
    DraftTitle { height: 1; width: 1fr; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def show(self, draft: ProfileDraft, *, read_only: str) -> None:
        """Show how the draft stands. read_only: why it cannot be changed; empty if it can."""
        count = len(draft.complaints)
        state = ("valid", "$success") if not count else (f"{count} problem{'s' * (count > 1)}", "bold $error")
        parts: list[str | tuple[str, str]] = [(clean(draft.path.name), "bold"), "  ", state]
        if read_only:
            parts.append((f"  {read_only}", "$warning"))
        elif draft.is_changed:
            parts.append(("  ● not saved", "$warning"))
        if parent := draft.parent:
            own = len(draft.own_fields)
            parts.append((f"  extends {clean(parent.stem)}, {own} value{'' if own == 1 else 's'} of its own", MUTED))
        parts.append((f"  {clean(short_path(draft.path.parent))}", MUTED))
        self.update(Content.assemble(*parts), layout=False)


class SectionList(RowList):
    """The sections of a profile, each with the number of its problems."""

    DEFAULT_CSS = """
    SectionList { width: 18; border-right: solid $foreground 15%; }
    """

    def show(self, draft: ProfileDraft, effects: Collection[Effect] = ()) -> None:
        """Mark the sections that something is wrong in, and those with values that differ from a run's."""
        rows = []
        for section in profile_sections():
            wrong = draft.complaints_in(section)
            label = (section.name or TOP, "$error" if wrong else "")
            differing = [effect for effect in effects if section_of(effect.field) == section.name]
            tail = (f"✗ {wrong}", "$error") if wrong else ("", "")
            if differing and not wrong:
                gravest = max(differing, key=lambda effect: GRAVITY.index(effect.at_resume)).at_resume
                tail = (f"{MARKS[gravest]} {len(differing)}", RESUME_STYLE[gravest])
            rows.append(Row(section.name or TOP, (label,), tail=tail))
        if list(self.rows) != rows:
            self.show_rows(rows)

    @property
    def section(self) -> ProfileSection:
        """The section under the cursor."""
        return next(section for section in profile_sections() if (section.name or TOP) == (self.key or TOP))

    def go_to(self, section: ProfileSection) -> None:
        """Put the cursor on a section."""
        self.move_to(section.name or TOP)
