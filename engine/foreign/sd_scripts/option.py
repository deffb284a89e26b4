"""What becomes of an option of sd-scripts: one declaration each, from which reports, translation and documentation are made.

An option that goes to one field in one way is declared whole (``to``). One that only means something together with others is
declared with its fields (``part``) and translated by a function in one of the ``to_*`` modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class Fate(StrEnum):
    """What became of an option."""

    TRANSLATED = "translated"
    DEFAULT = "default"
    """Not in the file: what sd-scripts takes then, where that is another value than ours."""
    MEANINGLESS = "meaningless"
    UNSUPPORTED = "unsupported"
    UNKNOWN = "unknown"


NOTHING: Final = (None, "", False, 0, 0.0, "None", "none", "0", "no", "[]", ())
"""Values with which an option asks for nothing."""


@dataclass(frozen=True)
class Option:
    """One option of sd-scripts."""

    name: str
    fate: Fate
    """TRANSLATED, MEANINGLESS or UNSUPPORTED: what becomes of it where its value asks for something."""
    fields: tuple[str, ...] = ()
    """The profile's fields that it decides, alone or with others."""
    why: str = ""
    """Why it is meaningless or unsupported; of a translated one, what there is to say about it."""
    default: Any = None
    """What sd-scripts takes where it is not set; None: nothing."""
    is_direct: bool = False
    """Its value alone is the one field's, but for ``words``."""
    words: Mapping[str, Any] | None = None
    """The field's value by the option's, where they are written otherwise."""
    asks_nothing: tuple[Any, ...] = NOTHING
    """Values with which an unsupported option changes nothing."""
    is_secret: bool = False
    """Its value is shown and kept nowhere."""


def to(name: str, field: str, default: Any = None, *, words: Mapping[str, Any] | None = None, why: str = "") -> Option:
    """An option that is one field."""
    return Option(name, Fate.TRANSLATED, (field,), why, default, is_direct=True, words=words)


def part(name: str, *fields: str, why: str = "", default: Any = None) -> Option:
    """An option that is translated together with others."""
    return Option(name, Fate.TRANSLATED, fields, why, default)


def meaningless(why: str, *names: str) -> tuple[Option, ...]:
    """Options that change nothing here, for one reason."""
    return tuple(Option(name, Fate.MEANINGLESS, why=why) for name in names)


def unsupported(why: str, *names: str, asks_nothing: tuple[Any, ...] = ()) -> tuple[Option, ...]:
    """Options that ask for what there is not here, for one reason; ``asks_nothing``: further values that change nothing."""
    return tuple(Option(name, Fate.UNSUPPORTED, why=why, asks_nothing=NOTHING + asks_nothing) for name in names)


def secret(why: str, *names: str) -> tuple[Option, ...]:
    """Options whose values belong into no file."""
    return tuple(Option(name, Fate.MEANINGLESS, why=why, is_secret=True) for name in names)
