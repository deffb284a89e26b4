"""Any number of runs beside each other: what differs in the profiles that they train, and how they did."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sdxl_tui.fleet.compared import flat_settings
from sdxl_tui.fleet.comparison import value_text
from sdxl_tui.fleet.run_history import Curve, RunHistory
from sdxl_tui.fleet.runs import RunSummary
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import UNKNOWN, format_count, format_loss

NAMES: Final = frozenset({"name", "schema"})
"""Settings that train nothing."""
_NONE: Final = object()


@dataclass(frozen=True)
class Best:
    """The lowest of a curve's values, and the step it was measured at."""

    value: float
    step: int


@dataclass(frozen=True)
class Figures:
    """How a run did, as far as it was measured. None: never."""

    step: int
    loss: float | None
    """The running average at its last step."""
    best_loss: Best | None
    """The lowest running average, once it was one of as many steps as it averages, or of all."""
    validation: float | None
    best_validation: Best | None
    lr: float | None
    """Of the first group at the last step."""
    seconds: float | None
    """Trained, without what lies between two attempts."""


@dataclass(frozen=True)
class Setting:
    """A setting that is not the same everywhere. All text is safe to print."""

    name: str
    values: tuple[tuple[str, tuple[str, ...]], ...]
    """Each value with the ids of the runs that have it, in the order of the runs."""


@dataclass(frozen=True)
class SettingsCompared:
    """The settings of several runs."""

    differing: tuple[Setting, ...]
    alike: int
    unreadable: tuple[str, ...]
    """Ids of runs whose profile cannot be read; they are left out."""
    watched: tuple[str, ...] = ()
    """Ids of runs of other trainers, which have no profile."""


AVERAGED: Final = 100
"""Steps that the running average is taken over (docs/files.md)."""


def figures_of(history: RunHistory) -> Figures:
    """The figures of a run whose history has been read."""
    averages = history.loss_avg
    settled = _from_step(averages, min(AVERAGED, max(averages.steps, default=0)))
    rates = next(iter(history.lr.values()), None)
    return Figures(
        step=history.last.step if history.last else 0,
        loss=_last(averages),
        best_loss=settled,
        validation=_last(history.validation),
        best_validation=_from_step(history.validation, 0),
        lr=None if rates is None else _last(rates),
        seconds=history.seconds.values[-1] if len(history.seconds) else None,
    )


def best_text(best: Best | None) -> str:
    """``0.1034 @600``"""
    return UNKNOWN if best is None else f"{format_loss(best.value)} @{format_count(best.step)}"


def _last(curve: Curve) -> float | None:
    return next((value for value in reversed(curve.values) if not math.isnan(value)), None)


def _from_step(curve: Curve, first: int) -> Best | None:
    found = [
        (value, step)
        for step, value in zip(curve.steps, curve.values, strict=True)
        if step >= first and not math.isnan(value)
    ]
    return Best(*min(found)) if found else None


def compare_settings(runs: Sequence[RunSummary]) -> SettingsCompared:
    """What differs in the profiles that the newest attempts of ``runs`` train. Reads one small file per run."""
    settings: dict[str, dict[str, Any]] = {}
    unreadable: list[str] = []
    for run in runs:
        if run.watched is not None:
            continue
        try:
            profile = tomllib.loads(run.directory.latest_profile.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            unreadable.append(run.id)
        else:
            settings[run.id] = flat_settings(profile)
    names = [name for name in dict.fromkeys(name for one in settings.values() for name in one) if name not in NAMES]
    differing = [
        _setting(name, settings) for name in names if len({repr(one.get(name, _NONE)) for one in settings.values()}) > 1
    ]
    watched = tuple(run.id for run in runs if run.watched is not None)
    return SettingsCompared(tuple(differing), len(names) - len(differing), tuple(unreadable), watched)


def _setting(name: str, settings: dict[str, dict[str, Any]]) -> Setting:
    by_text: dict[str, list[str]] = {}
    for run_id, one in settings.items():
        by_text.setdefault(value_text(name, one.get(name)), []).append(run_id)
    return Setting(clean(name), tuple((text, tuple(ids)) for text, ids in by_text.items()))


def lowest(figures: Sequence[Figures], of: Callable[[Figures], float | None]) -> float | None:
    """The best of several runs in one respect; None where at most one has it."""
    values = [value for one in figures if (value := of(one)) is not None]
    return min(values) if len(values) > 1 else None
