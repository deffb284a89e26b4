"""Whether the tables of a profile make one: all problems of types, ranges and rules at once, each with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from engine.profile.explain import explain
from engine.profile.fields import STAGES, find_field
from engine.profile.overrides import Overrides
from engine.profile.problems import Problem, show_value
from engine.profile.rules import RULES, Rule
from engine.profile.schema import Profile
from engine.profile.source_map import Path as KeyPath
from engine.profile.source_map import SourceMap


@dataclass(frozen=True)
class Finder:
    """Who set a value: the file with line and column, or an override."""

    shown: str
    places: SourceMap
    changes: Overrides
    moved: Mapping[KeyPath, KeyPath] = field(default_factory=dict)
    """From a place in the tables to the one it was written at, where these differ: a stage's fields."""

    def __call__(self, path: KeyPath) -> tuple[str, int | None, int | None]:
        path = self.written(path)
        if (override := self.changes.blame(path)) is not None:
            return override, None, None
        line, column = self.places.key_position(path) or (None, None)
        return self.shown, line, column

    def written(self, path: KeyPath) -> KeyPath:
        """Where a value, or the one around it, was written."""
        for length in range(len(path), 0, -1):
            if (place := self.moved.get(path[:length])) is not None:
                return (*place, *path[length:])
        return path

    def is_override(self, path: KeyPath) -> bool:
        """Whether an override set the value, not the file."""
        return self.changes.blame(self.written(path)) is not None

    def is_set(self, path: KeyPath) -> bool:
        """Whether the file or an override names this very value."""
        path = self.written(path)
        return path in self.places.entries or path in self.changes.origin

    def as_written(self, problem: Problem, path: KeyPath) -> Problem:
        """``problem`` with its value as the file writes it: ``1e400`` and not ``inf``."""
        entry = self.places.entries.get(self.written(path))
        if problem.value is None or problem.line is None or entry is None:
            return problem
        written = self.places.text[entry.start : entry.end]
        return replace(problem, value=written) if written.isprintable() and len(written) <= 60 else problem


def validate(data: Mapping[str, Any], place: Finder) -> tuple[Profile | None, list[Problem]]:
    """The profile that ``data`` is, or its problems. With stages the rules between fields are left to those."""
    try:
        return Profile.model_validate(data), []
    except ValidationError as error:
        details = [item for item in error.errors(include_url=False) if item["type"] != "value_error"]
    inside = {item["loc"][:length] for item in details for length in range(1, len(item["loc"]))}
    details = [item for item in details if item["loc"] not in inside]  # a list is not to blame for its elements
    blamed = {".".join(str(part) for part in item["loc"]) for item in details}
    problems = [place.as_written(explain(item, place), item["loc"]) for item in details]
    if not data.get(STAGES):
        values = _rule_values(data)
        problems += [problem for rule in RULES if (problem := _broken(rule, values, blamed, place)) is not None]
    return None, problems


def _rule_values(data: Mapping[str, Any]) -> dict[str, Any]:
    """The values rules look at, defaults filled in; a value whose section is no table is left out."""
    values: dict[str, Any] = {}
    for path in {path for rule in RULES for path in rule.fields}:
        section, _, name = path.rpartition(".")
        table = data.get(section, {})
        declared = find_field(path)
        if isinstance(table, dict) and declared is not None:
            values[path] = table.get(name, declared.default)
    return values


def _broken(rule: Rule, values: dict[str, Any], blamed: set[str], place: Finder) -> Problem | None:
    if blamed & set(rule.fields) or not set(rule.fields) <= set(values):
        return None
    broken = rule.check(values)
    if broken is None:
        return None
    first = rule.fields[0]
    set_by = next((path for path in rule.fields if place.is_set(tuple(path.split(".")))), first)
    return Problem(
        *place(tuple(set_by.split("."))), first, show_value(values[first]), broken.sentence, broken.suggestion
    )
