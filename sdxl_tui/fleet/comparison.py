"""Two checkpoints or states side by side: everything that differs between them, in groups, and how much does not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sdxl_tui.fleet.compared import Facts, Side, is_foreign, side_of
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import (
    format_bytes,
    format_count,
    format_duration,
    format_loss,
    format_lr,
    format_percent,
)

ABSENT: Final = "–"
"""Where one of two checkpoints has no such value."""
NOT_STORED: Final = "not stored"
"""The same, where one of the two is of sd-scripts."""
RATES: Final = ("d", "d0")
LOSSES: Final = ("loss", "average loss", "held-out loss")
_NONE: Final = object()


@dataclass(frozen=True)
class Difference:
    """One fact of which the two say different things; None where one says nothing."""

    name: str
    first: Any
    second: Any


@dataclass(frozen=True)
class Section:
    """Facts of one kind."""

    title: str
    differences: tuple[Difference, ...]
    alike: int
    """Facts of this kind that are the same in both."""


@dataclass(frozen=True)
class Comparison:
    """The two and the sections of what they say, also those without a difference."""

    first: Side
    second: Side
    sections: tuple[Section, ...]

    def texts(self, difference: Difference) -> tuple[str, str]:
        """Both values as they are shown, safe to print."""
        absent = NOT_STORED if self.first.is_foreign or self.second.is_foreign else ABSENT
        return (
            value_text(difference.name, difference.first, absent),
            value_text(difference.name, difference.second, absent),
        )


def compare(first: Path, second: Path) -> Comparison:
    """Compare what lies in two places: checkpoints, states or LoRA files of sd-scripts.

    Reads JSON and headers. Raises ``CheckpointError`` or ``ForeignFileError``.
    """
    foreign = [is_foreign(path) for path in (first, second)]
    one, other = (side_of(path, beside_foreign=any(foreign)) for path in (first, second))
    return Comparison(one, other, _sections(one.sections, other.sections, with_metadata=all(foreign)))


def _sections(first: dict[str, Facts], second: dict[str, Facts], *, with_metadata: bool) -> tuple[Section, ...]:
    titles = dict.fromkeys([*first, *second])
    last = [title for title in ("Metadata", "Profile") if title in titles]
    ordered = [title for title in titles if title not in last] + last
    if not with_metadata and "Metadata" in ordered:
        ordered.remove("Metadata")  # a checkpoint's file of its own has them, too: the profile says more
    return tuple(_section(title, first.get(title, {}), second.get(title, {})) for title in ordered)


def _section(title: str, first: Facts, second: Facts) -> Section:
    names = list(dict.fromkeys([*first, *second]))
    differing = [name for name in names if first.get(name, _NONE) != second.get(name, _NONE)]
    differing = [name for name in differing if (first.get(name), second.get(name)) != (None, None)]
    return Section(
        title,
        tuple(Difference(name, first.get(name), second.get(name)) for name in differing),
        len(names) - len(differing),
    )


def value_text(name: str, value: Any, absent: str = ABSENT) -> str:
    """A fact or setting as it is shown elsewhere, safe to print. absent: what stands for None."""
    formats = {"size": format_bytes, "trained for": format_duration, "share done": format_percent}
    match value:
        case None:
            return absent
        case float() | int() if name in formats:
            return formats[name](value)
        case float() if name in LOSSES:
            return format_loss(value)
        case float() if name in RATES or name.endswith(("LR", "lr")):
            return format_lr(value)
        case float():
            return f"{value:g}".replace("e-0", "e-")
        case bool() | list():
            text = json.dumps(value, ensure_ascii=False)
        case int():
            text = format_count(value)
        case _:
            text = str(value)
    return clean(text, limit=300)
