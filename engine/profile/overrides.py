"""``--set section.field=value``: changes to a profile's tables before they are validated."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from engine.profile.fields import (
    OF_A_FILE,
    SOURCES,
    STAGES,
    TABLES,
    ProfileField,
    array_at,
    find_field,
    nearest_field,
    section_names,
)
from engine.profile.problems import Problem, show_value

Path = tuple[str | int, ...]

_OF_A_TABLE: Final = re.compile(rf"({'|'.join(map(re.escape, TABLES))})\.(\d{{1,4}})\.([a-z0-9_.]+)")


@dataclass
class Overrides:
    """What the overrides changed, and what was wrong with them."""

    origin: dict[Path, str] = field(default_factory=dict)
    """For each changed place the override's own text, for messages; the last one counts."""
    problems: list[Problem] = field(default_factory=list)

    def blame(self, path: Path) -> str | None:
        """The override that set ``path`` or something around it; None if the file did."""
        for length in range(len(path), 0, -1):
            if (text := self.origin.get(path[:length])) is not None:
                return text
        return None


def apply_overrides(data: dict[str, Any], overrides: Sequence[str]) -> Overrides:
    """Change ``data`` in place by every override that names a field; the values are judged later, with all others."""
    result = Overrides()
    for text in overrides:
        name, equals, written = text.partition("=")
        name = name.strip()
        shown = f"--set {text}"
        if not equals or not name:
            rule = "is not written as section.field=value"
            result.problems.append(Problem(shown, None, None, "", None, rule, "for instance --set optimizer.lr=5e-5"))
            continue
        if name in OF_A_FILE:
            rule = "is not changed on the command line: it says which files a file is made of"
            result.problems.append(Problem(shown, None, None, name, None, rule, "write it into the profile"))
            continue
        found = _find(name)
        if found is None:
            result.problems.append(_unknown(name, written, shown))
            continue
        path, profile_field = found
        try:
            value = read_value(profile_field, written.strip())
        except tomllib.TOMLDecodeError:
            rule = f"must be {profile_field.requirement}, written as in TOML"
            result.problems.append(Problem(shown, None, None, name, show_value(written.strip()), rule))
            continue
        if _put(data, path, value):
            result.origin = {key: said for key, said in result.origin.items() if key[: len(path)] != path}
            result.origin[path] = shown
        elif (array := array_at(path)) and any(isinstance(part, int) for part in path):
            result.problems.append(Problem(shown, None, None, name, None, _no_such_table(data, array, path)))
    return result


def read_value(profile_field: ProfileField, written: str) -> Any:
    """What ``written`` means for a field: TOML, where quotes may be left out.

    A single text stands for a list of one; a single path for one source. Raises ``tomllib.TOMLDecodeError``.
    """
    quoted = written[:1] in {'"', "'"}
    match profile_field.kind:
        case "str" | "choice" if not quoted and profile_field.path != "schema":
            return written
        case "strings" if not written.startswith("["):
            return [_toml(written) if quoted else written]
        case "tables" if profile_field.path == SOURCES and not written.startswith(("[", "{")):
            return [{"path": _toml(written) if quoted else written}]
        case "tables" if written.startswith("{"):
            return [_toml(written)]
    try:
        return _toml(written)
    except tomllib.TOMLDecodeError:
        if re.fullmatch(r"[\w.+:/ -]+", written):
            return written
        raise


def _toml(written: str) -> Any:
    tables = tomllib.loads(f"value = {written}")
    if set(tables) != {"value"}:
        raise tomllib.TOMLDecodeError("more than one value")
    return tables["value"]


def _find(name: str) -> tuple[Path, ProfileField] | None:
    if match := _OF_A_TABLE.fullmatch(name):
        array, number, field = match.groups()
        place: Path = (*array.split("."), int(number))
        if array == STAGES and field.startswith("set."):
            full_name = field.removeprefix("set.")
            found = find_field(full_name)
            return None if found is None or found.section in TABLES else ((*place, "set", full_name), found)
        found = find_field(f"{array}.{field}")
        return None if found is None else ((*place, field), found)
    found = find_field(name)
    if found is None or found.section in TABLES:
        return None
    return tuple(name.split(".")), found


def _no_such_table(data: dict[str, Any], array: str, path: Path) -> str:
    tables: Any = data
    for key in array.split("."):
        tables = tables.get(key) if isinstance(tables, dict) else None
    count = len(tables) if isinstance(tables, list) else 0
    number = next(part for part in path if isinstance(part, int))
    return f"there is no {_one_of(array)} {number}: the profile has {count}, counted from 0"


def _one_of(array: str) -> str:
    """``source`` for ``dataset.sources``."""
    return array.rpartition(".")[2].removesuffix("s")


def _unknown(name: str, written: str, shown: str) -> Problem:
    section, _, last = name.rpartition(".")
    if section in TABLES and find_field(name):
        rule = f"does not say which {_one_of(section)}"
        return Problem(shown, None, None, name, None, rule, f"write {section}.0.{last}=…")
    if match := _OF_A_TABLE.fullmatch(name):
        section = match.group(1)
    if name in section_names():
        return Problem(shown, None, None, name, None, "is a section, not a field", f"write {name}.field=value")
    near = nearest_field(last, section)
    if near and match and near.startswith(f"{section}."):
        near = f"{section}.{match.group(2)}.{near.removeprefix(f'{section}.')}"
    suggestion = f"did you mean {near}?" if near else "docs/profile-reference.md lists all fields"
    return Problem(shown, None, None, name, None, "there is no such field", suggestion)


def _put(data: dict[str, Any], path: Path, value: Any) -> bool:
    place: Any = data
    for part in path[:-1]:
        if isinstance(part, int):
            if not isinstance(place, list) or part >= len(place):
                return False
            place = place[part]
        elif isinstance(place, dict):
            place = place.setdefault(part, {})
        else:
            return False
    if not isinstance(place, dict):
        return False
    place[path[-1]] = value
    return True
