"""The columns of the list of profiles. Knows how a profile's cells look; imports nothing that needs pydantic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count, format_lr
from sdxl_tui.widgets.live_table import FLEXIBLE, HIDDEN, Cell, Column

if TYPE_CHECKING:
    from engine.profile.schema import Profile
    from sdxl_tui.fleet.profile_shelf import ProfileEntry

MUTED: Final = "$foreground 60%"


def profile_columns() -> list[Column[ProfileEntry]]:
    """Name, where it lies, what it trains, whether it is valid."""
    return [
        Column("Profile", lambda _: FLEXIBLE, _name, widest=28),
        Column("From", lambda room: 9 if room >= 70 else HIDDEN, _origin),
        Column("Base", lambda room: FLEXIBLE if room >= 60 else HIDDEN, _base, widest=30),
        Column("Rank", lambda _: 4, _of(lambda profile: str(profile.network.rank)), "right"),
        Column("LR", lambda _: 8, _of(lambda profile: format_lr(_first(profile).leading_lr), "$primary"), "right"),
        Column("Schedule", lambda _: 8, _of(_schedule)),
        Column("Steps", lambda _: 6, _of(lambda profile: format_count(profile.planned_steps)), "right"),
        Column("", lambda room: 12 if room < 110 else FLEXIBLE, _verdict),
    ]


def _first(profile: Profile) -> Profile:
    """What is trained first: the profile, or its first stage's."""
    from engine.profile.stages import trained_profiles  # noqa: PLC0415 - pydantic, only where there is a profile

    return trained_profiles(profile)[0]


def _schedule(profile: Profile) -> str:
    count = len(profile.stages)
    return f"{count} stages" if count > 1 else _first(profile).schedule.kind.value


def _name(entry: ProfileEntry, _: int) -> Cell:
    return ((clean(entry.name), "" if entry.profile else "$error"),)


def _origin(entry: ProfileEntry, _: int) -> Cell:
    return (("shipped", MUTED),) if entry.is_shipped else (("workspace", ""),)


def _base(entry: ProfileEntry, _: int) -> Cell:
    if entry.profile is None:
        return ()
    base = entry.profile.model.base
    return ((clean(PurePath(base).name or base), MUTED),)


def _verdict(entry: ProfileEntry, width: int) -> Cell:
    if entry.profile is not None:
        return (("✓ valid", "$success"),)
    count = len(entry.problems)
    first = entry.problems[0].message if entry.problems else "not readable"
    short = f"✗ {count} problem{'s' * (count > 1)}"
    return ((f"✗ {clean(first)}" if width > 30 else short, "$error"),)


def _of(text: Callable[[Profile], str], style: str = "") -> Callable[[ProfileEntry, int], Cell]:
    def draw(entry: ProfileEntry, _: int) -> Cell:
        return () if entry.profile is None else ((text(entry.profile), style),)

    return draw
