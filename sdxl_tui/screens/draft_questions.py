"""What the profile editor asks before something would be lost, and what it says when a launch is refused."""

from __future__ import annotations

from pathlib import Path

from sdxl_tui.fleet.devices import DevicesBusy
from sdxl_tui.screens.ask import Answer, Ask
from sdxl_tui.terminal.clean import clean


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
        return Ask(" Not launched ", clean(words), (Answer("queue", "q", "Let it wait for its turn"), *answers))
    return Ask(" Not launched ", clean(str(error), lines=True), answers, back="Close")
