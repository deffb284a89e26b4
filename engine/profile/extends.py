"""``extends``: the files whose values a profile takes over, and the tables that they make together.

A profile is laid over the one it extends, and that one over its own parent: sections field by field, everything else, lists
too, as a whole. What comes out is judged like any profile; every value remembers the file that wrote it.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from engine.profile.fields import EXTENDS, WITHOUT, find_field, nearest_field, section_names
from engine.profile.problems import Problem, ProfileError, show_value
from engine.profile.shipped import shipped_profiles
from engine.profile.source_map import Path as KeyPath
from engine.profile.source_map import SourceMap
from engine.profile.syntax import parse_toml, read_text

MAX_PARENTS: Final = 8


@dataclass(frozen=True)
class Layer:
    """One file of a lineage."""

    shown: str
    """As messages name it."""
    folder: Path
    """Absolute; its relative paths are taken from here."""
    path: Path | None
    """Absolute; None for text without a file."""
    tables: Mapping[str, Any] = field(repr=False)
    places: SourceMap = field(repr=False)

    def problem(self, path: KeyPath, value: Any, rule: str, suggestion: str = "") -> Problem:
        """A problem with what this file says at ``path``."""
        line, column = self.places.key_position(path) or (None, None)
        return Problem(self.shown, line, column, str(path[0]), show_value(value), rule, suggestion)


@dataclass(frozen=True)
class Lineage:
    """A profile with everything that it extends."""

    layers: tuple[Layer, ...]
    """The profile itself first, then its parent, and so on."""
    tables: dict[str, Any]
    """Theirs together, without ``extends`` and ``without``; the caller may change them."""
    problems: tuple[Problem, ...] = ()
    """Why it is not whole: a parent that is missing, unreadable or the profile itself."""
    looked_at: tuple[Path, ...] = ()
    """Every file that it depends on, those that are not there too."""
    _origin: Mapping[KeyPath, int] = field(default_factory=dict, repr=False)
    _inherited: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The parents' tables together."""
    _inherited_origin: Mapping[KeyPath, int] = field(default_factory=dict, repr=False)

    @property
    def parents(self) -> tuple[Path, ...]:
        """The files that are extended, the nearest first."""
        return tuple(layer.path for layer in self.layers[1:] if layer.path is not None)

    def layer_of(self, path: KeyPath) -> Layer:
        """The file that wrote the value at ``path``, or what is around it; the profile itself where none did."""
        return self.layers[self.distance(path)]

    def distance(self, path: KeyPath) -> int:
        """How many files away the value at ``path`` was written: 0 in the profile itself."""
        return next((self._origin[path[:length]] for length in (2, 1) if path[:length] in self._origin), 0)

    def inherited_from(self, field: str) -> Path | None:
        """The file whose value of ``field`` holds because the profile itself has none; None without one."""
        keys = tuple(field.split("."))
        return self.layer_of(keys).path if self._origin.get(keys) else None

    def origin_without_own(self, field: str) -> Path | None:
        """The file that ``inherited_value`` is from; None where the default would hold."""
        index = self._inherited_origin.get(tuple(field.split(".")))
        return None if index is None else self.layers[index].path

    def inherited_value(self, field: str) -> Any:
        """What the files that are extended say of ``field``; None where its default would hold."""
        value: Any = self._inherited
        for key in field.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def inherited(self, problem: Problem) -> Problem:
        """``problem``, which says who is concerned where it is about a file that is extended."""
        if all(problem.file != layer.shown for layer in self.layers[1:]):
            return problem
        return replace(problem, rule=f"{problem.rule} (inherited by {Path(self.layers[0].shown).name})")


def read_lineage(own: Layer) -> Lineage:
    """Everything that ``own`` extends, laid one over the other. What cannot be read is among the problems."""
    layers, problems, looked_at = [own], [], []
    while (written := _parent_of(layers[-1])) is not None:
        child = layers[-1]
        found, candidates = _look_for(written, child)
        looked_at += candidates
        if (fault := _fault(written, found, layers)) is not None:
            problems.append(child.problem((EXTENDS,), written, *fault))
            break
        assert found is not None
        try:
            layers.append(_read(found, child))
        except ProfileError as error:
            problems += [_told(problem, child, written) for problem in error.problems]
            break
    tables, origin, further = _laid_over_each_other(layers, whole=not problems)
    parents = [replace(own, tables=_taking(own)), *layers[1:]]
    inherited, its_origin, _ = _laid_over_each_other(parents, whole=not problems)
    return Lineage(tuple(layers), tables, (*problems, *further), tuple(looked_at), origin, inherited, its_origin)


def _taking(layer: Layer) -> dict[str, Any]:
    """Of the file's own tables only what says what it takes over."""
    return {name: value for name, value in layer.tables.items() if name == WITHOUT}


def lineage_of(path: Path) -> Lineage:
    """That of the file at ``path``. Raises ``ProfileError`` if that one itself cannot be read or is no TOML."""
    shown = str(path)
    tables, places = parse_toml(read_text(path), shown)
    return read_lineage(Layer(shown, path.absolute().parent, path.absolute(), tables, places))


def lineage_in_words(lineage: Lineage) -> str:
    """``base.toml, which extends character (shipped)``; empty where nothing is extended."""
    shipped = set(shipped_profiles())
    names = [f"{path.stem} (shipped)" if path in shipped else path.name for path in lineage.parents]
    return ", which extends ".join(names)


def _parent_of(layer: Layer) -> str | None:
    written = layer.tables.get(EXTENDS)
    return written if isinstance(written, str) and written else None


def _look_for(written: str, child: Layer) -> tuple[Path | None, list[Path]]:
    """The file that ``written`` means and those that were looked for; its own file only where there is no other."""
    is_name = "/" not in written and not written.startswith(("~", "."))
    candidates: list[Path] = []
    try:
        path = child.folder / Path(written).expanduser()
        candidates = [path] if not is_name or written.endswith(".toml") else []
        candidates += [] if written.endswith(".toml") else [path.with_name(f"{path.name}.toml")]
        if is_name:
            candidates += [shipped for shipped in shipped_profiles() if written in {shipped.stem, shipped.name}]
        there = [candidate for candidate in candidates if candidate.exists()]
    except (OSError, ValueError, RuntimeError):
        return None, []  # no name a file can have
    others = [candidate for candidate in there if not _is_same(candidate, child.path)]
    return next(iter((others or there) if is_name else there), None), candidates


def _is_same(path: Path, other: Path | None) -> bool:
    return other is not None and path.resolve() == other.resolve()


def _fault(written: str, found: Path | None, layers: list[Layer]) -> tuple[str, str] | None:
    """(rule, suggestion) where a profile cannot be extended."""
    if found is None:
        names = sorted({path.stem for path in (*_beside(layers[-1]), *shipped_profiles())})
        close = difflib.get_close_matches(Path(written).name.removesuffix(".toml"), names, n=1, cutoff=0.5)
        known = f"did you mean {close[0]}?" if close else f"known by name: {', '.join(names)}"
        return "there is no such profile beside this file nor among the shipped ones", known
    for index, layer in enumerate(layers):
        if _is_same(found, layer.path):
            circle = [*(Path(one.shown).name for one in layers[index:]), Path(layer.shown).name]
            if len(circle) == 2:
                return "is this file itself", "name another profile, or delete the line"
            return f"leads back to where it began: {' → '.join(circle)}", "delete one of these extends lines"
    if len(layers) > MAX_PARENTS:
        rule = f"is parent {len(layers)} in a row, and at most {MAX_PARENTS} are followed"
        return rule, "put the values of some of them into one file"
    return None


def _beside(layer: Layer) -> Iterator[Path]:
    try:
        yield from (path for path in layer.folder.glob("*.toml") if not _is_same(path, layer.path))
    except OSError:
        return


def _read(path: Path, child: Layer) -> Layer:
    """The file, parsed once per version. Raises ``ProfileError``."""
    shown = str(path)
    if path.is_relative_to(child.folder):
        shown = str(Path(child.shown).parent / path.relative_to(child.folder))
    try:
        status = path.stat()
        version = (status.st_mtime_ns, status.st_size, status.st_ino)
    except OSError:
        version = (0, 0, 0)  # reading it says why
    tables, places = _parsed(path, shown, version)
    return Layer(shown, path.parent, path, tables, places)


@lru_cache(maxsize=64)
def _parsed(path: Path, shown: str, _version: tuple[int, int, int]) -> tuple[dict[str, Any], SourceMap]:
    try:
        text = read_text(path)
    except ProfileError as error:
        raise ProfileError([replace(problem, file=shown) for problem in error.problems]) from None
    return parse_toml(text, shown)


def _told(problem: Problem, child: Layer, written: str) -> Problem:
    """Of a parent that is no profile: at its own line if there is one, else where it is extended."""
    if problem.line is None:
        return child.problem((EXTENDS,), written, f"{problem.file} {problem.rule}", problem.suggestion)
    return replace(problem, rule=f"{problem.rule} (extended by {child.shown})")


def _laid_over_each_other(
    layers: list[Layer], *, whole: bool
) -> tuple[dict[str, Any], dict[KeyPath, int], list[Problem]]:
    """The tables, the layer that each value is from, and what is wrong with ``without``."""
    tables: dict[str, Any] = {}
    origin: dict[KeyPath, int] = {}
    problems: list[Problem] = []
    for index, layer in reversed(list(enumerate(layers))):
        if whole:
            problems += _take_out(tables, origin, layer)
        _lay_over(tables, origin, layer, index)
    return tables, origin, problems


def _lay_over(tables: dict[str, Any], origin: dict[KeyPath, int], layer: Layer, index: int) -> None:
    for name, value in layer.tables.items():
        if (name == EXTENDS and isinstance(value, str) and value) or (name == WITHOUT and _are_texts(value)):
            continue  # done with; anything else is judged with the other fields
        old = tables.get(name)
        is_section = name in section_names()
        if is_section and old is not None and not isinstance(old, dict):
            continue  # the parent's mistake is told, not covered
        if is_section and isinstance(value, dict):
            origin |= {(name, key): index for key in value}
            tables[name] = {**(old or {}), **copy.deepcopy(value)}
        elif name != "schema" or old in (None, 1):  # a version that is not read is told, whoever writes it
            tables[name] = copy.deepcopy(value)
        else:
            continue
        origin[(name,)] = index


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _take_out(tables: dict[str, Any], origin: dict[KeyPath, int], layer: Layer) -> Iterator[Problem]:
    """Remove what ``layer`` does not want of its parents."""
    named = layer.tables.get(WITHOUT)
    for position, name in enumerate(named if isinstance(named, list) and _are_texts(named) else ()):
        section, _, last = name.rpartition(".")
        table = tables.get(section) if section else tables
        if isinstance(table, dict) and last in table and name != "schema":
            del table[last]
            gone = (section, last) if section else (last,)
            for path in [path for path in origin if path[: len(gone)] == gone]:
                del origin[path]
            continue
        yield replace(layer.problem((WITHOUT, position), name, *_why_not(name, section, last)), field=WITHOUT)


def _why_not(name: str, section: str, last: str) -> tuple[str, str]:
    if find_field(name) is None and name not in section_names():
        near = nearest_field(last, section)
        return "there is no such field", f"did you mean {near}?" if near else "docs/profile-reference.md lists them"
    return "no value of it is inherited", "take it out of the list"
