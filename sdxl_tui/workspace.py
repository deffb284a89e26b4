"""The workspace: the one folder in which everything of value lies, and how it is found.

On rented machines only one volume persists, so profiles, runs and caches stay together. What is in a run is left to
``engine.run``, finding runs to ``fleet.runs``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.errors import UserError

ENVIRONMENT_NAME: Final = "SDXL_TUI_WORKSPACE"
DEFAULT_FOLDER: Final = "~/sdxl-tui"


class WorkspaceError(UserError):
    """A folder that cannot be the workspace."""


@dataclass(frozen=True)
class Workspace:
    """A folder with ``profiles/``, ``runs/`` and ``cache/``. Nothing is made before ``create``."""

    path: Path

    @property
    def profiles(self) -> Path:
        """The user's profiles."""
        return self.path / "profiles"

    @property
    def runs(self) -> Path:
        """One folder per run."""
        return self.path / "runs"

    @property
    def cache(self) -> Path:
        """Latents and text embeddings, shared between runs."""
        return self.path / "cache"

    @property
    def queue(self) -> Path:
        """The runs that wait, one file per machine."""
        return self.path / "queue"

    @property
    def drafts(self) -> Path:
        """Unsaved text of profiles that are being edited; absent until there is any."""
        return self.path / "drafts"

    @property
    def state_folders(self) -> Path:
        """The list of folders with states of sd-scripts that are shown beside the runs; absent until one is added."""
        return self.path / "state-folders.json"

    @property
    def exists(self) -> bool:
        """It has the two folders that make a workspace."""
        return self.runs.is_dir() and self.profiles.is_dir()

    @property
    def read_only(self) -> bool:
        """It is there, and this user cannot change it: mounted so, or another one's. One can watch, and no more."""
        return self.runs.is_dir() and not os.access(self.runs, os.W_OK | os.X_OK)

    def create(self) -> None:
        """Make what is missing of it. Raises ``WorkspaceError`` if it is no folder or cannot be written."""
        try:
            for folder in (self.path, self.profiles, self.runs, self.cache):
                folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise self._unusable("is a file, not a folder", error.filename) from error
        except NotADirectoryError as error:
            raise self._unusable("lies under a file, not a folder", error.filename) from error
        except OSError as error:
            raise self._unusable(f"cannot be made: {error.strerror}", error.filename) from error
        for folder in (self.path, self.profiles, self.runs, self.cache):
            if not os.access(folder, os.W_OK | os.X_OK):
                raise self._unusable("cannot be written", str(folder))

    def _unusable(self, what: str, where: str | None) -> WorkspaceError:
        return WorkspaceError(
            f"the workspace {what}",
            where=where or str(self.path),
            hint=f"Name another folder with --workspace DIR or ${ENVIRONMENT_NAME}.",
        )


def find_workspace(option: str | None = None) -> Workspace:
    """The workspace to use; it need not exist yet.

    The first of: ``option`` (``--workspace``), ``$SDXL_TUI_WORKSPACE``, the current folder if it is a workspace,
    ``~/sdxl-tui``.
    """
    named = option or os.environ.get(ENVIRONMENT_NAME)
    if named:
        return Workspace(_absolute(named))
    try:
        here = Workspace(Path.cwd())
    except FileNotFoundError:  # the current folder was deleted
        return Workspace(_absolute(DEFAULT_FOLDER))
    return here if here.exists else Workspace(_absolute(DEFAULT_FOLDER))


def _absolute(text: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise WorkspaceError(
            "the home folder is not known", where=text, hint="Name a folder with --workspace DIR."
        ) from error
    except FileNotFoundError as error:
        raise WorkspaceError(
            "the current folder no longer exists", where=text, hint="Name an absolute path."
        ) from error
