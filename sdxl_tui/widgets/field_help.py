"""What is worth knowing about the focused field: always in sight below the form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from textual.content import Content
from textual.widgets import Static

from engine.profile.fields import ProfileField, ProfileSection
from engine.profile.problems import Problem
from engine.profile.setting import AtResume
from engine.routes.effects import Effect, shown
from sdxl_tui.fleet.profile_draft import ProfileDraft
from sdxl_tui.fleet.source_run import MARKS, SourceRun, at_resume
from sdxl_tui.terminal.clean import clean, without_middle
from sdxl_tui.widgets.field_text import EMPTY, default_text, text_of

MUTED: Final = "$foreground 60%"
MOST_OFFERED: Final = 60
"""Names that are listed."""
LONGEST: Final = 30
"""Characters of a run's value."""
RESUME: Final = {
    AtResume.APPLIED: ("applied", "a changed value takes effect from the next step on"),
    AtResume.RESTORED: ("restored", "the checkpoint's value wins; continue to change it"),
    AtResume.FIXED: ("fixed", "a changed value rules an exact resume out"),
}
RESUME_STYLE: Final = {AtResume.APPLIED: "$success", AtResume.RESTORED: "$warning", AtResume.FIXED: "$error"}


@dataclass(frozen=True)
class Difference:
    """What a field's value means for the newest run that was launched from the profile."""

    stored: str
    """The run's value, as it is typed."""
    effect: Effect | None
    """None where an override of the launch wins over the profile."""
    override: str = ""

    def sentence(self) -> Content:
        """``applied at resume  (the run has 1e-4)``."""
        if self.effect is None:
            return Content.assemble(
                ("the run was launched with ", MUTED),
                (f"--set {clean(self.override)}", "$warning"),
                (", which wins at a resume", MUTED),
            )
        mark, style = MARKS[self.effect.at_resume], RESUME_STYLE[self.effect.at_resume]
        there = without_middle(clean(self.stored), LONGEST)
        return Content.assemble((f"{mark} {at_resume(self.effect)}", style), (f"  (the run has {there})", MUTED))


def difference_from(run: SourceRun | None, effect: Effect | None, field: ProfileField) -> Difference | None:
    """What ``field`` means for ``run``; None where a resume would find nothing changed."""
    if run is None:
        return None
    override = run.overridden(field.path)
    if override:
        return Difference("", None, override)
    return None if effect is None else Difference(_as_typed(field, effect.stored), effect)


def _as_typed(field: ProfileField, value: object) -> str:
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        return ", ".join(str(item.get("path") or item.get("name") or "…") for item in value)
    return shown(value) if field.kind in {"tables", "strings"} else text_of(field, value) or "not set"


def field_help(
    field: ProfileField,
    *,
    is_set: bool,
    problem: str = "",
    difference: Difference | None = None,
    inherited: tuple[str, str] | None = None,
) -> Content:
    """Name, range, default; what is wrong with the value; what a resume does with a changed one; help and detail.

    difference: the run that was launched from the profile and what a resume of it would do with this field; None where the
    values are the same or there is no run. inherited: the value that holds without one here, and the file it is from.
    """
    unit = f" {field.unit}" if field.unit else ""
    facts = [field.requirement]
    if inherited is not None:
        value, file = inherited
        facts.append(
            f"inherited {without_middle(clean(value), LONGEST)} from {clean(file)}" + ("" if is_set else " (in use)")
        )
        if field.kind in {"strings", "numbers"}:
            facts.append(f"{EMPTY} for none")
    elif not field.required:
        facts.append(f"default {default_text(field)}{unit}" + ("" if is_set else " (in use)"))
    return Content.assemble(
        (field.path, "bold"),
        (f"  {' · '.join(facts)}\n", MUTED),
        (f"✗ {clean(problem)}\n" if problem else "", "bold $error"),
        _at_resume(field) if difference is None else difference.sentence(),
        f"\n{field.help} ",
        (field.detail, MUTED),
    )


def _at_resume(field: ProfileField) -> Content:
    word, happens = RESUME[field.at_resume]
    return Content.assemble(("at resume ", MUTED), (word, RESUME_STYLE[field.at_resume]), (f": {happens}", MUTED))


def section_help(section: ProfileSection) -> Content:
    """What a section is about."""
    return Content.assemble((section.name or "profile", "bold"), (f"  {section.help}", MUTED))


class EditorHelp(Static):
    """Help for what has the focus in the editor."""

    DEFAULT_CSS = """
    EditorHelp { height: auto; min-height: 5; max-height: 7; padding: 0 1; border-top: solid $foreground 15%; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._said: tuple[object, ...] = ()

    def show_field(
        self, field: ProfileField, draft: ProfileDraft, run: SourceRun | None, effect: Effect | None
    ) -> None:
        """About a field. effect: what a resume of ``run`` would do with it; None where the values are the same."""
        problem = draft.complaint_about(field.path)
        is_set = draft.value(field.path) is not None
        difference = difference_from(run, effect, field)
        value = draft.inherited_value(field.path)
        origin = draft.origin_without_own(field.path)
        inherited = None if origin is None else (_as_typed(field, value), origin.name)
        self._say(field_help(field, is_set=is_set, problem=problem, difference=difference, inherited=inherited))

    def show_candidates(self, candidates: Sequence[str]) -> None:
        """What a path that is typed could go on with."""
        names = [clean(one.rstrip("/").rpartition("/")[2] + "/" * one.endswith("/")) for one in candidates]
        head = (f"{len(names)} to choose from: tab goes through them\n", MUTED)
        self._say(Content.assemble(head, "  ".join(names[:MOST_OFFERED]), " …" if len(names) > MOST_OFFERED else ""))

    def show_section(self, section: ProfileSection) -> None:
        """About a section."""
        self._say(section_help(section))

    def show_problems(self, problems: Sequence[Problem]) -> None:
        """About the profile as text: its first problem."""
        if problems:
            place = problems[0].place.rpartition("/")[2]
            self._say(Content.styled(clean(f"{place}  {problems[0].message}"), "$error"))
        else:
            self._say(Content.styled("Plain TOML; comments and order stay as you write them.", MUTED))

    def _say(self, text: Content) -> None:
        """Only what is new: an update lays the whole screen out anew."""
        said = text.plain, tuple(text.spans)
        if said != self._said:
            self._said = said
            self.update(text)
