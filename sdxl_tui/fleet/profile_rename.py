"""Another name for a profile of the workspace: the file, its own name, and the ``extends`` lines of those that extend it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import UserError
from engine.profile.document import ProfileDocument
from engine.profile.extends import lineage_of
from engine.profile.fields import EXTENDS, profile_field
from engine.profile.problems import ProfileError
from engine.run.layout import RUN_ID, RunDirectory
from engine.run.records import RunRecord
from sdxl_tui.fleet.kept_drafts import is_edited_elsewhere, left_behind

if TYPE_CHECKING:
    from sdxl_tui.workspace import Workspace


@dataclass(frozen=True)
class Surroundings:
    """What hangs on a profile's name."""

    heirs: tuple[Path, ...]
    """Profiles of the workspace whose ``extends`` line names it; it is written anew."""
    runs: int
    """Launched from it: a resume looks at the profile under the old name only, then goes on with the run's own copy."""
    has_drafts: bool
    """An editor has unsaved changes to it, or left some behind."""


def look_around(path: Path, workspace: Workspace) -> Surroundings:
    """Reads the profiles and the records of all runs."""
    records = (RunRecord.read(RunDirectory(folder).record) for folder in _runs(workspace.runs))
    own = str(path.absolute())
    runs = sum(record is not None and record.source_profile == own for record in records)
    drafts = is_edited_elsewhere(workspace.drafts, path) or bool(left_behind(workspace.drafts, path))
    return Surroundings(tuple(_heirs(path)), runs, drafts)


def _runs(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if RUN_ID.fullmatch(path.name))


def _others(path: Path) -> Iterator[Path]:
    return (other for other in sorted(path.parent.glob("*.toml")) if other.resolve() != path.resolve())


def _heirs(path: Path) -> Iterator[Path]:
    """Those beside it that extend it directly; others do so through them."""
    for other in _others(path):
        try:
            parents = lineage_of(other).parents
        except ProfileError:
            continue  # no TOML: whether it extends anything cannot be told
        if parents and parents[0].resolve() == path.resolve():
            yield other


def rename(path: Path, name: str, workspace: Workspace) -> Path:
    """Give the profile at ``path`` the name ``name``; its new path.

    Profiles that extend it go on doing so, and where its own name was the file's, so it is again. At every moment, also after
    a crash, all of them are valid: the new name is there before anything uses it, the old one until nothing does. Raises
    ``UserError`` where the name cannot be used, would be taken for a shipped profile's by others, or a file cannot be written.
    """
    around, new = look_around(path, workspace), _new_path(path, name)
    if around.has_drafts:
        hint = "Open it, and save or discard them first."
        raise UserError("there are unsaved changes to it", where=str(path), hint=hint)
    if new == path:
        return path
    _require_unclaimed(new, path, around)
    linked, followed = _give_name(path, new), 0
    try:
        for heir in around.heirs:
            _name_anew(heir, new.stem)
            followed += 1
        document = ProfileDocument.open(new)
        if _own_name(document) == path.stem:
            document.set("name", new.stem)
            document.save()
        if linked:
            path.unlink()
    except (OSError, UserError) as error:
        raise UserError(f"{_undone(path, new, linked=linked, followed=followed)} ({error})", where=str(path)) from error
    return new


def _undone(path: Path, new: Path, *, linked: bool, followed: int) -> str:
    """Take the new name away again if nobody uses it yet; what became of the names, as a sentence's beginning."""
    if not linked:
        return f"it is named {new.name} now, but not everything could follow"
    if followed:
        return f"both names are there now, {path.name} and {new.name}, for not everything could follow"
    new.unlink(missing_ok=True)
    return "it keeps its name, for not everything could follow"


def _own_name(document: ProfileDocument) -> object:
    try:
        return document.get("name")
    except ProfileError:
        return None


def _new_path(path: Path, name: str) -> Path:
    stem = name.strip().removesuffix(".toml")
    field = profile_field("name")
    too_long = len(stem) > (field.max_length or len(stem))
    if not stem.isascii() or not all(c.isalnum() or c in "._-" for c in stem) or not stem[:1].isalnum() or too_long:
        raise UserError(f"a name must be {field.requirement}")
    new = path.with_name(f"{stem}.toml")
    if new != path and (new.exists() or new.is_symlink()):
        raise UserError(f"{new.name} is there already")
    return new


def _require_unclaimed(new: Path, path: Path, around: Surroundings) -> None:
    """Nobody looks for a profile of that name and finds another one, or none, today."""
    claimed = []
    for other in _others(path):
        try:
            looked_at = lineage_of(other).looked_at
        except ProfileError:
            continue
        if other not in around.heirs and any(candidate.resolve() == new.resolve() for candidate in looked_at):
            claimed.append(other.name)
    if claimed:
        raise UserError(f"{', '.join(claimed)} would extend this profile then: they look for one named {new.stem}")


def _give_name(path: Path, new: Path) -> bool:
    """Whether the file has both names now; where that cannot be, it has the new one only."""
    try:
        if path.is_symlink():
            raise OSError
        os.link(path, new)
    except FileExistsError:
        raise UserError(f"{new.name} is there already") from None
    except OSError:
        try:
            path.rename(new)
        except OSError as error:
            raise UserError(f"it cannot be renamed ({error.strerror})", where=str(path)) from error
        return False
    return True


def _name_anew(heir: Path, stem: str) -> None:
    """Write the ``extends`` line of ``heir`` as it was written, with the new name."""
    document = ProfileDocument.open(heir)
    written = Path(str(document.get(EXTENDS)))
    before = str(document.get(EXTENDS))
    name = f"{stem}{written.suffix if written.suffix == '.toml' else ''}"
    document.set(EXTENDS, before[: len(before) - len(written.name)] + name)
    document.save()
