"""What is worth knowing about the focused field: always in sight below the form."""

from __future__ import annotations

from typing import Final

from textual.content import Content

from engine.profile.fields import ProfileField, ProfileSection
from engine.profile.setting import AtResume
from sdxl_tui.widgets.field_text import default_text

MUTED: Final = "$foreground 60%"
RESUME: Final = {
    AtResume.APPLIED: ("applied", "a changed value takes effect from the next step on"),
    AtResume.RESTORED: ("restored", "the checkpoint's value wins; continue to change it"),
    AtResume.FIXED: ("fixed", "a changed value rules an exact resume out"),
}
RESUME_STYLE: Final = {AtResume.APPLIED: "$success", AtResume.RESTORED: "$warning", AtResume.FIXED: "$error"}


def field_help(field: ProfileField, *, is_set: bool) -> Content:
    """Name, range, default; what a resume does with a changed value; help and detail."""
    unit = f" {field.unit}" if field.unit else ""
    facts = [field.requirement]
    if not field.required:
        facts.append(f"default {default_text(field)}{unit}" + ("" if is_set else " (in use)"))
    word, happens = RESUME[field.at_resume]
    return Content.assemble(
        (field.path, "bold"),
        (f"  {' · '.join(facts)}\n", MUTED),
        ("at resume ", MUTED),
        (word, RESUME_STYLE[field.at_resume]),
        (f": {happens}\n", MUTED),
        f"{field.help} ",
        (field.detail, MUTED),
    )


def section_help(section: ProfileSection) -> Content:
    """What a section is about."""
    return Content.assemble((section.name or "profile", "bold"), (f"  {section.help}", MUTED))
