"""Which images and captions the sources of a data set hold, with the size and digest of each.

Looks at every file once and decodes none: a picture that turns out to be cut short is found and left out by
``prepare.py``. Folders inside a source are not entered.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.data.errors import DatasetError, PreparationStopped, shown
from engine.data.image import EXTENSIONS, UnreadableImageError, read_image_file, upright_size
from engine.data.progress import Report, ShouldStop, never_stop, report_to_nobody
from engine.data.regular_file import UnreadableFileError, read_regular_file
from engine.demo import locate
from engine.profile.schema import Source

MAX_CAPTION_BYTES: Final = 64 * 1024


@dataclass(frozen=True)
class SourceImage:
    """An image file of a source, as it was when it was scanned."""

    path: Path
    caption: str
    """The text beside it in one line; empty if there is none."""
    repeats: int
    width: int
    """Pixels, upright."""
    height: int
    digest: str
    """sha256 of the file's content, in hex."""

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self.path.name


@dataclass(frozen=True)
class Skipped:
    """A file that was left out."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{shown(self.path)}: {self.reason}"


@dataclass(frozen=True)
class Scan:
    """What the sources hold."""

    images: tuple[SourceImage, ...]
    """By source in the profile's order, then by name; never empty."""
    skipped: tuple[Skipped, ...]
    uncaptioned: tuple[Path, ...]
    """Images without a caption file, which are trained with the empty caption."""
    empty_sources: tuple[Path, ...]
    """Folders that hold nothing that could be an image."""


@dataclass(frozen=True)
class _Folder:
    path: Path
    names: tuple[str, ...]
    has_folders: bool


class _UnreadableCaptionError(Exception):
    """There is a caption file, but not one that can be read; the text says why."""


def scan_sources(
    sources: Sequence[Source], *, report: Report = report_to_nobody, should_stop: ShouldStop = never_stop
) -> Scan:
    """The images of ``sources`` that can be opened, and what was left out of them with the reason.

    Files count by their extension (``image.EXTENSIONS``, any case), hidden ones not at all; links to files are
    followed. A caption is the ``.txt`` file of the same stem: UTF-8, at most 64 KB, white space run together.
    An image whose caption is there but cannot be read is left out, rather than trained with the wrong words.

    Reports "images". Raises ``DatasetError`` if a folder cannot be listed or no image is left,
    ``PreparationStopped`` if asked to.
    """
    folders = [_list_folder(locate(source.path)) for source in sources]
    total = sum(len(folder.names) for folder in folders)
    images: list[SourceImage] = []
    skipped: list[Skipped] = []
    uncaptioned: list[Path] = []
    done = 0
    for source, folder in zip(sources, folders, strict=True):
        for name in folder.names:
            if should_stop():
                raise PreparationStopped
            path = folder.path / name
            try:
                image, has_caption = _scan_image(path, source.repeats)
            except UnreadableImageError as error:
                skipped.append(Skipped(path, str(error)))
            except _UnreadableCaptionError as error:
                skipped.append(Skipped(path, f"its caption {shown(path.with_suffix('.txt').name)}: {error}"))
            else:
                images.append(image)
                if not has_caption:
                    uncaptioned.append(path)
            done += 1
            report("images", done, total)
    if not images:
        raise nothing_left(folders_of(sources), skipped, has_folders=any(folder.has_folders for folder in folders))
    empty = tuple(folder.path for folder in folders if not folder.names)
    return Scan(tuple(images), tuple(skipped), tuple(uncaptioned), empty)


def folders_of(sources: Sequence[Source]) -> list[Path]:
    """The folders that ``sources`` name."""
    return [locate(source.path) for source in sources]


def nothing_left(folders: Sequence[Path], skipped: Sequence[Skipped], *, has_folders: bool = False) -> DatasetError:
    """The error that says why there is no image to train on."""
    where = ", ".join(shown(folder) for folder in folders)
    if not skipped:
        kinds = ", ".join(sorted(EXTENSIONS))
        hint = f"Images end in {kinds}."
        if has_folders:
            hint += " Folders inside are not searched: name each as a source of its own."
        return DatasetError("no image in the data set", where=where, hint=hint)
    shown_reasons = "; ".join(str(one) for one in skipped[:3])
    more = f"; and {len(skipped) - 3} more" if len(skipped) > 3 else ""
    count = "the only image" if len(skipped) == 1 else f"none of {len(skipped)} images"
    verb = "cannot" if len(skipped) == 1 else "can"
    return DatasetError(
        f"{count} {verb} be used: {shown_reasons}{more}", where=where, hint="Replace or re-export them."
    )


def _list_folder(folder: Path) -> _Folder:
    """Names of what could be images, in the order of their bytes."""
    names: list[str] = []
    has_folders = False
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    has_folders = True
                elif Path(entry.name).suffix.lower() in EXTENSIONS:
                    names.append(entry.name)
    except OSError as error:
        raise DatasetError(
            f"the folder of images cannot be read: {error.strerror}",
            where=shown(folder),
            hint="Set dataset.sources to a folder that is there and readable.",
        ) from error
    return _Folder(folder, tuple(sorted(names, key=os.fsencode)), has_folders)


def _scan_image(path: Path, repeats: int) -> tuple[SourceImage, bool]:
    data = read_image_file(path)
    width, height = upright_size(data)
    caption = _read_caption(path.with_suffix(".txt"))
    image = SourceImage(path, caption or "", repeats, width, height, hashlib.sha256(data).hexdigest())
    return image, caption is not None


def _read_caption(path: Path) -> str | None:
    """The caption in one line, or None if there is no such file."""
    try:
        data = read_regular_file(path, limit=MAX_CAPTION_BYTES)
    except UnreadableFileError as error:
        raise _UnreadableCaptionError(str(error)) from error
    if data is None:
        return None
    if b"\0" in data:
        raise _UnreadableCaptionError("not text: it holds a zero byte")
    try:
        return " ".join(data.decode("utf-8-sig").split())
    except UnicodeDecodeError as error:
        raise _UnreadableCaptionError(f"not UTF-8 (byte {error.start + 1})") from error
