"""Two profiles side by side, each with everything that it inherits and every default: the fields of which they say different
things. A run stands for the profile that it trains.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.errors import UserError
from engine.profile.fields import profile_fields
from engine.profile.load import load_profile, read_snapshot
from engine.profile.problems import ProfileError
from engine.profile.shipped import find_profile, shipped_profiles
from engine.profile.to_toml import toml_value
from engine.routes.effects import differences
from engine.run.layout import RUN_ID, RunDirectory
from engine.user_path import absolute_user_path
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_lr

if TYPE_CHECKING:
    from engine.profile.schema import Profile
    from sdxl_tui.workspace import Workspace

NOT_SET: Final = "–"


@dataclass(frozen=True)
class Side:
    """A profile, or what a run trains."""

    name: str
    path: Path
    profile: Profile
    is_run: bool = False

    @property
    def title(self) -> str:
        """``run fox-20261124-093000`` or the profile's name."""
        return f"run {self.name}" if self.is_run else self.name

    def to_json(self) -> dict[str, str]:
        """What it is, without the profile."""
        return {"name": self.name, "kind": "run" if self.is_run else "profile", "path": str(self.path)}


@dataclass(frozen=True)
class FieldDifference:
    """A field with both values; None where one side has none."""

    field: str
    """``optimizer.lr``, ``dataset.sources[0].repeats``."""
    here: Any
    there: Any


@dataclass(frozen=True)
class ProfileDiff:
    """What differs, in the schema's order."""

    here: Side
    there: Side
    differences: tuple[FieldDifference, ...]
    alike: int
    """Fields that say the same."""

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "here": self.here.to_json(),
            "there": self.there.to_json(),
            "differences": [{"field": one.field, "here": one.here, "there": one.there} for one in self.differences],
            "alike": self.alike,
        }


def diff_profiles(here: Side, there: Side) -> ProfileDiff:
    """Compare the two."""
    found: list[FieldDifference] = []
    fields = differences(here.profile, there.profile)
    for field, one, other in fields:
        found += _within(field, _plain(one), _plain(other))
    return ProfileDiff(here, there, tuple(found), len(profile_fields()) - len(fields))


def _within(field: str, here: Any, there: Any) -> Iterable[FieldDifference]:
    """Of tables every value of their own that differs; anything else as it is."""
    if _are_tables(here) and _are_tables(there):
        for at in range(max(len(here), len(there))):
            one, other = (side[at] if at < len(side) else {} for side in (here, there))
            for name in dict.fromkeys([*one, *other]):
                if one.get(name) != other.get(name):
                    yield FieldDifference(f"{field}[{at}].{name}", one.get(name), other.get(name))
    else:
        yield FieldDifference(field, here, there)


def _are_tables(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, Mapping) for item in value)


def _plain(value: Any) -> Any:
    """JSON values; tables without what is their default."""
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_defaults=True, by_alias=True)
    return getattr(value, "value", value)


def shown_value(difference: FieldDifference, value: Any) -> str:
    """A value as it is shown, safe to print."""
    if value is None:
        return NOT_SET
    if isinstance(value, float) and difference.field.endswith("lr"):
        return format_lr(value)
    return clean(value if isinstance(value, str) else toml_value(value), limit=2000)


def side_of_run(run: RunDirectory) -> Side:
    """What a run trains: its snapshot, with the edits that its newest attempt was resumed with. Raises ``ProfileError``."""
    return Side(run.id, run.latest_profile, read_snapshot(run.latest_profile), is_run=True)


def side_of_profile(path: Path) -> Side:
    """A profile's file. Raises ``ProfileError``."""
    return Side(path.stem, path, load_profile(path).profile)


def side_named(text: str, workspace: Workspace) -> Side:
    """What a person means on a command line: a profile by path or name, else a run. Raises ``UserError``."""
    from sdxl_tui.fleet.runs import find_run  # noqa: PLC0415 - only where it is no profile
    from sdxl_tui.fleet.watched.record import WatchedRunError  # noqa: PLC0415

    folder = RunDirectory(absolute_user_path(text))
    if RUN_ID.fullmatch(folder.path.name) and folder.profile.is_file():
        return side_of_run(folder)
    try:
        path = find_profile(text, workspace.profiles)
    except ProfileError as error:
        try:
            run = find_run(workspace, text)
        except WatchedRunError:  # it is known, and has no profile
            raise
        except UserError:
            hint = error.problems[0].suggestion.capitalize()
            raise UserError(
                "there is no such profile or run", where=text, hint=f"{hint}; runs: sdxl-tui runs"
            ) from None
        return side_of_run(run)
    return side_of_profile(path)


@dataclass(frozen=True)
class Candidate:
    """Something to compare with; read when it is chosen."""

    name: str
    kind: str
    """``workspace``, ``shipped`` or ``run``."""
    path: Path

    def read(self) -> Side:
        """Raises ``ProfileError``."""
        return side_of_run(RunDirectory(self.path)) if self.kind == "run" else side_of_profile(self.path)


def candidates(workspace: Workspace) -> list[Candidate]:
    """Profiles of the workspace, runs (the newest first) and shipped profiles."""
    own = sorted(workspace.profiles.glob("*.toml")) if workspace.profiles.is_dir() else []
    folders = list(workspace.runs.iterdir()) if workspace.runs.is_dir() else []
    made = {path: RunDirectory(path).profile for path in folders if RUN_ID.fullmatch(path.name)}
    ages = sorted((-snapshot.stat().st_mtime, path) for path, snapshot in made.items() if snapshot.is_file())
    return [
        *(Candidate(path.stem, "workspace", path) for path in own),
        *(Candidate(path.name, "run", path) for _, path in ages),
        *(Candidate(path.stem, "shipped", path) for path in shipped_profiles()),
    ]
