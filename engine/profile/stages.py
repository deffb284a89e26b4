"""The stages of a profile: what each of them trains, and how it goes on from the one before.

A stage is a run of its own. Its profile is the whole one with the stage's words laid over it, and has no stages; everything
that looks at a profile looks at these. Numbers are counted from 1. Whether the stages hold is asked in ``stage_check.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeGuard

from engine.errors import UserError
from engine.profile.fields import ended_name
from engine.profile.optimizer_rules import PART_RATES
from engine.profile.schema import Optimizer, Profile
from engine.profile.source_map import Path as KeyPath
from engine.routes.route import Route
from engine.schedule import SETTINGS, Kind, is_used

OWN_FIELDS: Final[dict[str, str]] = {
    "training.steps": "steps",
    "optimizer.lr": "lr",
    "schedule.kind": "schedule",
    "schedule.warmup_steps": "warmup_steps",
}
"""By field of the profile, what a stage calls it."""


class StageError(UserError):
    """A stage that the profile has not."""


def stage_profile(profile: Profile, number: int) -> Profile:
    """What stage ``number`` trains: ``profile`` with the stage's words laid over it, without stages.

    Its name ends in the stage's, ``character-rough``, unless the stage sets ``name``.
    Raises ``StageError`` if there is none of that number, ``ValueError`` if it makes no profile (never for one that was loaded).
    """
    _require(profile, number)
    trained = Profile.model_validate(overlaid(profile.model_dump(by_alias=True), number - 1).tables)
    if "name" in profile.stages[number - 1].set:
        return trained
    return trained.model_copy(update={"name": ended_name(profile.name, f"-{stage_name(profile, number)}")})


def stage_route(profile: Profile, number: int) -> Route:
    """How stage ``number``, from 2, goes on from the one before: ``continue`` or ``reschedule``. Raises ``StageError``."""
    _require(profile, number, first=2)
    return Route.RESCHEDULE if profile.stages[number - 1].keep == "state" else Route.CONTINUE


def stage_name(profile: Profile, number: int) -> str:
    """The name of stage ``number``: its own, else ``stage-2``. Raises ``StageError``."""
    _require(profile, number)
    return profile.stages[number - 1].name or default_name(number)


def default_name(number: int) -> str:
    """What a stage without a name is called."""
    return f"stage-{number}"


def trained_profiles(profile: Profile) -> tuple[Profile, ...]:
    """What is trained, one after another: ``profile`` itself, or the profile of each of its stages."""
    if not profile.stages:
        return (profile,)
    return tuple(stage_profile(profile, number) for number in range(1, len(profile.stages) + 1))


def overlays(profile: Profile) -> tuple[Overlaid, ...]:
    """Of each stage what it lays over the profile; none without stages."""
    tables = profile.model_dump(by_alias=True)
    return tuple(overlaid(tables, index) for index in range(len(profile.stages)))


def unused_fields(profile: Profile) -> tuple[str, ...]:
    """The fields of the profile itself that none of its stages takes from there, in the schema's order."""
    found = overlays(profile)
    return tuple(
        path
        for path in profile.values()
        if found
        and all(over.replaces(tuple(path.split("."))) for over in found)
        and not (path == "optimizer.lr" and any(over.scaled for over in found))
    )


def _require(profile: Profile, number: int, *, first: int = 1) -> None:
    count = len(profile.stages)
    if not count:
        raise StageError(f"there is no stage {number}: the profile has no stages")
    if not 1 <= number <= count:
        raise StageError(f"there is no stage {number}: the profile has {count}")
    if number < first:
        raise StageError(f"stage {number} comes from no other stage")


@dataclass(frozen=True)
class Overlaid:
    """A profile's tables with a stage laid over them."""

    tables: dict[str, Any]
    written: dict[KeyPath, KeyPath] = field(default_factory=dict)
    """From a value in the tables to where the stage says it: ``("training", "steps")`` to ``("stages", 0, "steps")``."""
    scaled: dict[KeyPath, KeyPath] = field(default_factory=dict)
    """From a part's own rate, which keeps its ratio, to the LR of the stage."""
    dropped: set[KeyPath] = field(default_factory=set)
    """What of the profile the stage does without."""

    def replaces(self, path: KeyPath) -> bool:
        """Whether the profile's own value of a field has no part in the stage."""
        return path in self.dropped or path in self.written


def overlaid(tables: Mapping[str, Any], index: int) -> Overlaid:
    """The tables of a profile, as read from TOML or dumped, with its stage ``index`` (from 0) laid over them.

    The stage's own fields must hold what their schema asks for; everything else may be anything, for it is judged later.
    """
    stage = tables["stages"][index]
    result = Overlaid(
        {
            name: dict(table) if isinstance(table, Mapping) else table
            for name, table in tables.items()
            if name != "stages"
        }
    )
    if index:  # the weights are the stage's before
        _drop(result, "network", "start_from")
    if stage.get("lr") is not None:
        _scale_part_rates(result, stage["lr"], ("stages", index, "lr"))
    if stage.get("schedule") is not None:
        kind = Kind(stage["schedule"])
        for name in SETTINGS:
            if not is_used(kind, name):
                _drop(result, "schedule", name)
    if index or stage.get("warmup_steps") is not None:
        _drop(result, "schedule", "warmup_steps")
        _drop(result, "schedule", "warmup_share")
    for path, name in OWN_FIELDS.items():
        if stage.get(name) is not None:
            _put(result, path, stage[name], ("stages", index, name))
    for path, value in (stage.get("set") or {}).items():
        _put(result, path, value, ("stages", index, "set", path))
        result.scaled.pop(tuple(path.split(".")), None)
    return result


def _drop(result: Overlaid, section: str, name: str) -> None:
    table = result.tables.get(section)
    if isinstance(table, dict):
        table.pop(name, None)
    result.dropped.add((section, name))


def _put(result: Overlaid, path: str, value: Any, place: KeyPath) -> None:
    section, _, name = path.rpartition(".")
    table = result.tables.setdefault(section, {}) if section else result.tables
    if isinstance(table, dict):
        table[name] = value
        result.written[(section, name) if section else (name,)] = place


def _scale_part_rates(result: Overlaid, lr: float, place: KeyPath) -> None:
    table = result.tables.get("optimizer", {})
    base: object = table.get("lr", Optimizer().lr) if isinstance(table, dict) else None
    if not _is_number(base) or base <= 0:
        return
    for path in PART_RATES:
        section, _, name = path.partition(".")
        if _is_number(rate := table.get(name)):
            table[name] = rate * (lr / base)
            result.scaled[(section, name)] = place


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
