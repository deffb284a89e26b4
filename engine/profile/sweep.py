"""A sweep: one profile under every combination of a few values, each named by what differs from its siblings."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.profile.fields import TABLES, ended_name, find_field, nearest_field
from engine.profile.load import LoadedProfile, load_profile
from engine.profile.problems import Problem, ProfileError

MOST: Final = 64
"""Runs of one sweep: more is a mistake."""
FIELDS: Final = 2
"""Fields of one sweep: with more nobody can tell what did it."""


@dataclass(frozen=True)
class SweptField:
    """A field and the values it is to have, as they are written in an override."""

    path: str
    values: tuple[str, ...]

    @property
    def short(self) -> str:
        """``lr`` of ``optimizer.lr``."""
        return self.path.rpartition(".")[2]

    def word(self, value: str) -> str:
        """What a name says of a value: ``lr1e-4``."""
        return re.sub(r"[^A-Za-z0-9._-]+", "_", f"{self.short}{value}")


@dataclass(frozen=True)
class SweptProfile:
    """One of the profiles, with the value of each swept field."""

    loaded: LoadedProfile
    values: tuple[str, ...]


def read_swept_field(text: str) -> SweptField:
    """``optimizer.lr=1e-4,2e-4``. Raises ``ProfileError``."""
    path, equals, written = (part.strip() for part in text.partition("="))
    values = tuple(part.strip() for part in written.split(",") if part.strip())
    if not equals or not values:
        raise _problem(text, "", "is not written as section.field=value,value", "for instance optimizer.lr=1e-4,2e-4")
    field = find_field(path)
    if field is None or field.section in TABLES:
        nearest = nearest_field(path, path.rpartition(".")[0])
        raise _problem(text, path, "there is no such field", f"did you mean {nearest}?" if nearest else "")
    if field.kind in {"strings", "numbers", "tables"} or path in {"name", "schema"}:
        raise _problem(text, path, "cannot be swept: only fields with a single value can")
    if len(set(values)) < len(values):
        raise _problem(text, path, "has the same value twice", "give each value once")
    return SweptField(path, values)


def sweep_profile(path: Path, swept: Sequence[SweptField], overrides: Sequence[str] = ()) -> list[SweptProfile]:
    """The profile in ``path`` under every combination, in the order given, the last field's values fastest.

    overrides: hold for all of them. Raises ``ProfileError`` with the problems of all combinations, or where the sweep itself
    makes no sense: fewer than two runs, more than ``MOST``, more than ``FIELDS`` fields, one field twice.
    """
    count = 1
    for field in swept:
        count *= len(field.values)
    shown = ", ".join(field.path for field in swept)
    if len(swept) > FIELDS or len({field.path for field in swept}) < len(swept):
        raise _problem(shown, "", f"sweeps too much: one field or {FIELDS} different ones can be swept")
    if not 1 < count <= MOST:
        rule = "makes one run only" if count < 2 else f"would make {count} runs, and {MOST} are the most"
        raise _problem(shown, "", rule, "give several values" if count < 2 else "")
    name = load_profile(path, overrides).profile.name
    found: list[SweptProfile] = []
    problems: dict[str, Problem] = {}
    for values in itertools.product(*(field.values for field in swept)):
        words = [field.word(value) for field, value in zip(swept, values, strict=True) if len(field.values) > 1]
        own = [f"{field.path}={value}" for field, value in zip(swept, values, strict=True)]
        named = f"name={ended_name(name, ''.join(f'-{word}' for word in words))}"
        try:
            found.append(SweptProfile(load_profile(path, [*overrides, *own, named]), values))
        except ProfileError as error:
            problems.update((str(problem), problem) for problem in error.problems)
    if problems:
        raise ProfileError(list(problems.values()))
    return found


def _problem(text: str, field: str, rule: str, suggestion: str = "") -> ProfileError:
    return ProfileError([Problem(f"--sweep {text}", None, None, field, None, rule, suggestion)])
