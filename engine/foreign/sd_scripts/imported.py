"""The result of an import: a profile's text, and a line for everything that the file said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.foreign.sd_scripts.option import Fate


@dataclass(frozen=True)
class Line:
    """What became of one setting of the file."""

    option: str
    """As the file names it."""
    value: str
    """As the file writes it, shortened; dots for a key."""
    fate: Fate
    becomes: tuple[tuple[str, str], ...] = ()
    """(field of the profile, its value as TOML) for each field it decided; empty where the defaults say the same."""
    note: str = ""
    """Why, or what there is to know."""
    is_warning: bool = False
    """The meaning shifts, or something is to be done."""

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "option": self.option,
            "value": self.value,
            "fate": self.fate.value,
            "becomes": dict(self.becomes),
            "note": self.note,
            "warning": self.is_warning,
        }


@dataclass(frozen=True)
class Imported:
    """A profile made from foreign settings."""

    name: str
    """The profile's."""
    format: str
    """What was read, in words."""
    text: str
    """The profile as TOML: valid, and only what differs from the defaults."""
    tables: Mapping[str, Any]
    """The same as ``tomllib`` reads it."""
    lines: tuple[Line, ...]
    """One or more for every setting that was read, in the file's order; those of sd-scripts' defaults at the end."""
    missing: tuple[str, ...]
    """What the file does not say and a launch needs, as sentences."""
    remarks: tuple[str, ...] = ()
    """What there is to know about the file as a whole."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Everything that a person should read."""
        told = [f"{line.option}: {line.note}" for line in self.lines if line.is_warning]
        return (*self.remarks, *self.missing, *told)

    def of(self, fate: Fate) -> tuple[Line, ...]:
        """The lines of one fate."""
        return tuple(line for line in self.lines if line.fate is fate)

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "name": self.name,
            "format": self.format,
            "lines": [line.to_json() for line in self.lines],
            "missing": list(self.missing),
            "remarks": list(self.remarks),
            "warnings": list(self.warnings),
            "toml": self.text,
        }
