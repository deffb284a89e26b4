"""From a profile's TOML to a validated ``Profile``, or to all of its problems at once with their places.

Whether the folders it names exist is left to ``preflight.py``; lossless editing to ``document.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine.demo import BUNDLED
from engine.model.hub_id import parse_hub_id
from engine.profile.explain import dotted, explain
from engine.profile.fields import SOURCES, find_field
from engine.profile.overrides import Overrides, apply_overrides
from engine.profile.problems import Problem, ProfileConflict, ProfileError, show_value
from engine.profile.rules import RULES, Rule
from engine.profile.schema import Profile
from engine.profile.source_map import Path as KeyPath
from engine.profile.source_map import SourceMap
from engine.profile.syntax import parse_toml, read_text
from engine.profile.to_toml import profile_to_toml, toml_value

__all__ = [
    "LoadedProfile",
    "Problem",
    "ProfileConflict",
    "ProfileError",
    "load_profile",
    "parse_profile",
    "profile_to_toml",
    "read_snapshot",
]


@dataclass(frozen=True)
class _Finder:
    """Who set a value: the file with line and column, or an override."""

    shown: str
    places: SourceMap
    changes: Overrides

    def __call__(self, path: KeyPath) -> tuple[str, int | None, int | None]:
        if (override := self.changes.blame(path)) is not None:
            return override, None, None
        line, column = self.places.key_position(path) or (None, None)
        return self.shown, line, column

    def as_written(self, problem: Problem, path: KeyPath) -> Problem:
        """``problem`` with its value as the file writes it: ``1e400`` and not ``inf``."""
        entry = self.places.entries.get(path)
        if problem.value is None or problem.line is None or entry is None:
            return problem
        written = self.places.text[entry.start : entry.end]
        return replace(problem, value=written) if written.isprintable() and len(written) <= 60 else problem


@dataclass(frozen=True)
class LoadedProfile:
    """A valid profile and where it came from."""

    profile: Profile
    """With absolute paths; ``bundled:…`` and hub ids stay as written."""
    source: Path
    """The file; for text without one, ``profile.toml`` in the given folder."""
    text: str
    """The file's own text, without the overrides."""
    place: Callable[[KeyPath], tuple[str, int | None, int | None]] = field(repr=False, compare=False)
    """File (or override), line and column of what sets ``("model", "base")``, for further problems."""
    overrides: tuple[str, ...] = ()
    """What changed it, ``section.field=value``, with absolute paths: it says the same from any folder."""


def load_profile(path: Path, overrides: Sequence[str] = ()) -> LoadedProfile:
    """Read and validate the profile in ``path``, changed by ``section.field=value`` overrides.

    Relative paths in the file are taken from its folder, those in overrides from the current one.
    Raises ``ProfileError`` with every problem of file and overrides.
    """
    return parse_profile(read_text(path), folder=path.absolute().parent, source=path, overrides=overrides)


def read_snapshot(path: Path) -> Profile:
    """The profile a run trains (``profile.toml`` of its folder). Raises ``ProfileError``, also for one with stages."""
    loaded = load_profile(path)
    if loaded.profile.stages:
        rule = f"a run trains one stage, and here are {len(loaded.profile.stages)}"
        place = loaded.place(("stages",))
        raise ProfileError([Problem(*place, "stages", None, rule, "launch the profile: each stage becomes a run")])
    return loaded.profile


def parse_profile(
    text: str, *, folder: Path, source: Path | None = None, overrides: Sequence[str] = ()
) -> LoadedProfile:
    """``load_profile`` for text that need not be on disk; ``folder`` is the one relative paths are taken from."""
    text = text.removeprefix("\ufeff")
    shown = str(source) if source else "profile"
    try:
        data, places = parse_toml(text, shown)
    except ProfileError as error:
        raise ProfileError([*error.problems, *apply_overrides({}, overrides).problems]) from None
    changes = apply_overrides(data, overrides)
    finder = _Finder(shown, places, changes)
    profile, problems = _validate(data, finder)
    if profile is not None:
        profile, path_problems = _with_absolute_paths(profile, folder.absolute(), finder)
        problems += path_problems
    problems += changes.problems
    if problems or profile is None:
        raise ProfileError(problems)
    return LoadedProfile(profile, source or folder / "profile.toml", text, finder, _settled(overrides, profile))


def _settled(overrides: Sequence[str], profile: Profile) -> tuple[str, ...]:
    """The overrides with every path in them as the profile has it: absolute."""
    return tuple(_settled_one(text, profile) for text in overrides)


def _settled_one(text: str, profile: Profile) -> str:
    name = text.partition("=")[0].strip()
    if name == SOURCES:
        sources = [source.model_dump(exclude_defaults=True, by_alias=True) for source in profile.dataset.sources]
        return f"{name}={toml_value(sources)}"
    values = profile.values()
    for number, source in enumerate(profile.dataset.sources):
        values |= {f"{SOURCES}.{number}.{key}": value for key, value in source.model_dump().items()}
    value = values.get(name)
    return f"{name}={toml_value(value)}" if isinstance(value, str | tuple) else text


def _validate(data: dict[str, Any], place: _Finder) -> tuple[Profile | None, list[Problem]]:
    try:
        return Profile.model_validate(data), []
    except ValidationError as error:
        details = [item for item in error.errors(include_url=False) if item["type"] != "value_error"]
    inside = {item["loc"][:length] for item in details for length in range(1, len(item["loc"]))}
    details = [item for item in details if item["loc"] not in inside]  # a list is not to blame for its elements
    blamed = {".".join(str(part) for part in item["loc"]) for item in details}
    problems = [place.as_written(explain(item, place), item["loc"]) for item in details]
    values = _rule_values(data)
    problems += [problem for rule in RULES if (problem := _broken(rule, values, blamed, place)) is not None]
    return None, problems


def _rule_values(data: dict[str, Any]) -> dict[str, Any]:
    """The values rules look at, defaults filled in; a value whose section is no table is left out."""
    values: dict[str, Any] = {}
    for path in {path for rule in RULES for path in rule.fields}:
        section, _, name = path.rpartition(".")
        table = data.get(section, {})
        declared = find_field(path)
        if isinstance(table, dict) and declared is not None:
            values[path] = table.get(name, declared.default)
    return values


def _broken(rule: Rule, values: dict[str, Any], blamed: set[str], place: _Finder) -> Problem | None:
    if blamed & set(rule.fields) or not set(rule.fields) <= set(values):
        return None
    broken = rule.check(values)
    if broken is None:
        return None
    first = rule.fields[0]
    set_by = next((path for path in rule.fields if _is_set(path, place)), first)
    return Problem(
        *place(tuple(set_by.split("."))), first, show_value(values[first]), broken.sentence, broken.suggestion
    )


def _is_set(path: str, place: _Finder) -> bool:
    keys = tuple(path.split("."))
    return keys in place.places.entries or keys in place.changes.origin


def _with_absolute_paths(profile: Profile, folder: Path, place: _Finder) -> tuple[Profile, list[Problem]]:
    problems: list[Problem] = []

    def absolute(written: str, path: KeyPath) -> str:
        start = Path.cwd() if place.changes.blame(path) else folder
        try:
            return absolute_path(written, start)
        except ValueError as error:
            problems.append(Problem(*place(path), dotted(path), show_value(written), str(error)))
            return written

    def reference(name: str, written: str | None) -> str | None:
        start = Path.cwd() if place.changes.blame(("model", name)) else folder
        if written is None or is_hub_name(written, start):
            return written
        return absolute(written, ("model", name))

    names = {"base": profile.model.base, "vae": profile.model.vae}
    model = profile.model.model_copy(update={name: reference(name, written) for name, written in names.items()})
    sources = tuple(
        source.model_copy(
            update={
                name: absolute(written, ("dataset", "sources", index, name))
                for name in ("path", "metadata", "mask_folder")
                if (written := getattr(source, name)) is not None
            }
        )
        for index, source in enumerate(profile.dataset.sources)
    )
    dataset = profile.dataset.model_copy(update={"sources": sources})
    network = profile.network
    if network.start_from is not None:
        start = absolute(network.start_from, ("network", "start_from"))
        network = network.model_copy(update={"start_from": start})
    folders = tuple(
        absolute(written, ("validation", "folders", index)) for index, written in enumerate(profile.validation.folders)
    )
    validation = profile.validation.model_copy(update={"folders": folders})
    update = {"model": model, "network": network, "dataset": dataset, "validation": validation}
    return profile.model_copy(update=update), problems


def is_hub_name(written: str, folder: Path) -> bool:
    """Whether ``written`` names a model on the Hugging Face Hub: ``owner/name`` where ``folder`` holds nothing of that name."""
    if parse_hub_id(written) is None:
        return False
    try:
        return not (folder / written).exists()
    except OSError:
        return False


def absolute_path(written: str, folder: Path) -> str:
    """``written`` as an absolute path: ``~`` expanded, relative ones taken from ``folder``; ``bundled:…`` as it is.

    Raises ``ValueError`` with a plain sentence for text that can be no path.
    """
    if written.startswith(BUNDLED):
        return written
    if "\0" in written:
        raise ValueError("a path cannot hold a NUL character")
    try:
        path = folder / Path(written).expanduser()
    except RuntimeError:
        raise ValueError("names a home folder that this machine does not know") from None
    path = path.resolve() if ".." in path.parts else path
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise ValueError("is not valid UTF-8, which a profile cannot hold: rename the folder") from None
    return str(path)
