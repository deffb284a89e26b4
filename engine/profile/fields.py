"""The profile's fields as data, read from the declaration in ``schema.py``.

The editor's form, the command line, error messages and the reference documentation all ask here, so that none of them
repeats a type, a range or a help text. Also finds the field that a wrong name most likely meant.
"""

from __future__ import annotations

import difflib
import types
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from engine.profile.schema import Profile, Section, Source, Stage
from engine.profile.setting import AtResume, Setting

FieldKind = Literal["int", "float", "bool", "str", "choice", "strings", "numbers", "tables", "settings"]

SOURCES: Final = "dataset.sources"
STAGES: Final = "stages"
EXTENDS: Final = "extends"
WITHOUT: Final = "without"
OF_A_FILE: Final = (EXTENDS, WITHOUT)
"""Fields that say where a file takes values from; a profile that was read has them no more."""
TABLES: Final[dict[str, type[Section]]] = {SOURCES: Source, STAGES: Stage}
"""Fields that are arrays of tables, ``[[dataset.sources]]``, with what one table is."""

_SECTION_ALIASES: Final = {
    "adapter": "network",
    "base": "model",
    "base_model": "model",
    "checkpoint": "checkpoints",
    "data": "dataset",
    "datasets": "dataset",
    "device": "launch",
    "dtype": "precision",
    "general": "training",
    "lora": "network",
    "noise": "loss",
    "objective": "loss",
    "log": "logging",
    "tracking": "logging",
    "wandb": "logging",
    "lr_scheduler": "schedule",
    "optim": "optimizer",
    "sample": "samples",
    "sampling": "samples",
    "save": "checkpoints",
    "saving": "checkpoints",
    "scheduler": "schedule",
    "train": "training",
    "val": "validation",
}


@dataclass(frozen=True)
class ProfileField:
    """One field: where it stands, what it may be, and what is said about it."""

    path: str
    """``optimizer.lr``; a top-level field has no dot; the field of a table is ``dataset.sources.path``."""
    section: str
    """``optimizer``; empty for a top-level field."""
    name: str
    kind: FieldKind
    help: str
    at_resume: AtResume
    default: Any = None
    """Plain value (enums as text, lists as tuples); None where the field is required or optional."""
    required: bool = False
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    minimum_exclusive: bool = False
    maximum: float | None = None
    maximum_exclusive: bool = False
    multiple_of: int | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    detail: str = ""
    unit: str = ""
    aliases: tuple[str, ...] = ()
    absent: str = ""
    """What holds where an optional field is not set; empty for every other field."""
    leads_to: tuple[str, ...] = ()
    """Of a path what lies there: endings of files, ``/`` for a folder; empty for what is no path."""

    @property
    def is_optional(self) -> bool:
        """The field may be left out and then has no value of its own."""
        return bool(self.absent)

    @property
    def requirement(self) -> str:
        """What a value must be, as words after "must be": ``a whole number from 1 to 1,024``."""
        match self.kind:
            case "int" | "float":
                noun = "a whole number" if self.kind == "int" else "a number"
                multiple = f" that is a multiple of {self.multiple_of}" if self.multiple_of else ""
                return f"{noun}{self._range()}{multiple}"
            case "bool":
                return "true or false"
            case "choice":
                return self.choices[0] if len(self.choices) == 1 else f"one of {', '.join(self.choices)}"
            case "strings" | "numbers":
                return "a list of texts" if self.kind == "strings" else f"a list of numbers{self._range()}"
            case "tables" | "settings" | "str":
                return _WORDS.get(self.path, "text that is not empty" if self.required else "text")

    def _range(self) -> str:
        low, high = self.minimum, self.maximum
        if low is not None and high is not None and not self.minimum_exclusive and not self.maximum_exclusive:
            return f" from {_number(low)} to {_number(high)}"
        parts = []
        if low is not None:
            parts.append(f"{'above' if self.minimum_exclusive else 'at least'} {_number(low)}")
        if high is not None:
            parts.append(f"{'below' if self.maximum_exclusive else 'at most'} {_number(high)}")
        return f" {' and '.join(parts)}" if parts else ""


_NAME_WORDS: Final = "letters, digits, dots, dashes or underscores, the first one a letter or a digit"
_WORDS: Final = {
    SOURCES: "one or more [[dataset.sources]] tables, each with a path",
    STAGES: "[[stages]] tables, each with its steps, at most 100",
    f"{STAGES}.set": 'a table of fields by their full names, "schedule.min_factor" = 0.1',
    "name": f"1 to 64 {_NAME_WORDS}",
    f"{STAGES}.name": f"1 to 32 {_NAME_WORDS}",
    "launch.device": "auto, cpu, cuda or cuda:N",
}


@dataclass(frozen=True)
class ProfileSection:
    """A table of the profile with its fields, in the order of the schema. The top level has an empty name."""

    name: str
    help: str
    fields: tuple[ProfileField, ...]


@cache
def profile_sections() -> tuple[ProfileSection, ...]:
    """All sections in the schema's order, the top level first."""
    top: list[ProfileField] = []
    sections: list[ProfileSection] = []
    for name, info in Profile.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            section = info.annotation
            fields = tuple(_read(name, field, described) for field, described in section.model_fields.items())
            sections.append(ProfileSection(name, (section.__doc__ or "").strip(), fields))
        else:
            top.append(_read("", info.alias or name, info))
    return (ProfileSection("", "Version, name, what is extended, and stages.", tuple(top)), *sections)


@cache
def profile_fields() -> tuple[ProfileField, ...]:
    """All fields in the schema's order. ``dataset.sources`` is one field; ``table_fields`` are those of its tables."""
    return tuple(field for section in profile_sections() for field in section.fields)


@cache
def table_fields(array: str) -> tuple[ProfileField, ...]:
    """The fields of one table of ``array``, a key of ``TABLES``."""
    return tuple(_read(array, name, info) for name, info in TABLES[array].model_fields.items())


@cache
def _fields_of_tables() -> tuple[ProfileField, ...]:
    return tuple(field for array in TABLES for field in table_fields(array))


@cache
def _by_path() -> dict[str, ProfileField]:
    return {field.path: field for field in (*profile_fields(), *_fields_of_tables())}


def array_at(path: tuple[str | int, ...]) -> str:
    """The array of tables that a place in the profile lies in, ``dataset.sources``; empty if in none."""
    return next((array for array in TABLES if path[: array.count(".") + 1] == tuple(array.split("."))), "")


def profile_field(path: str) -> ProfileField:
    """The field at ``path``. Raises ``KeyError`` if there is none."""
    return _by_path()[path]


def ended_name(name: str, ending: str) -> str:
    """``name`` with ``ending``, cut before it where it would be too long for a run."""
    longest = profile_field("name").max_length or len(name) + len(ending)
    return f"{name[: longest - len(ending)]}{ending}"


def find_field(path: str) -> ProfileField | None:
    """The field at ``path``, or None if there is none."""
    return _by_path().get(path)


def section_names() -> tuple[str, ...]:
    """The names of the tables, in the schema's order."""
    return tuple(section.name for section in profile_sections() if section.name)


def nearest_section(name: str) -> str | None:
    """The section that ``name`` most likely meant, or None."""
    wanted = _normal(name)
    if wanted in _SECTION_ALIASES:
        return _SECTION_ALIASES[wanted]
    close = difflib.get_close_matches(wanted, section_names(), n=1, cutoff=0.6)
    return close[0] if close else None


def nearest_field(name: str, section: str = "") -> str | None:
    """The path of the field that ``name``, written in ``section``, most likely meant; None if nothing is near.

    Tried in this order, the same section first each time: what other trainers call it, the same name in another
    section, a similar spelling, and a name that contains it. A stage's field is only meant in a stage: its names are those
    of other fields.
    """
    wanted = _normal(name.rpartition(".")[2])
    fields = (*profile_fields(), *_fields_of_tables())
    candidates = [field for field in fields if field.section != STAGES or section == STAGES]
    here = [field for field in candidates if field.section == section]
    elsewhere = [field for field in candidates if field.section != section]
    for group in (here, elsewhere):
        for field in group:
            if wanted in field.aliases or wanted == field.name:
                return field.path
    for group in (here, elsewhere):
        if found := _similar(wanted, group):
            return found
    return _containing(wanted, here) or _containing(wanted, elsewhere)


def _similar(wanted: str, fields: list[ProfileField]) -> str | None:
    names: dict[str, str] = {}
    for field in fields:
        for spelling in (field.name, *field.aliases):
            names.setdefault(spelling, field.path)
    close = difflib.get_close_matches(wanted, names, n=1, cutoff=0.75)
    return names[close[0]] if close else None


def _containing(wanted: str, fields: list[ProfileField]) -> str | None:
    if len(wanted) < 3:
        return None
    for field in fields:
        if wanted in field.name or (len(field.name) >= 4 and field.name in wanted):
            return field.path
    for field in fields:
        if any(wanted in alias for alias in field.aliases):
            return field.path
    return None


def _normal(name: str) -> str:
    return name.strip().lower().replace("-", "_")


_CONSTRAINTS: Final[dict[str, tuple[str, dict[str, bool]]]] = {
    "ge": ("minimum", {}),
    "gt": ("minimum", {"minimum_exclusive": True}),
    "le": ("maximum", {}),
    "lt": ("maximum", {"maximum_exclusive": True}),
    "multiple_of": ("multiple_of", {}),
    "min_length": ("min_length", {}),
    "max_length": ("max_length", {}),
    "pattern": ("pattern", {}),
}


def _read(section: str, name: str, info: FieldInfo) -> ProfileField:
    setting = next(item for item in info.metadata if isinstance(item, Setting))
    kind, choices = _kind(_without_none(info.annotation))
    limits: dict[str, Any] = {}
    for constraint in info.metadata:
        for attribute, (name_here, extra) in _CONSTRAINTS.items():
            if (limit := getattr(constraint, attribute, None)) is not None:
                limits |= {name_here: limit, **extra}
    required = info.is_required()
    default = None if required else info.get_default()
    return ProfileField(
        path=f"{section}.{name}" if section else name,
        section=section,
        name=name,
        kind=kind,
        help=setting.help,
        at_resume=setting.at_resume,
        default=default.value if isinstance(default, StrEnum) else default,
        required=required,
        choices=choices,
        detail=setting.detail,
        unit=setting.unit,
        aliases=setting.aliases,
        absent=setting.absent,
        leads_to=setting.leads_to,
        **limits,
    )


def _without_none(annotation: Any) -> Any:
    """``float`` for ``float | None``: a field that may be left out."""
    if get_origin(annotation) in (types.UnionType, Union) and types.NoneType in get_args(annotation):
        kinds = [kind for kind in get_args(annotation) if kind is not types.NoneType]
        return kinds[0] if len(kinds) == 1 else annotation
    return annotation


def _kind(annotation: Any) -> tuple[FieldKind, tuple[str, ...]]:
    if get_origin(annotation) is Literal:
        return "choice", tuple(str(choice) for choice in get_args(annotation))
    if get_origin(annotation) is tuple:
        kinds_of_lists: dict[Any, FieldKind] = {str: "strings", float: "numbers"}
        return kinds_of_lists.get(get_args(annotation)[0], "tables"), ()
    if get_origin(annotation) is dict:
        return "settings", ()
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return "choice", tuple(member.value for member in annotation)
    kinds: dict[Any, FieldKind] = {bool: "bool", int: "int", float: "float", str: "str"}
    if isinstance(annotation, types.UnionType) or annotation not in kinds:
        raise TypeError(f"the profile schema uses a type that fields.py does not know: {annotation!r}")
    return kinds[annotation], ()


def _number(value: float) -> str:
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
