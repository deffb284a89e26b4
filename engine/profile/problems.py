"""What is wrong with a profile, as data and as one clear line each. Finding the problems is left to the other modules."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, time
from typing import Any

from engine.errors import UserError

_SHOWN = 60


@dataclass(frozen=True)
class Problem:
    """One thing a person can mend in a profile. ``str()`` is one line: place, field, value, rule, suggestion."""

    file: str
    """The file as the user named it, ``--set optimizer.lr=fast`` for an override, ``profile`` for text without a file."""
    line: int | None
    """From 1; None where no line is to blame (the file itself, an override)."""
    column: int | None
    """From 1, in characters."""
    field: str
    """Path of the field or section, ``optimizer.lr``; empty where none is to blame."""
    value: str | None
    """The offending value as TOML, shortened; None where there is none to show."""
    rule: str
    """What is wrong, as a sentence without its subject."""
    suggestion: str = ""
    """What would mend it; may be empty."""
    excerpt: str = ""
    """For a syntax error: the line and, below it, a caret at the column."""

    @property
    def place(self) -> str:
        """``demo.toml:12:3``."""
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)

    @property
    def message(self) -> str:
        """Everything but the place."""
        subject = self.field if self.value is None else f"{self.field} = {self.value}".strip(" =")
        return f"{subject}: {self._sentence}" if subject else self._sentence

    @property
    def _sentence(self) -> str:
        return f"{self.rule}; {self.suggestion}" if self.suggestion else self.rule

    def __str__(self) -> str:
        """The whole problem in one line; an override that names field and value itself does not repeat them."""
        says_it = bool(self.field) and self.file.startswith(f"--set {self.field}=")
        return f"{self.place}: {self._sentence if says_it else self.message}"


class ProfileError(UserError):
    """A profile that cannot be used, with all its problems."""

    def __init__(self, problems: Sequence[Problem], *, hint: str | None = None) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted_problems(problems))
        first = self.problems[0]
        count = len(self.problems)
        what = first.message if count == 1 else f"{count} problems in the profile; the first: {first.message}"
        super().__init__(what, where=first.place, hint=hint)

    def __str__(self) -> str:
        """One line per problem, each with its place; a syntax error also shows the line with a caret."""
        lines = [f"{len(self.problems)} problems:"] if len(self.problems) > 1 else []
        for problem in self.problems:
            lines.append(str(problem))
            lines.extend(f"  {line}" for line in problem.excerpt.splitlines())
        if self.hint:
            lines.append(f"  {self.hint}")
        return "\n".join(lines)


class ProfileConflict(UserError):  # noqa: N818 - a conflict is what it is called everywhere
    """The profile's file changed on disk since it was opened."""


def sorted_problems(problems: Iterable[Problem]) -> list[Problem]:
    """By line and column, then those of the file as a whole, then those of overrides in the order they came.

    Those of several files stand together, the files in the order they came.
    """
    problems = list(problems)
    files = {file: number for number, file in enumerate(dict.fromkeys(problem.file for problem in problems))}

    def key(problem: Problem) -> tuple[bool, int, bool, int, int]:
        is_override = problem.file.startswith("--set")
        return is_override, files[problem.file], problem.line is None, problem.line or 0, problem.column or 0

    return sorted(problems, key=key)


def show_value(value: Any, *, limit: int = _SHOWN) -> str:
    """``value`` as TOML would write it, on one line, cut to ``limit`` characters."""
    match value:
        case bool():
            text = "true" if value else "false"
        case str():
            text = json.dumps(value, ensure_ascii=False)
        case int() | float():
            text = repr(value)
        case date() | time():
            text = value.isoformat()
        case list() | tuple():
            text = f"[{', '.join(show_value(item) for item in value[:8])}{', …' if len(value) > 8 else ''}]"
        case dict():
            text = "{…}" if value else "{}"
        case _:
            text = str(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "true or false"),  # before int: a bool is one
    (str, "text"),
    (int, "a whole number"),
    (float, "a number"),
    ((date, time), "a date or time"),
    ((list, tuple), "a list"),
    (dict, "a table"),
)


def what_it_is(value: Any) -> str:
    """The kind of ``value`` in plain words: ``text``, ``a whole number``, ``true or false``, ``a table`` …"""
    return next((words for kind, words in _KINDS if isinstance(value, kind)), "something else")
