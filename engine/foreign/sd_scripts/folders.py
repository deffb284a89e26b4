"""Folders of images as sd-scripts names them: ``10_name`` is seen ten times, and "name" is a caption for want of another."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.profile.preflight import images_in

MAX_IMAGES: Final = 200_000


@dataclass(frozen=True)
class Images:
    """What a folder holds."""

    count: int
    captioned: int
    """Of them with a caption file."""


def repeated_folders(parent: Path) -> list[tuple[Path, int, str]]:
    """(folder, repeats, name) of the folders ``N_name`` in ``parent``, by name. Raises ``OSError``."""
    found = []
    for folder in sorted(parent.iterdir()):
        named = folder_repeats(folder.name)
        if named is not None and folder.is_dir() and not folder.name.startswith("."):
            found.append((folder, *named))
    return found


def folder_repeats(name: str) -> tuple[int, str] | None:
    """(10, "a name") for ``10_a name``; None for a name that sd-scripts passes over."""
    head, _, rest = name.partition("_")
    return (int(head), rest) if re.fullmatch(r"\d{1,6}", head) else None


def count_images(folder: Path, extension: str, *, recursive: bool = False) -> Images | None:
    """The images in ``folder``; None where it cannot be read."""
    count = captioned = 0
    try:
        for image in images_in(folder, recursive=recursive):
            count += 1
            captioned += image.with_suffix(extension).is_file()
            if count >= MAX_IMAGES:
                break
    except (OSError, ValueError):
        return None
    return Images(count, captioned)
