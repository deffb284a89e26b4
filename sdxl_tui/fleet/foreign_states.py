"""Folders of sd-scripts (training states, LoRA files, TensorBoard event files) that the workspace shows beside its own runs.

``WORKSPACE/state-folders.json`` names them; nothing in them is ever changed. Looking is bounded in depth and number and follows
no link, so that a folder of anything may be named. What is found is read once, by headers, and remembered.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final

from engine.durable import write_json_atomically
from engine.errors import UserError
from engine.foreign.errors import ForeignFileError
from engine.foreign.lora_facts import LoraFacts, read_lora_facts
from engine.foreign.sd_scripts_state import SdScriptsState, is_sd_scripts_state, read_sd_scripts_state, schedule_kind
from engine.run.records import as_int, read_json_object
from engine.user_path import absolute_user_path
from sdxl_tui.fleet.foreign_keys import FOREIGN_KEY
from sdxl_tui.fleet.stored_facts import StoredFacts, facts_of_foreign
from sdxl_tui.fleet.watched.event_folder import HPARAMS_FOLDER, event_file_began
from sdxl_tui.workspace import Workspace

FORMAT: Final = 1
DEPTH: Final = 4
"""Folders below the named one that are looked into."""
LOOKED_AT: Final = 20_000
"""Names in one named folder, after which looking ends."""
SHOWN: Final = 500
"""States and files of one named folder."""
RUN_RECORD: Final = "run.json"
LOOK_SECONDS: Final = 10.0
"""Between two looks into the folders."""


class StateFolderError(UserError):
    """A folder that cannot be shown, or a list of them that cannot be read or written."""


@dataclass(frozen=True)
class ForeignProblem:
    """Why a state or file cannot be read, in a line."""

    reason: str


ForeignFacts = SdScriptsState | LoraFacts | ForeignProblem


@dataclass(frozen=True)
class ForeignEntry:
    """A state's folder or a LoRA file and, once it was read, what it tells."""

    path: Path
    is_state: bool
    changed: float
    """Unix seconds: when names in the folder, or the file, last changed."""
    described: ForeignFacts | None = None

    @property
    def key(self) -> str:
        """Unique, and no run's id: two slashes before the path."""
        return f"{FOREIGN_KEY}{self.path}"

    @cached_property
    def facts(self) -> StoredFacts | None:
        """The numbers that are stored; None where it cannot be read, or was not yet."""
        found = self.described
        return None if found is None or isinstance(found, ForeignProblem) else facts_of_foreign(found, self.changed)

    @property
    def step(self) -> int | None:
        """As far as it is stored."""
        return self.facts.step if self.facts else None

    @property
    def pinned(self) -> bool:
        """Nothing of sd-scripts can be pinned."""
        return False

    @cached_property
    def words(self) -> str:
        """What a filter looks for words in: where it lies, what it is, ``damaged`` where it cannot be read; lower case."""
        words, found = [str(self.path), "sd-scripts", "state" if self.is_state else "lora"], self.described
        if isinstance(found, SdScriptsState):
            words += [schedule_kind(found)[0] or "", found.optimizer or ""]
        elif isinstance(found, LoraFacts):
            words += [found.text("ss_lr_scheduler") or "", found.kind]
        elif found is not None:
            words.append("damaged")
        return "\n".join(words).lower()


@dataclass(frozen=True)
class StateFolder:
    """A named folder and what was found in it, newest first."""

    path: Path
    entries: tuple[ForeignEntry, ...] = ()
    events: tuple[Path, ...] = ()
    """The folders in it that hold TensorBoard event files: a run each (``fleet.watched``)."""
    problem: str = ""
    """Why it cannot be listed, or that there is more in it than is shown; empty if neither."""

    @property
    def key(self) -> str:
        """Another than that of a state that is the named folder itself."""
        return f"{FOREIGN_KEY}{self.path}/"

    @property
    def is_unreadable(self) -> bool:
        """It is not that nothing is in it: it cannot be listed."""
        return bool(self.problem) and not self.entries and not self.events

    @property
    def counted(self) -> str:
        """``2 runs, 3 states, 1 LoRA file``"""
        states = sum(entry.is_state for entry in self.entries)
        counts = ((len(self.events), "run"), (states, "state"), (len(self.entries) - states, "LoRA file"))
        words = ", ".join(f"{count:,} {what}{'s' * (count != 1)}" for count, what in counts if count)
        return words or "no run, state or LoRA file yet"

    @property
    def title(self) -> str:
        """What it is called in a list."""
        return self.path.name or str(self.path)


def read_folders(workspace: Workspace) -> tuple[Path, ...]:
    """The named folders in the order they were added. Raises ``StateFolderError`` for a list that cannot be read."""
    path = workspace.state_folders
    if not path.exists():
        return ()
    stored = read_json_object(path)
    version = as_int(stored.get("format")) if stored else None
    folders = stored.get("folders") if stored else None
    if version is not None and version > FORMAT:
        raise StateFolderError(f"it was written by a newer version (format {version})", where=str(path))
    if version != FORMAT or not isinstance(folders, list) or not all(isinstance(item, str) for item in folders):
        raise StateFolderError(
            "is not a list of folders", where=str(path), hint="Remove it, then add them again: sdxl-tui folders add DIR"
        )
    return tuple(Path(item) for item in folders)


def add_folder(workspace: Workspace, folder: Path) -> bool:
    """Show ``folder`` from now on; False if it was shown already. Raises ``StateFolderError`` if it is no folder."""
    folder = Path(os.path.normpath(absolute_user_path(folder)))
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "there is no such folder"
        raise StateFolderError(what, where=str(folder), hint="Name the folder that the states lie in.")
    if folder.is_relative_to(workspace.runs.absolute()):
        raise StateFolderError("runs of this workspace are shown already", where=str(folder))
    folders = read_folders(workspace)
    if folder in folders:
        return False
    _write(workspace, (*folders, folder))
    return True


def remove_folder(workspace: Workspace, folder: Path) -> Path:
    """Show ``folder`` no longer; the folder itself stays as it is. Raises ``StateFolderError`` if it was not shown."""
    wanted = Path(os.path.normpath(absolute_user_path(folder)))
    folders = read_folders(workspace)
    if wanted not in folders:
        listed = ", ".join(map(str, folders))
        hint = f"These are: {listed}" if folders else "None is. Add one: sdxl-tui folders add DIR"
        raise StateFolderError("is not among the folders that are shown", where=str(wanted), hint=hint)
    _write(workspace, tuple(item for item in folders if item != wanted))
    return wanted


def _write(workspace: Workspace, folders: tuple[Path, ...]) -> None:
    stored = {"format": FORMAT, "folders": [str(item) for item in folders]}
    try:
        write_json_atomically(workspace.state_folders, stored)
    except (OSError, UnicodeEncodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "a name is not UTF-8"
        raise StateFolderError(f"cannot be written: {reason}", where=str(workspace.state_folders)) from error


def find_states(folder: Path) -> StateFolder:
    """The states, LoRA files and event files in ``folder``, not read yet."""
    found = _Found()
    try:
        if is_sd_scripts_state(folder):
            return StateFolder(folder, (ForeignEntry(folder, True, folder.stat().st_mtime),))
        found.look_through(folder)
    except OSError as error:
        return StateFolder(folder, problem=f"cannot be listed: {error.strerror}")
    found.entries.sort(key=lambda entry: -entry.changed)
    problem = ""
    if len(found.entries) > SHOWN:
        problem = f"{len(found.entries):,} found: only the newest {SHOWN} are shown"
    elif len(found.events) > SHOWN:
        problem = f"{len(found.events):,} runs found: only the newest {SHOWN} are shown"
    elif found.left < 0:
        problem = f"more than {LOOKED_AT:,} names: not all of it was looked at"
    return StateFolder(
        folder, tuple(found.entries[:SHOWN]), tuple(sorted(path for _, path in sorted(found.events)[-SHOWN:])), problem
    )


@dataclass
class _Found:
    """What is found, the nearest first, so that a deep folder of many names hides nothing beside it."""

    entries: list[ForeignEntry] = field(default_factory=list)
    events: list[tuple[float, Path]] = field(default_factory=list)
    """When the newest event file in each was written (Unix seconds), and the folder."""
    left: int = field(default_factory=lambda: LOOKED_AT)
    """Names that may still be looked at."""

    def look_through(self, folder: Path) -> None:
        """Raises ``OSError`` only for the named folder itself; deeper ones that cannot be listed are passed over."""
        level = self._look_into(folder)
        for _ in range(DEPTH):
            deeper: list[Path] = []
            for path in level:
                if self.left < 0:
                    return
                try:
                    if is_sd_scripts_state(path):
                        self.entries.append(ForeignEntry(path, True, path.stat().st_mtime))
                    else:
                        deeper += self._look_into(path)
                except OSError:
                    continue
            level = deeper

    def _look_into(self, folder: Path) -> list[Path]:
        """The folders in it."""
        deeper, newest = [], (-1, "")
        with os.scandir(folder) as names:
            for name in names:
                self.left -= 1
                if self.left < 0:
                    break
                try:
                    if name.is_dir(follow_symlinks=False):
                        deeper.append(Path(name.path))
                    elif name.name.endswith(".safetensors") and name.is_file(follow_symlinks=False):
                        changed = name.stat(follow_symlinks=False).st_mtime
                        self.entries.append(ForeignEntry(Path(name.path), False, changed))
                    elif (began := event_file_began(name.name)) is not None and name.is_file(follow_symlinks=False):
                        newest = max(newest, (began, name.path))
                except OSError:
                    continue
        if newest[1] and not (folder.parent / RUN_RECORD).exists():  # a run of ours may log for TensorBoard, too
            self.events.append((_changed(Path(newest[1])), folder))
        if newest[1]:  # a run's settings, which accelerate keeps as if they were a run
            deeper = [path for path in deeper if not HPARAMS_FOLDER.fullmatch(path.name)]
        return sorted(deeper)


def _changed(path: Path) -> float:
    try:
        return path.stat(follow_symlinks=False).st_mtime
    except OSError:
        return 0.0


@dataclass
class StateShelf:
    """Lists the folders and remembers what was read in them. Threads may share it, as ``CheckpointShelf``."""

    workspace: Workspace
    _described: dict[Path, tuple[float, ForeignFacts]] = field(default_factory=dict)
    _folders: tuple[StateFolder, ...] = ()
    _looked: tuple[tuple[Path, ...], float] = ((), 0.0)

    def read(self) -> tuple[StateFolder, ...]:
        """The folders now, looked into at most every few seconds. Raises ``StateFolderError``."""
        named = read_folders(self.workspace)
        if named != self._looked[0] or time.monotonic() - self._looked[1] >= LOOK_SECONDS:
            self._folders = tuple(find_states(folder) for folder in named)
            self._looked = (named, time.monotonic())
        return tuple(
            replace(folder, entries=tuple(self.known(entry) for entry in folder.entries)) for folder in self._folders
        )

    def known(self, entry: ForeignEntry) -> ForeignEntry:
        """The entry with what was read of it; looks at no disk."""
        read = self._described.get(entry.path)
        return replace(entry, described=read[1]) if read and read[0] == entry.changed else entry

    def describe(self, entry: ForeignEntry) -> ForeignFacts:
        """What it tells, read now unless it was read before."""
        known = self._described.get(entry.path)
        if known is None or known[0] != entry.changed:
            self._described[entry.path] = known = (entry.changed, _read(entry))
        return known[1]


def _read(entry: ForeignEntry) -> ForeignFacts:
    try:
        return read_sd_scripts_state(entry.path) if entry.is_state else read_lora_facts(entry.path)
    except ForeignFileError as error:
        return ForeignProblem(error.what)
    except OSError as error:
        return ForeignProblem(f"cannot be read: {error.strerror}")
