"""Where each key and value of a TOML text stands.

``tomllib`` judges the syntax and gives the values, but not their places; this scan adds the places, for messages that
name line and column and for the few edits tomlkit cannot make. It expects text that ``tomllib`` accepts.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

Path = tuple[str | int, ...]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)+")
_SPACE = re.compile(r"[ \t]*")
_BARE_VALUE = re.compile(r"[^,\]}#\r\n]*")
_STRINGS = (
    re.compile(r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*?"{3,5}', re.DOTALL),
    re.compile(r"'''.*?'{3,5}", re.DOTALL),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)


def moved(path: Path, places: Mapping[Path, Path]) -> Path:
    """``path``, or where ``places`` says that it, or the value around it, stands instead."""
    for length in range(len(path), 0, -1):
        if (place := places.get(path[:length])) is not None:
            return (*place, *path[length:])
    return path


@dataclass(frozen=True)
class Header:
    """A ``[table]`` or ``[[table]]`` line. start: offset of its first bracket; end: behind its last."""

    path: Path
    start: int
    end: int
    is_array: bool


@dataclass(frozen=True)
class Entry:
    """A ``key = value``, or an element of an array (then the key's offsets are those of the value)."""

    path: Path
    key_start: int
    start: int
    """Offset of the value's first character."""
    end: int
    """Offset behind the value's last character."""
    header: Header | None
    """The table line it stands below; None above the first one."""


@dataclass
class SourceMap:
    """The places in one text."""

    text: str
    entries: dict[Path, Entry] = field(default_factory=dict)
    headers: list[Header] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._starts = [0, *(match.end() for match in re.finditer("\n", self.text))]

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column, both from 1, of a character of the text."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def key_position(self, path: Path) -> tuple[int, int] | None:
        """Line and column of the key at ``path``, or of the nearest table or value around it; None for the whole file."""
        for length in range(len(path), 0, -1):
            part = path[:length]
            if entry := self.entries.get(part):
                return self.position(entry.key_start)
            for header in self.headers:
                if header.path[:length] == part:
                    return self.position(header.start)
        return None

    def line_end(self, offset: int) -> int:
        """Offset of the newline that ends the line ``offset`` is in (the text's length on the last line)."""
        end = self.text.find("\n", offset)
        return len(self.text) if end < 0 else end

    def line_start(self, offset: int) -> int:
        """Offset of the first character of the line ``offset`` is in."""
        return self.text.rfind("\n", 0, offset) + 1


def scan(text: str) -> SourceMap:
    """The places of everything in ``text``, which ``tomllib`` must accept. Raises ``RecursionError`` when nested too deeply."""
    return _Scanner(text).run()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.map = SourceMap(text)
        self.array_lengths: dict[Path, int] = {}
        self.header: Header | None = None

    def run(self) -> SourceMap:
        self.skip_blank()
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                self.table_line()
            else:
                self.assignment(self.header.path if self.header else ())
            self.skip_blank()
        return self.map

    def skip_blank(self) -> None:
        if match := _BLANK.match(self.text, self.at):
            self.at = match.end()

    def skip_space(self) -> None:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def table_line(self) -> None:
        start = self.at
        is_array = self.text.startswith("[[", start)
        self.at += 2 if is_array else 1
        *outer, last = self.key()
        path: Path = ()
        for key in outer:
            path = self.newest_element((*path, key))
        path = (*path, last)
        if is_array:
            self.array_lengths[path] = self.array_lengths.get(path, 0) + 1
            path = self.newest_element(path)
        self.at += 2 if is_array else 1
        self.header = Header(path, start, self.at, is_array)
        self.map.headers.append(self.header)

    def newest_element(self, path: Path) -> Path:
        """``path``, or, where it is an array of tables, its last table so far."""
        return (*path, self.array_lengths[path] - 1) if path in self.array_lengths else path

    def key(self) -> list[str]:
        parts = []
        while True:
            self.skip_space()
            if match := _BARE_KEY.match(self.text, self.at):
                parts.append(match.group())
                self.at = match.end()
            else:
                start = self.at
                self.string()
                parts.append(str(tomllib.loads(f"key = {self.text[start : self.at]}")["key"]))
            self.skip_space()
            if self.at >= len(self.text) or self.text[self.at] != ".":
                return parts
            self.at += 1

    def assignment(self, prefix: Path) -> None:
        key_start = self.at
        path: Path = (*prefix, *self.key())
        self.at += 1
        self.skip_space()
        self.value(path, key_start)

    def value(self, path: Path, key_start: int | None) -> None:
        start = self.at
        match self.text[start]:
            case '"' | "'":
                self.string()
            case "[":
                self.array(path)
            case "{":
                self.inline_table(path)
            case _:
                found = _BARE_VALUE.match(self.text, start)
                self.at = start + len(found.group().rstrip()) if found else start
        entry = Entry(path, start if key_start is None else key_start, start, self.at, self.header)
        self.map.entries[path] = entry

    def string(self) -> None:
        for pattern in _STRINGS:
            if match := pattern.match(self.text, self.at):
                self.at = match.end()
                return
        raise ValueError(f"no string at offset {self.at}: the text is not TOML")

    def array(self, path: Path) -> None:
        self.at += 1
        index = 0
        while True:
            self.skip_blank()
            if self.text[self.at] == "]":
                self.at += 1
                return
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self.value((*path, index), None)
            index += 1

    def inline_table(self, path: Path) -> None:
        self.at += 1
        while True:
            self.skip_blank()
            if self.text[self.at] == "}":
                self.at += 1
                return
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self.assignment(path)
