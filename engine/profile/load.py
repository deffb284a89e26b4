"""From a profile's TOML to a validated ``Profile``, or to all of its problems at once with their places.

Whether the folders it names exist is left to ``preflight.py``; lossless editing to ``document.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from engine.demo import BUNDLED
from engine.model.hub_id import parse_hub_id
from engine.profile.explain import dotted
from engine.profile.extends import Layer, Lineage, read_lineage
from engine.profile.fields import OF_A_FILE, SOURCES, STAGES, profile_fields, table_fields
from engine.profile.overrides import apply_overrides
from engine.profile.problems import Problem, ProfileConflict, ProfileError, show_value
from engine.profile.schema import Profile
from engine.profile.source_map import Path as KeyPath
from engine.profile.stage_check import check_stages
from engine.profile.stages import stage_profile
from engine.profile.syntax import parse_toml, read_text
from engine.profile.to_toml import profile_to_toml, toml_value
from engine.profile.validate import Finder, validate

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
    lineage: Lineage = field(default=Lineage((), {}), repr=False, compare=False)
    """The files that it is made of: itself and those it extends."""
    is_own: Callable[[KeyPath], bool] = field(default=lambda _: False, repr=False, compare=False)
    """Whether the file itself or an override names a value; all others are inherited or defaults."""
    overrides: tuple[str, ...] = ()
    """What changed it, ``section.field=value``, with absolute paths: it says the same from any folder."""


def load_profile(path: Path, overrides: Sequence[str] = ()) -> LoadedProfile:
    """Read and validate the profile in ``path`` with those that it extends, changed by ``section.field=value`` overrides.

    Relative paths in a file are taken from its folder, those in overrides from the current one.
    Raises ``ProfileError`` with every problem of files and overrides.
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
        own, places = parse_toml(text, shown)
    except ProfileError as error:
        raise ProfileError([*error.problems, *apply_overrides({}, overrides).problems]) from None
    lineage = read_lineage(Layer(shown, folder.absolute(), None if source is None else source.absolute(), own, places))
    is_whole = not lineage.problems
    changes = apply_overrides(lineage.tables, overrides)
    finder = Finder(lineage, changes)
    profile, problems = validate(lineage.tables, finder, is_whole=is_whole)
    if is_whole:
        problems += check_stages(lineage.tables, finder, problems)
    if is_whole and profile is not None and not problems:
        profile, path_problems = _with_absolute_paths(profile, finder)
        problems += path_problems
    problems = [*lineage.problems, *map(lineage.inherited, problems), *changes.problems]
    if problems or profile is None:
        raise ProfileError(sorted(problems, key=lambda problem: problem.file != shown))
    said = _settled(overrides, profile)
    return LoadedProfile(profile, source or folder / "profile.toml", text, finder, lineage, finder.is_own, said)


def _settled(overrides: Sequence[str], profile: Profile) -> tuple[str, ...]:
    """The overrides with every path in them as the profile has it: absolute."""
    return tuple(_settled_one(text, profile) for text in overrides)


def _settled_one(text: str, profile: Profile) -> str:
    name = text.partition("=")[0].strip()
    if name == SOURCES:
        return f"{name}={toml_value(_source_tables(profile))}"
    if name == STAGES:
        return f"{name}={toml_value(profile.stages)}"
    values = profile.values()
    for array, tables in ((SOURCES, profile.dataset.sources), (STAGES, profile.stages)):
        for number, table in enumerate(tables):
            values |= {f"{array}.{number}.{key}": value for key, value in table.model_dump().items()}
    for number, stage in enumerate(profile.stages):
        values |= {f"{STAGES}.{number}.set.{key}": value for key, value in stage.set.items()}
    value = values.get(name)
    return f"{name}={toml_value(value)}" if isinstance(value, str | tuple | list | dict) else text


def _with_absolute_paths(profile: Profile, place: Finder) -> tuple[Profile, list[Problem]]:
    """``profile`` with every path in it absolute, those that its stages set included; and what is no path."""
    whole, problems = _paths_made_absolute(profile, place)
    stages = []
    for index, stage in enumerate(profile.stages):
        here = replace(place, moved={_keys(name): ("stages", index, "set", name) for name in stage.set})
        trained, found = _paths_made_absolute(stage_profile(profile, index + 1), here)
        problems += [problem for problem in found if problem not in problems]
        values = trained.values() | {SOURCES: _source_tables(trained)}
        own = {name: values[name] if name in _PATHS else value for name, value in stage.set.items()}
        stages.append(stage.model_copy(update={"set": own}))
    return whole.model_copy(update={"stages": tuple(stages)}), problems


_PATHS: Final = (*(one.path for one in profile_fields() if one.leads_to and one.path not in OF_A_FILE), SOURCES)


SOURCE_PATHS: Final = tuple(one.name for one in table_fields(SOURCES) if one.leads_to)
"""The fields of a source that are paths."""


def _keys(name: str) -> KeyPath:
    return tuple(name.split("."))


def _source_tables(profile: Profile) -> list[dict[str, Any]]:
    return [source.model_dump(exclude_defaults=True, by_alias=True) for source in profile.dataset.sources]


def _paths_made_absolute(profile: Profile, place: Finder) -> tuple[Profile, list[Problem]]:
    problems: list[Problem] = []

    def absolute(written: str, path: KeyPath) -> str:
        try:
            return absolute_path(written, place.folder(path))
        except ValueError as error:
            problems.append(Problem(*place(path), dotted(path), show_value(written), str(error)))
            return written

    def reference(name: str, written: str | None) -> str | None:
        if written is None or is_hub_name(written, place.folder(("model", name))):
            return written
        return absolute(written, ("model", name))

    names = {"base": profile.model.base, "vae": profile.model.vae}
    model = profile.model.model_copy(update={name: reference(name, written) for name, written in names.items()})
    sources = tuple(
        source.model_copy(
            update={
                name: absolute(written, ("dataset", "sources", index, name))
                for name in SOURCE_PATHS
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
