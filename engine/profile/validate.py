"""Whether the tables of a profile make one: all problems of types, ranges and rules at once, each with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine.profile.explain import explain
from engine.profile.extends import Lineage
from engine.profile.fields import STAGES, find_field
from engine.profile.overrides import Overrides
from engine.profile.problems import Problem, show_value
from engine.profile.rules import RULES, Rule
from engine.profile.schema import Profile
from engine.profile.source_map import Path as KeyPath
from engine.profile.source_map import moved


@dataclass(frozen=True)
class Finder:
    """Who set a value: one of the files with line and column, or an override."""

    lineage: Lineage
    changes: Overrides
    moved: Mapping[KeyPath, KeyPath] = field(default_factory=dict)
    """From a place in the tables to the one it was written at, where these differ: a stage's fields."""
    derived: Mapping[KeyPath, KeyPath] = field(default_factory=dict)
    """From a value that nobody wrote to the place of the one that it follows from."""

    def __call__(self, path: KeyPath) -> tuple[str, int | None, int | None]:
        path = self.derived.get(path) or self.written(path)
        if (override := self.changes.blame(path)) is not None:
            return override, None, None
        layer = self.lineage.layer_of(path)
        line, column = layer.places.key_position(path) or (None, None)
        return layer.shown, line, column

    def written(self, path: KeyPath) -> KeyPath:
        """Where a value, or the one around it, was written."""
        return moved(path, self.moved)

    def folder(self, path: KeyPath) -> Path:
        """Where the relative path that was written at ``path`` is taken from: its file's folder; for an override, here."""
        path = self.written(path)
        return Path.cwd() if self.changes.blame(path) is not None else self.lineage.layer_of(path).folder

    def is_set(self, path: KeyPath) -> bool:
        """Whether a file or an override names this very value."""
        path = self.written(path)
        return path in self.lineage.layer_of(path).places.entries or path in self.changes.origin

    def is_own(self, path: KeyPath) -> bool:
        """Whether the profile's own file or an override names it, not one that is extended."""
        return self.is_set(path) and not self.distance(path)

    def distance(self, path: KeyPath) -> int:
        """How many files away a value was written; 0 for the profile's own and for an override's."""
        path = self.written(path)
        return 0 if self.changes.blame(path) is not None else self.lineage.distance(path)

    def as_written(self, problem: Problem, path: KeyPath) -> Problem:
        """``problem`` with its value as the file writes it: ``1e400`` and not ``inf``."""
        path, derived = self.written(path), path in self.derived
        places = self.lineage.layer_of(path).places
        entry = None if derived else places.entries.get(path)
        if problem.value is None or problem.line is None or entry is None:
            return problem
        written = places.text[entry.start : entry.end]
        return replace(problem, value=written) if written.isprintable() and len(written) <= 60 else problem


def validate(data: Mapping[str, Any], place: Finder, *, is_whole: bool = True) -> tuple[Profile | None, list[Problem]]:
    """The profile that ``data`` is, or its problems. With stages the rules between fields are left to those.

    is_whole: False where a parent could not be read; then neither what is missing nor how values fit together is judged.
    """
    try:
        return Profile.model_validate(data), []
    except ValidationError as error:
        details = [item for item in error.errors(include_url=False) if item["type"] != "value_error"]
    if not is_whole:
        details = [item for item in details if item["type"] != "missing"]
    inside = {item["loc"][:length] for item in details for length in range(1, len(item["loc"]))}
    details = [item for item in details if item["loc"] not in inside]  # a list is not to blame for its elements
    blamed = {".".join(str(part) for part in item["loc"]) for item in details}
    problems = [place.as_written(explain(item, place), item["loc"]) for item in details]
    if is_whole and not data.get(STAGES):
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
    named = [path for path in rule.fields if place.is_set(tuple(path.split(".")))]
    set_by = min(named, key=lambda path: place.distance(tuple(path.split("."))), default=first)
    sentence, mend = broken.sentence, broken.suggestion
    if set_by != first and place.distance(at := tuple(first.split("."))):
        file, line, _ = place(at)
        sentence = f"{sentence} (it is inherited from {file}:{line})"
        mend = f"{mend}; without = [{show_value(first)}] goes back to its default"
    return Problem(*place(tuple(set_by.split("."))), first, show_value(values[first]), sentence, mend)
