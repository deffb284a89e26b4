"""What is typed to find checkpoints, as terms that each checkpoint fits or does not: ``fox lr<1e-4 -damaged``.

A word is looked for in the run's id, name and state and in what the checkpoint is (its step, schedule, phase, optimizer,
``pinned``, ``damaged``); a word with a dash before it must not be there. A condition compares one of ``FIELDS``. All terms
must hold. What a checkpoint does not say (no validation, not read yet) fits no condition. States and LoRA files of sd-scripts
are found the same way, by what is stored in them.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sdxl_tui.fleet.families import CheckpointEntry
from sdxl_tui.fleet.foreign_states import ForeignEntry, StateFolder
from sdxl_tui.fleet.runs import RunSummary
from sdxl_tui.fleet.stored_facts import StoredFacts

SIZES: Final = {"": 1.0, "b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12}
AGES: Final = {"": 1.0, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}
_CONDITION: Final = re.compile(r"([a-z_]+)(<=|>=|!=|<|>|=)(.*)")
_NUMBER: Final = re.compile(r"([-+]?[\d.,]+(?:e[-+]?\d+)?)([a-z%]*)")


@dataclass(frozen=True)
class Field:
    """A number that a condition may name. units: what one may write behind it, and what that multiplies it by."""

    read: Callable[[StoredFacts, float], float | None]
    """Of a checkpoint or state at a time (Unix seconds)."""
    units: dict[str, float]
    example: str


PLAIN: Final = {"": 1.0}
FIELDS: Final[dict[str, Field]] = {
    "step": Field(lambda found, now: found.step, PLAIN, "step>=500"),
    "loss": Field(lambda found, now: found.loss, PLAIN, "loss<0.11"),
    "val": Field(lambda found, now: found.held_out, PLAIN, "val<0.12"),
    "lr": Field(lambda found, now: found.lr, PLAIN, "lr<1e-4"),
    "base": Field(lambda found, now: found.base_lr, PLAIN, "base=1e-4"),
    "done": Field(lambda found, now: found.share_done, {"": 1.0, "%": 0.01}, "done>50%"),
    "epoch": Field(lambda found, now: found.epoch, PLAIN, "epoch>3"),
    "rank": Field(lambda found, now: found.rank, PLAIN, "rank=16"),
    "size": Field(lambda found, now: found.bytes, SIZES, "size>100MB"),
    "age": Field(lambda found, now: now - found.saved, AGES, "age<2d"),
}


@dataclass(frozen=True)
class Word:
    """A word that has to be there, or must not be."""

    text: str
    is_wanted: bool = True


@dataclass(frozen=True)
class Condition:
    """``field`` compared with ``value``, in the field's own unit."""

    field: str
    sign: str
    value: float

    def holds(self, facts: StoredFacts, now: float) -> bool:
        """Whether it does for this checkpoint or state. now: Unix seconds."""
        found = FIELDS[self.field].read(facts, now)
        if found is None:
            return False
        if self.sign in {"=", "!="}:  # as typed: 1e-4 is what 9.9999e-05 is shown as
            return (abs(found - self.value) <= 5e-4 * abs(self.value)) == (self.sign == "=")
        return COMPARE[self.sign](found, self.value)


@dataclass(frozen=True)
class Query:
    """All that was typed. Nothing typed fits everything."""

    words: tuple[Word, ...] = ()
    conditions: tuple[Condition, ...] = ()
    problem: str = ""
    """Why a term is left out, in a few words; empty while all are understood."""

    @property
    def is_empty(self) -> bool:
        """Everything fits."""
        return not (self.words or self.conditions)

    def fits_run(self, run: RunSummary) -> bool:
        """Whether the words alone are all in what a run is called; a condition is about checkpoints."""
        return not self.conditions and self._fits_words(_run_text(run))

    def fits(self, run: RunSummary, entry: CheckpointEntry, now: float) -> bool:
        """Whether a checkpoint of ``run`` fits. now: Unix seconds."""
        return self._fits(f"{_run_text(run)}\n{entry.words}", entry.facts, now)

    def fits_state(self, folder: StateFolder, entry: ForeignEntry, now: float) -> bool:
        """Whether a state or LoRA file of sd-scripts in ``folder`` fits, by what is stored in it."""
        return self._fits(f"{folder.title.lower()}\n{entry.words}", entry.facts, now)

    def _fits(self, text: str, facts: StoredFacts | None, now: float) -> bool:
        if self.words and not self._fits_words(text):
            return False
        return not self.conditions or (facts is not None and all(term.holds(facts, now) for term in self.conditions))

    def _fits_words(self, text: str) -> bool:
        return all((word.text in text) == word.is_wanted for word in self.words)


EVERYTHING: Final = Query()


def parse_query(words: tuple[str, ...]) -> Query:
    """The query in ``words``, lower case as the filter line hands them out."""
    wanted: list[Word] = []
    conditions: list[Condition] = []
    problem = ""
    for word in words:
        parts = _CONDITION.fullmatch(word)
        if parts is None:
            if word.strip("-"):
                wanted.append(Word(word.removeprefix("-"), not word.startswith("-")))
            continue
        found = _condition(*parts.groups())
        if isinstance(found, str):
            problem = problem or found
        else:
            conditions.append(found)
    return Query(tuple(wanted), tuple(conditions), problem)


def _condition(name: str, sign: str, value: str) -> Condition | str:
    """The condition, or what is wrong with it."""
    field = FIELDS.get(name)
    if field is None:
        return f"no field {name}: {' '.join(FIELDS)}"
    if not value:
        return f"such as {field.example}"
    parts = _NUMBER.fullmatch(value)
    factor = field.units.get(parts[2]) if parts else None
    try:
        number = float(parts[1].replace(",", "")) if parts else None
    except ValueError:
        number = None
    if number is None or factor is None:
        return f"{value} is not understood: such as {field.example}"
    return Condition(name, sign, number * factor)


def _run_text(run: RunSummary) -> str:
    return f"{run.id}\n{run.name}\n{run.state}".lower()
