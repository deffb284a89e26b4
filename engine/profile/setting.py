"""What is declared about a profile field besides its type and range: help, unit and what a resume does with it.

The declaration stands once, in ``schema.py``; the editor, the command line, the engine's checks and the reference docs
read it through ``fields.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class AtResume(StrEnum):
    """What happens to a value that was changed since the checkpoint, when the run is resumed from it."""

    APPLIED = "applied"
    """The new value takes effect from the next step on."""
    RESTORED = "restored"
    """The checkpoint's value wins; another route (continue, reschedule) would apply the new one."""
    FIXED = "fixed"
    """A changed value rules an exact resume out."""


HAPPENS_AT_RESUME: Final = {
    AtResume.APPLIED: "a changed value takes effect",
    AtResume.RESTORED: "the checkpoint's value wins; to change it, continue with a new LR",
    AtResume.FIXED: "a changed value rules an exact resume out",
}


@dataclass(frozen=True)
class Setting:
    """Facts about a field, attached to its annotation: ``Annotated[float, Field(gt=0), Setting(...)]``."""

    help: str
    """One line, shown beside the field."""
    at_resume: AtResume
    unit: str = ""
    detail: str = ""
    """Usual values and the trade-off; a few sentences."""
    aliases: tuple[str, ...] = ()
    """What other trainers call it, so that a misspelt or foreign name finds it."""
    absent: str = ""
    """What holds where an optional field (``float | None``) is not set: ``optimizer.lr``, ``no limit``."""
    leads_to: tuple[str, ...] = ()
    """Of a path on this machine what lies there: endings of files, ``/`` for a folder; empty for what is no path."""
