"""The user's own settings, for every workspace: ``$XDG_CONFIG_HOME/sdxl-tui/config.toml``, by default under ``~/.config``.

There need be no such file. What is wrong in it is told with file and line; nothing is half used. What the settings mean is left
to whoever uses them: notifications, theme and keys. Light enough for the first frame.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from engine.errors import UserError
from engine.user_path import user_path
from sdxl_tui.terminal.attention import Signal

MOST_BYTES: Final = 1_000_000


class ConfigError(UserError):
    """A configuration that cannot be used, with all its problems."""


class Event(StrEnum):
    """What one may want to be told of."""

    FINISHED = "finished"
    FAILED = "failed"
    """Also killed or lost: it ended, and nobody wanted that."""
    NAN = "nan"
    FIRST_SAMPLE = "first-sample"


class ThemeName(StrEnum):
    """The themes."""

    DARK = "dark"
    LIGHT = "light"
    CONTRAST = "contrast"


@dataclass(frozen=True)
class Notify:
    """``[notify]``, or ``notify = "COMMAND"``."""

    command: str = ""
    """For ``sh -c``, with what happened in its environment; run by whoever sees it, whether an app is open or not."""
    terminal: Signal = Signal.BELL
    on: frozenset[Event] = frozenset(Event)


@dataclass(frozen=True)
class Config:
    """All settings, at their defaults where the file says nothing."""

    notify: Notify = field(default_factory=Notify)
    theme: ThemeName = ThemeName.DARK
    keys: Mapping[str, str] = field(default_factory=dict)
    """By the name of a binding, ``runs.stop``, the keys that it has instead, separated by commas."""


def config_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the file lies, whether or not it is there. A relative ``XDG_CONFIG_HOME`` counts as none, as its standard says."""
    base = environment.get("XDG_CONFIG_HOME", "")
    folder = Path(base) if base.startswith("/") else user_path("~/.config")
    return folder / "sdxl-tui" / "config.toml"


def read_config(path: Path | None = None) -> Config:
    """The settings of the user, or of the file ``path``. Raises ``ConfigError`` with every problem of the file."""
    try:
        path = config_path() if path is None else path
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError, RuntimeError):  # no home folder: no settings either
        return Config()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from error
    if len(data) > MOST_BYTES:
        raise ConfigError("is larger than 1 MB", where=str(path), hint="A configuration is a short text.")
    return parse_config(data, str(path))


def parse_config(data: bytes, shown: str) -> Config:
    """The settings in a file's content. shown: the file, for messages. Raises ``ConfigError``."""
    import tomllib  # noqa: PLC0415 - only where there is a file

    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
        tables = tomllib.loads(text)
    except (ValueError, RecursionError):
        raise ConfigError(_syntax(data, shown)) from None
    reader = _Reader()
    config = reader.config(tables)
    if reader.problems:
        raise ConfigError("\n".join(f"{shown}:{_line(text, where)}{said}" for where, said in reader.problems))
    return config


T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


class _Reader:
    """Turns tables into settings and notes what is wrong: (path of the key, what to say)."""

    def __init__(self) -> None:
        self.problems: list[tuple[tuple[str, ...], str]] = []

    def config(self, tables: Mapping[str, Any]) -> Config:
        self._only(tables, ("notify", "theme", "keys"), ())
        theme = self._choice(tables, ("theme",), ThemeName, ThemeName.DARK)
        return Config(self._notify(tables.get("notify", {})), theme, self._keys(tables.get("keys", {})))

    def _notify(self, found: object) -> Notify:
        if isinstance(found, str):
            return Notify(command=found)
        if not isinstance(found, Mapping):
            self._note(("notify",), 'must be a command, notify = "…", or a table [notify]')
            return Notify()
        self._only(found, ("command", "terminal", "on"), ("notify",))
        command = found.get("command", "")
        if not isinstance(command, str):
            self._note(("notify", "command"), "must be a text in quotes, a command for the shell")
            command = ""
        terminal = self._choice(found, ("notify", "terminal"), Signal, Signal.BELL)
        return Notify(command, terminal, self._events(found.get("on")))

    def _events(self, found: object) -> frozenset[Event]:
        if found is None:
            return frozenset(Event)
        if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
            self._note(("notify", "on"), f"must be a list of {_listed(Event)}")
            return frozenset()
        for word in found:
            if word not in set(Event):
                self._note(("notify", "on"), f"{word!r} is none of {_listed(Event)}{_nearest(word, Event)}")
        return frozenset(Event(word) for word in found if word in set(Event))

    def _keys(self, found: object) -> dict[str, str]:
        if not isinstance(found, Mapping):
            self._note(("keys",), 'must be a table: [keys], then lines like "runs.stop" = "S"')
            return {}
        keys: dict[str, str] = {}
        for name, value in _flat(found):
            if isinstance(value, str) and value.strip():
                keys[name] = value
            else:
                self._note(("keys", *name.split(".")), 'must be one or several keys in quotes, such as "S" or "S,f9"')
        return keys

    def _choice(self, table: Mapping[str, Any], path: tuple[str, ...], choices: type[E], default: E) -> E:
        found = table.get(path[-1], default.value)
        if isinstance(found, str) and found in set(choices):
            return choices(found)
        nearest = _nearest(found, choices) if isinstance(found, str) else ""
        self._note(path, f"{found!r} is none of {_listed(choices)}{nearest}")
        return default

    def _only(self, table: Mapping[str, Any], known: tuple[str, ...], path: tuple[str, ...]) -> None:
        for name in table:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"; did you mean {'.'.join((*path, near[0]))}?" if near else f"; there are {', '.join(known)}"
                self._note((*path, name), f"there is no such setting{hint}")

    def _note(self, path: tuple[str, ...], said: str) -> None:
        self.problems.append((path, f"{'.'.join(path)}: {said}"))


def _flat(table: Mapping[str, Any], before: str = "") -> list[tuple[str, object]]:
    """``[keys.runs] stop`` and ``"runs.stop"`` are the same."""
    found: list[tuple[str, object]] = []
    for name, value in table.items():
        here = f"{before}{name}"
        found += _flat(value, f"{here}.") if isinstance(value, Mapping) else [(here, value)]
    return found


def _listed(choices: type[StrEnum]) -> str:
    return ", ".join(choice.value for choice in choices)


def _nearest(word: str, choices: type[StrEnum]) -> str:
    near = difflib.get_close_matches(word, [choice.value for choice in choices], 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _syntax(data: bytes, shown: str) -> str:
    """What the profile's reader of TOML says of it: place, plain words, the line with a caret."""
    from engine.profile.syntax import decode, parse_toml  # noqa: PLC0415 - pydantic, only for a broken file

    try:
        parse_toml(decode(data, shown), shown)
    except UserError as error:
        return str(error)
    return f"{shown}: is not TOML"


def _line(text: str, path: tuple[str, ...]) -> str:
    """``12: ``, the line that a key stands in, and a blank where it is not found."""
    from engine.profile.source_map import scan  # noqa: PLC0415 - only for a message

    found = scan(text).key_position(path)
    return f"{found[0]}: " if found else " "
