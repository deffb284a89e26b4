"""The work table of an import: what the file says, the profile that grows from it, and a line for everything that was looked at.

The ``to_*`` modules translate what hangs together; here is what they share: reading a value, setting a field, saying what became
of a setting. What nobody has spoken of in the end is told by the options' declarations.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from engine.foreign.sd_scripts.given import Entry, Given, Level, Scope
from engine.foreign.sd_scripts.imported import Line
from engine.foreign.sd_scripts.option import Fate, Option
from engine.foreign.sd_scripts.other_options import OTHER_FAMILIES
from engine.foreign.sd_scripts.table import ARGUMENTS, OPTIONS, nearest
from engine.foreign.sd_scripts.values import as_flag, as_number, as_text, as_whole, is_nothing, shown
from engine.profile.fields import ProfileField, profile_field
from engine.profile.to_toml import toml_value

SECRET: Final = "•••"
MOST_MEANT: Final = 50
"""Unknown options for which a near one is looked for; a file of thousands is none of sd-scripts."""
_KEY: Final = re.compile(r"((?:api_key|token)['\"]?[=:\s]+)[^\s,]+", re.IGNORECASE)
T = TypeVar("T")
Becomes = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Told:
    """What was said of a setting, before the profile is settled."""

    label: str
    value: str
    fate: Fate
    becomes: Becomes = ()
    note: str = ""
    is_warning: bool = False

    def line(self) -> Line:
        """As a report has it."""
        becomes = tuple((path, _as_toml(path, value)) for path, value in self.becomes)
        return Line(self.label, self.value, self.fate, becomes, self.note, self.is_warning)


class Translation:
    """One import while it is made."""

    def __init__(self, given: Given) -> None:
        self.given = given
        self.values: dict[str, Any] = {}
        """The profile's values by path, but for the sources."""
        self.sources: list[dict[str, Any]] = []
        self.comments: dict[str, str] = {}
        """Words behind a value in the profile's text, by path."""
        self.missing: list[str] = []
        self.remarks: list[str] = []
        self.absent: dict[str, str] = {}
        """Paths that are not to be found here, with what is wrong with each."""
        self.images_per_epoch: int | None = None
        """Images seen per epoch, repeats counted; None where folders are not to be seen."""
        self.told: list[Told] = []
        self.arguments: Level = {}
        """What stands in network_args, by name."""
        self._unknown = 0
        self._spoken_of: set[int] = set()
        self._held: list[Entry] = []  # so that no other entry gets an id that was spoken of

    @property
    def takes_defaults(self) -> bool:
        """sd-scripts' defaults of the training hold where the file says nothing."""
        return self.given.scope is Scope.TRAINING

    def entry(self, name: str) -> Entry | None:
        """What the file says of ``name``; None where it says nothing."""
        found = self.given.options.get(name)
        return None if found is None or is_nothing(found.value) else found

    def first(self, *names: str) -> Entry | None:
        """The first of ``names`` that the file sets."""
        return next((entry for name in names if (entry := self.entry(name)) is not None), None)

    def has_any(self, *names: str) -> bool:
        """Whether the file sets one of ``names`` to something."""
        return any((entry := self.entry(name)) is not None and entry.value not in (0, "0") for name in names)

    def read(self, entry: Entry | None, reader: Callable[[Any], T], default: T) -> T:
        """The entry's value; the default where there is none, or (which is told) none that can be read."""
        if entry is None or is_nothing(entry.value):
            return default
        try:
            return reader(entry.value)
        except (ValueError, TypeError, OverflowError) as error:
            self.tell(entry, Fate.UNSUPPORTED, note=str(error) or "cannot be read", warning=True)
            return default

    def flag(self, name: str) -> bool:
        """Whether the file switches ``name`` on."""
        return self.read(self.entry(name), as_flag, False)

    def put(self, path: str, value: Any, *entries: Entry | None, note: str = "", warning: bool = False) -> None:
        """Set a field, and say so of the settings it comes from."""
        self.values[path] = value
        for entry in entries:
            if entry is not None:
                self.tell(entry, Fate.TRANSLATED, ((path, value),), note, warning)

    def put_default(self, path: str, value: Any, option: str, note: str = "", *, there: Any = None) -> None:
        """Set a field to what sd-scripts takes where the file does not set ``option``; nothing where that is ours, too."""
        if value != profile_field(path).default:
            self.values[path] = value
            said = shown(OPTIONS[option].default if there is None else there)
            self.told.append(Told(option, said, Fate.DEFAULT, ((path, value),), note))

    def tell(self, entry: Entry, fate: Fate, becomes: Becomes = (), note: str = "", warning: bool = False) -> None:
        """Say what became of a setting; the first word counts."""
        if id(entry) in self._spoken_of:
            return
        self._spoken_of.add(id(entry))
        self._held.append(entry)
        option = OPTIONS.get(entry.name)
        written = entry.value if entry.written is None else entry.written
        value = SECRET if option is not None and option.is_secret else _KEY.sub(rf"\1{SECRET}", shown(written))
        self.told.append(Told(entry.shown_name, value, fate, becomes, note, warning))

    def tell_default(self, option: str, there: str, becomes: Becomes, note: str = "") -> None:
        """Say that sd-scripts takes ``there`` for an option that the file does not set."""
        self.told.append(Told(option, there, Fate.DEFAULT, becomes, note))

    def pass_over(self, entry: Entry) -> None:
        """Say nothing of a setting that the import made itself."""
        self._spoken_of.add(id(entry))
        self._held.append(entry)

    def amend(self, entry: Entry | None, fate: Fate, note: str) -> None:
        """Say something else of a setting than was said before."""
        self.told = [
            with_fate(told, fate, note, is_warning=False) if entry and told.label == entry.shown_name else told
            for told in self.told
        ]

    def remark(self, sentence: str) -> None:
        """Take note of something a person must know about the whole."""
        if sentence not in self.remarks:
            self.remarks.append(sentence)

    def remark_path(self, path: str, what: str) -> None:
        """Take note of a path that is kept though it leads nowhere here."""
        self.absent.setdefault(path, what)

    def has_told(self, entry: Entry) -> bool:
        """Whether something was said of it."""
        return id(entry) in self._spoken_of

    def translate_direct(self) -> None:
        """Translate every option that is one field by itself, and those of the network's arguments."""
        for table, level in ((OPTIONS, self.given.options), (ARGUMENTS, self.arguments)):
            for option in table.values():
                if option.is_direct:
                    self._direct(option, level)

    def _direct(self, option: Option, level: Level) -> None:
        path = option.fields[0]
        found = level.get(option.name)
        field = profile_field(path)
        if found is None or self.has_told(found):
            if self.takes_defaults and found is None and option.default is not None and level is self.given.options:
                self.put_default(path, convert(option, field, option.default), option.name)
            return
        if is_nothing(found.value):
            return
        try:
            value = convert(option, field, found.value)
        except (ValueError, TypeError, OverflowError) as error:
            self.tell(found, Fate.UNSUPPORTED, note=str(error), warning=True)
            return
        note = option.why if value != field.default else ""
        self.put(path, value, found, note=note)

    def finish(self) -> None:
        """Say what became of everything that nobody has spoken of."""
        for entry, why in self.given.set_aside:
            self.tell(entry, Fate.MEANINGLESS, note=why)
        for entry in self.arguments.values():
            self._by_declaration(entry, ARGUMENTS)
        for entry in self.given.entries():
            self._by_declaration(entry, OPTIONS)

    def _by_declaration(self, entry: Entry, table: dict[str, Option]) -> None:
        option = table.get(entry.name)
        if option is None and entry.name.startswith(OTHER_FAMILIES):
            option = OPTIONS["flux1_checkbox"]
        if is_nothing(entry.value) and (option is not None or entry.value is not None):
            known = option is not None
            self.tell(
                entry,
                Fate.MEANINGLESS if known else Fate.UNKNOWN,
                note="not set" if known else "no option of sd-scripts",
            )
        elif option is None:
            self._unknown += 1
            near = nearest(entry.name, table) if self._unknown <= MOST_MEANT else None
            meant = f": did you mean {near}?" if near and near != entry.name else ""
            self.tell(entry, Fate.UNKNOWN, note=f"no option of sd-scripts that is known here{meant}", warning=True)
        elif option.fate is not Fate.MEANINGLESS and is_any_of(entry.value, option.asks_nothing):
            self.tell(entry, Fate.MEANINGLESS, note="asks for nothing")
        elif option.fate is Fate.TRANSLATED:
            self.tell(entry, Fate.MEANINGLESS, note=option.why or "changes nothing with the other settings")
        else:
            self.tell(entry, option.fate, note=option.why, warning=False)


def is_any_of(value: Any, values: tuple[Any, ...]) -> bool:
    """Whether ``value`` is one of ``values``; 1 and True are two."""
    if isinstance(value, str) and value.strip().lower() in ("false", "0", "0.0"):
        value = False
    return any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in values)


def convert(option: Option, field: ProfileField, value: Any) -> Any:
    """The field's value for an option's. Raises ``ValueError`` with the end of a sentence."""
    if option.words is not None:
        word = as_text(value).strip().lower()
        if word not in option.words:
            raise ValueError(f"is none of {', '.join(option.words)}")
        return option.words[word]
    match field.kind:
        case "bool":
            return as_flag(value)
        case "int":
            whole = as_whole(value)
            return None if field.is_optional and whole == 0 else whole
        case "float":
            number = as_number(value)
            return None if field.is_optional and number == 0 else number
        case _:
            return as_text(value)


def _as_toml(path: str, value: Any) -> str:
    return profile_field(path).absent or "off" if value is None else toml_value(value)


def with_fate(told: Told, fate: Fate, note: str, *, is_warning: bool = True) -> Told:
    """``told`` with another end."""
    return replace(told, fate=fate, becomes=(), note=note, is_warning=is_warning)
