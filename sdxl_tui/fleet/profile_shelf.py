"""The profiles one can train from: those of the workspace and the shipped ones, each parsed once per change of its file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from engine.profile.document import ProfileDocument
from engine.profile.extends import Lineage, lineage_of
from engine.profile.load import load_profile
from engine.profile.problems import Problem, ProfileError
from engine.profile.schema import Profile
from engine.profile.shipped import shipped_profiles

_Versions = dict[Path, tuple[int, int] | None]
"""Of every file that a profile depends on when it was last changed, and its size; None for one that is not there."""


@dataclass(frozen=True)
class ProfileEntry:
    """A profile's file, and what it says or what is wrong with it."""

    path: Path
    is_shipped: bool
    """Shipped with the package: read-only, to be duplicated into the workspace."""
    profile: Profile | None
    problems: tuple[Problem, ...] = ()

    parents: tuple[Path, ...] = ()
    """The profiles that it extends, the nearest first."""

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem


@dataclass
class ProfileShelf:
    """Lists profiles and remembers what it parsed. Not shared between threads."""

    folder: Path
    """The workspace's own profiles."""
    _known: dict[Path, tuple[_Versions, ProfileEntry]] = field(default_factory=dict)

    def read(self) -> list[ProfileEntry]:
        """All profiles now, the workspace's first, each group by name."""
        own = sorted(self.folder.glob("*.toml")) if self.folder.is_dir() else []
        entries = [self._entry(path, is_shipped=False) for path in own]
        entries += [self._entry(path, is_shipped=True) for path in shipped_profiles()]
        return [entry for entry in entries if entry is not None]

    def _entry(self, path: Path, *, is_shipped: bool) -> ProfileEntry | None:
        if _version(path) is None:
            return None  # removed while we looked, or a link to nowhere
        known = self._known.get(path)
        if known is None or any(_version(file) != version for file, version in known[0].items()):
            files = {path: _version(path)}  # before it is parsed: what is written meanwhile is read next time
            lineage = _lineage(path)
            if lineage is not None:
                files |= {file: _version(file) for file in lineage.looked_at}
            parents = () if lineage is None else lineage.parents
            self._known[path] = known = (files, _parsed(path, parents, is_shipped=is_shipped))
        return known[1]


def _version(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size


def _lineage(path: Path) -> Lineage | None:
    try:
        return lineage_of(path)
    except ProfileError:
        return None


def _parsed(path: Path, parents: tuple[Path, ...], *, is_shipped: bool) -> ProfileEntry:
    try:
        return ProfileEntry(path, is_shipped, load_profile(path).profile, parents=parents)
    except ProfileError as error:
        return ProfileEntry(path, is_shipped, None, error.problems, parents)


def heirs_of(path: Path, entries: Iterable[ProfileEntry]) -> list[str]:
    """The names of the profiles that extend the one at ``path``, directly or through others."""
    sought = path.resolve()
    return [entry.name for entry in entries if any(parent.resolve() == sought for parent in entry.parents)]


def free_name(folder: Path, wanted: str) -> Path:
    """A file in ``folder`` that does not exist yet, named like ``wanted``: ``style.toml``, ``style-2.toml`` …"""
    path, number = folder / f"{wanted}.toml", 1
    while path.exists():
        number += 1
        path = folder / f"{wanted}-{number}.toml"
    return path


def duplicate(path: Path, folder: Path) -> Path:
    """Copy a profile, as it is, into ``folder`` under the first free name. Raises ``ProfileError``."""
    copy = free_name(folder, path.stem)
    ProfileDocument.new(copy, ProfileDocument.open(path).text).save()
    return copy
