"""What the profile editor asks before something would be lost, and what it says when a launch is refused."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Final

from textual.content import Content

from sdxl_tui.fleet.devices import DevicesBusy
from sdxl_tui.fleet.kept_drafts import KeptDraft
from sdxl_tui.screens.ask import Answer, Ask
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_age

SHOWN: Final = 8
"""Lines of a difference."""


def changed_on_disk(path: Path) -> Ask:
    """Answered with ``reload`` or ``overwrite``."""
    return Ask(
        " Changed on disk ",
        f"{clean(path.name)} was changed by another program since it was opened here.",
        (
            Answer("reload", "r", "Reload, losing my changes", destroys=True),
            Answer("overwrite", "o", "Overwrite it", destroys=True),
        ),
        back="Keep editing",
        unbidden=True,
    )


def take_up(path: Path, kept: KeptDraft, text: str, now: float) -> Ask:
    """Answered with ``take`` or ``discard``. text: the file's; now: Unix seconds."""
    lines = list(difflib.unified_diff(text.splitlines(), kept.text.splitlines(), n=0, lineterm=""))[2:]
    changed = [line for line in lines if not line.startswith("@@")]
    styles = {"-": "$error", "+": "$success"}
    shown = [Content.styled(clean(line, limit=120), styles[line[0]]) for line in changed[:SHOWN]]
    if len(changed) > SHOWN:
        shown.append(Content(f"… and {len(changed) - SHOWN} more lines"))
    words = f"{clean(path.name)} was left with unsaved changes {format_age(now - kept.kept)}. What differs:"
    return Ask(
        " Unsaved changes were kept ",
        Content("\n").join([Content(words), *shown]),
        (Answer("take", "t", "Take them up"), Answer("discard", "x", "Discard", destroys=True)),
        back="Later",
        unbidden=True,
    )


def leave_unsaved(path: Path) -> Ask:
    """Answered with ``save`` or ``discard``."""
    return Ask(
        " Leave the editor? ",
        f"Changes to {clean(path.name)} are not saved.",
        (Answer("save", "s", "Save"), Answer("discard", "d", "Discard the changes", destroys=True)),
        back="Keep editing",
    )


def not_launched(error: Exception, *answers: Answer) -> Ask:
    """Answered with one of ``answers``; where only the devices are in use, also with ``queue``."""
    if isinstance(error, DevicesBusy):
        words = f"{error.what}. It can wait for its turn and start when they are free."
        wait = Answer("queue", "q", "Let it wait for its turn")
        return Ask(" Not launched ", clean(words), (wait, *answers), unbidden=True)
    return Ask(" Not launched ", clean(str(error), lines=True), answers, back="Close", unbidden=True)
