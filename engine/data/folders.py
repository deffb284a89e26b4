"""The files of a folder that could be images, by name and in an order that is the same everywhere."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from engine.data.errors import DatasetError, shown
from engine.data.image import EXTENSIONS, UNREAD_EXTENSIONS


@dataclass(frozen=True)
class Folder:
    """What was found in a folder."""

    path: Path
    files: tuple[Path, ...]
    """Relative to ``path``, in the order of their bytes."""
    has_folders: bool
    """There are folders inside, whether or not they were entered."""
    unread: tuple[Path, ...] = ()
    """Pictures of formats that are not read, likewise."""


def list_folder(
    path: Path, *, recursive: bool = False, without: Path | None = None, setting: str = "dataset.sources"
) -> Folder:
    """Files with an image's extension in ``path``, with ``recursive`` also in the folders inside.

    Hidden files and folders do not count, links to folders are not entered, nor is the folder ``without``. Raises
    ``DatasetError``, naming ``setting``, if a folder cannot be listed.
    """
    files: list[Path] = []
    unread: list[Path] = []
    has_folders = False
    waiting = [Path()]
    while waiting:
        below = waiting.pop()
        try:
            with os.scandir(path / below) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        has_folders = True
                        if recursive and not _is_same(path / below / entry.name, without):
                            waiting.append(below / entry.name)
                    elif Path(entry.name).suffix.lower() in EXTENSIONS:
                        files.append(below / entry.name)
                    elif Path(entry.name).suffix.lower() in UNREAD_EXTENSIONS:
                        unread.append(below / entry.name)
        except OSError as error:
            raise DatasetError(
                f"the folder of images cannot be read: {error.strerror}",
                where=shown(path / below),
                hint=f"Set {setting} to a folder that is there and readable.",
            ) from error
    return Folder(path, tuple(sorted(files, key=os.fsencode)), has_folders, tuple(sorted(unread, key=os.fsencode)))


def _is_same(folder: Path, other: Path | None) -> bool:
    return other is not None and os.path.realpath(folder) == os.path.realpath(other)
