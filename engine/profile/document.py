"""A profile's text as it is edited: setting a value changes that value and nothing else.

tomlkit makes the edits (``edit``); after each one the text is parsed again by ``tomllib`` and must hold precisely what was
meant, else nothing is changed. Whether values are valid is left to ``load.parse_profile``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.durable import write_atomically
from engine.profile.edit import EditError, edit, typed
from engine.profile.extends import Layer, Lineage, read_lineage
from engine.profile.fields import TABLES, profile_field
from engine.profile.problems import Problem, ProfileConflict, ProfileError
from engine.profile.schema import Section, plain
from engine.profile.syntax import decode, parse_toml, read_bytes

BOM = "\ufeff"


class ProfileDocument:
    """One profile open for editing. The text may be anything; ``get``, ``set`` and ``unset`` need it to be TOML."""

    def __init__(self, path: Path, text: str, *, on_disk: bytes | None) -> None:
        """Use ``open`` or ``new``. on_disk: the file's content when it was read; None if there was no file."""
        self.path = path
        self._text = text
        self._on_disk = on_disk
        self._bom = on_disk is not None and on_disk.startswith(BOM.encode())

    @classmethod
    def open(cls, path: Path) -> ProfileDocument:
        """The profile in ``path``. Raises ``ProfileError`` if the file cannot be read as text; its TOML may be wrong."""
        data = read_bytes(path)
        return cls(path, decode(data, str(path)), on_disk=data)

    @classmethod
    def new(cls, path: Path, text: str = "") -> ProfileDocument:
        """A profile that is not on disk yet; ``save`` refuses to replace a file that appears there meanwhile."""
        return cls(path, text, on_disk=None)

    @property
    def text(self) -> str:
        """The whole text as it would be saved (a byte order mark left out)."""
        return self._text

    @property
    def is_changed(self) -> bool:
        """The text differs from what was read or last saved."""
        return self._on_disk is None or self._encoded() != self._on_disk

    @property
    def saved_text(self) -> str:
        """The text as it was read or last saved; empty if there was no file."""
        return "" if self._on_disk is None else decode(self._on_disk, str(self.path))

    @property
    def changed_on_disk(self) -> bool:
        """The file's content differs from what was read or last saved: someone else wrote, created or deleted it."""
        return self._read_disk() != self._on_disk

    def disk_version(self) -> tuple[int, int, int] | None:
        """Something that changes whenever the file is written or replaced; cheap. None: there is no file."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def replace_text(self, text: str) -> None:
        """Take ``text`` as the new content, whatever it is."""
        self._text = text.removeprefix(BOM)

    def reload(self) -> None:
        """Take the file's content again; changes made here are lost. Raises ``ProfileError`` like ``open``."""
        fresh = ProfileDocument.open(self.path)
        self._text, self._on_disk, self._bom = fresh._text, fresh._on_disk, fresh._bom

    def get(self, field: str) -> Any:
        """The value the text itself sets for ``field`` (``optimizer.lr``), unchecked; None if it leaves the default.

        Raises ``KeyError`` for no field of the schema and ``ProfileError`` if the text is not TOML.
        """
        keys = _keys(field)
        value: Any = parse_toml(self._text, str(self.path))[0]
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def lineage(self) -> Lineage:
        """The text with everything that it extends. Raises ``ProfileError`` if it is not TOML."""
        data, places = parse_toml(self._text, str(self.path))
        return read_lineage(Layer(str(self.path), self.path.absolute().parent, self.path.absolute(), data, places))

    def set(self, field: str, value: Any) -> None:
        """Make the text set ``field`` to ``value``: in place if it is there, else below its section's other fields.

        Raises ``KeyError`` for no field of the schema, ``ProfileError`` if the text is not TOML or is laid out in a way
        that only its author can change (then nothing is changed).
        """
        self._edit(_keys(field), _tables(value))

    def unset(self, field: str) -> None:
        """Remove ``field`` from the text, so that its default holds. Nothing happens if it is not there."""
        keys = _keys(field)
        if self.get(field) is None:
            return
        self._edit(keys, None)

    def save(self, *, overwrite: bool = False) -> None:
        """Write the text to the file: atomically, through a symlink to its target, with the file's mode kept.

        Raises ``ProfileConflict`` if the file's content changed since it was read or last saved, unless ``overwrite``;
        ``ProfileError`` if it cannot be written.
        """
        if not overwrite and self.changed_on_disk:
            raise ProfileConflict(
                "the file was changed by another program since it was opened here",
                where=str(self.path),
                hint="Reload it, overwrite it, or save under another name.",
            )
        data = self._encoded()
        try:
            target = self.path.resolve()
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(target, data)
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ProfileError(
                [Problem(str(self.path), None, None, "", None, f"cannot be written ({reason})")]
            ) from None
        self._on_disk = data

    def _encoded(self) -> bytes:
        text = f"{BOM}{self._text}" if self._bom else self._text
        return text.encode("utf-8", "surrogatepass")

    def _read_disk(self) -> bytes | None:
        try:
            return self.path.read_bytes()
        except OSError:
            return None

    def _edit(self, keys: Sequence[str], value: Any) -> None:
        data, places = parse_toml(self._text, str(self.path))
        try:
            wanted = _with(data, keys, value)
            if typed(wanted) == typed(data):
                return
            text = edit(self._text, keys, value)
            if typed(tomllib.loads(text)) != typed(wanted):
                raise EditError("the edit would change more than was asked for")
        except (EditError, tomllib.TOMLDecodeError):
            line, column = places.key_position(tuple(keys)) or (None, None)
            rule = "is written in a way that cannot be changed from here"
            problem = Problem(str(self.path), line, column, ".".join(keys), None, rule, "edit the TOML text")
            raise ProfileError([problem]) from None
        self._text = text


def _keys(field: str) -> tuple[str, ...]:
    found = profile_field(field)
    if found.section in TABLES:
        raise KeyError(f"{field} belongs to one of several tables: set {found.section} as a whole")
    return tuple(field.split("."))


def _tables(value: Any) -> Any:
    """``value`` as ``tomllib`` would give it: enums as text, sources and stages as tables, tuples as lists."""
    value = plain(value)
    match value:
        case Section():
            return _tables(value.model_dump(exclude_defaults=True))
        case Mapping():
            return {str(key): _tables(item) for key, item in value.items()}
        case Sequence() if not isinstance(value, str):
            return [_tables(item) for item in value]
    return value


def _with(data: dict[str, Any], keys: Sequence[str], value: Any) -> dict[str, Any]:
    key, *rest = keys
    changed = dict(data)
    if rest:
        inner = data.get(key, {})
        if not isinstance(inner, dict):
            raise EditError("the section is not a table")
        changed[key] = _with(inner, rest, value)
    elif value is None:
        changed.pop(key, None)
    else:
        changed[key] = value
    return changed
