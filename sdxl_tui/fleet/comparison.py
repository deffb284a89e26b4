"""Two checkpoints side by side: everything that differs between them, in groups, and how much does not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.checkpoint.describe import CheckpointSummary, RateGroup, describe, read_state
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
"""Where one of the two has no such value."""
RATES: Final = ("d", "d0")
LOSSES: Final = ("loss", "average loss", "held-out loss")
_NONE: Final = object()

Facts = dict[str, Any]


@dataclass(frozen=True)
class Difference:
    """One fact of which the two say different things; None where one says nothing."""

    name: str
    first: Any
    second: Any

    @property
    def texts(self) -> tuple[str, str]:
        """Both values as they are shown, safe to print."""
        return _text(self.name, self.first), _text(self.name, self.second)


@dataclass(frozen=True)
class Section:
    """Facts of one kind."""

    title: str
    differences: tuple[Difference, ...]
    alike: int
    """Facts of this kind that are the same in both."""


@dataclass(frozen=True)
class Comparison:
    """Two checkpoints and the sections of what they say, also those without a difference."""

    first: CheckpointSummary
    second: CheckpointSummary
    sections: tuple[Section, ...]


def compare(first: Path, second: Path) -> Comparison:
    """Compare the checkpoints in two folders; reads their JSON. Raises ``CheckpointError``."""
    one, other = describe(first), describe(second)
    profiles = [read_state(folder).get("profile") for folder in (first, second)]
    trained = [profile if isinstance(profile, dict) else {} for profile in profiles]
    return Comparison(one, other, _sections(_facts(one, trained[0]), _facts(other, trained[1])))


def _facts(summary: CheckpointSummary, profile: Mapping[str, Any]) -> dict[str, Facts]:
    network = summary.network
    sections: dict[str, Facts] = {
        "Checkpoint": {
            "run": summary.run_id,
            "step": summary.step,
            "epoch": summary.epoch,
            "loss": summary.loss,
            "average loss": summary.loss_avg,
            "held-out loss": summary.validation_loss,
            "size": summary.bytes,
            "trained for": summary.elapsed_seconds,
            "images seen": summary.images_seen,
            "files": summary.integrity,
            "base": summary.base_model,
            "device": summary.device,
            **{f"{name} version": version for name, version in summary.versions.items()},
        },
        "Schedule": {
            "kind": summary.schedule.kind.value,
            **dict(summary.schedule.shown()),
            "phase": summary.phase.value,
            "share done": summary.share_done,
        },
        "Adapter": {
            "kind": network.title,
            "rank": network.rank,
            "alpha": network.alpha,
            "dropout": network.dropout,
            "modules": network.modules,
            **{
                f"{part.part.replace('_', ' ')}": f"rank {part.rank}, alpha {part.alpha:g}, {part.modules} modules"
                for part in network.parts
            },
        },
        "Optimizer": {"kind": summary.optimizer},
    }
    upcoming = summary.next_lrs(1)
    for group in summary.groups:
        sections[f"Group {clean(group.name)}"] = _group(group, upcoming.get(group.name, ()))
    sections["Profile"] = _flat(profile)
    return sections


def _group(group: RateGroup, upcoming: tuple[float, ...]) -> Facts:
    return {
        "base LR": group.base_lr,
        "last LR": group.last_lr,
        "effective LR": group.effective_lr,
        "next LR": upcoming[0] if upcoming else None,
        "d": group.d,
        "numbers": group.values,
        "tensors": group.parameters,
        **{name.replace("_", " "): value for name, value in group.hyperparameters.items()},
    }


def _flat(profile: Mapping[str, Any], path: str = "") -> Facts:
    """Settings by their full names, ``optimizer.lr``; a list of tables is one setting per entry."""
    found: Facts = {}
    for name, value in profile.items():
        here = f"{path}{name}"
        if isinstance(value, Mapping):
            found |= _flat(value, f"{here}.")
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            for at, item in enumerate(value, 1):
                found |= _flat(item, f"{here}[{at}].")
        else:
            found[here] = value
    return found


def _sections(first: dict[str, Facts], second: dict[str, Facts]) -> tuple[Section, ...]:
    titles = list(dict.fromkeys([*first, *second]))
    titles.remove("Profile")
    return tuple(_section(title, first.get(title, {}), second.get(title, {})) for title in (*titles, "Profile"))


def _section(title: str, first: Facts, second: Facts) -> Section:
    names = list(dict.fromkeys([*first, *second]))
    differing = [name for name in names if first.get(name, _NONE) != second.get(name, _NONE)]
    differing = [name for name in differing if (first.get(name), second.get(name)) != (None, None)]
    return Section(
        title,
        tuple(Difference(name, first.get(name), second.get(name)) for name in differing),
        len(names) - len(differing),
    )


def _text(name: str, value: Any) -> str:
    """As it is shown elsewhere."""
    formats = {"size": format_bytes, "trained for": format_duration, "share done": format_percent}
    match value:
        case None:
            return ABSENT
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
