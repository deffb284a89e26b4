"""Captions in one file for a whole folder: sd-scripts' metadata JSON and Hugging Face's ``metadata.jsonl``.

sd-scripts (``merge_captions_to_metadata.py``, ``tag_images_by_wd14_tagger.py``) writes an object whose keys are paths or
stems and whose values have ``caption`` and ``tags``; ``imagefolder`` reads one object a line with ``file_name`` and ``text``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from engine.data.captions import lines_of
from engine.data.errors import DatasetError, shown
from engine.data.regular_file import UnreadableFileError, read_regular_file

MAX_METADATA_BYTES: Final = 256 * 2**20

_NAMES: Final = ("file_name", "image", "image_path", "path")
_TEXTS: Final = ("text", "caption")


class Metadata:
    """The captions of one metadata file, by whatever it calls its images."""

    def __init__(self, path: Path, captions: Mapping[str, tuple[str, ...]]) -> None:
        """captions: lines by key."""
        self.path = path
        self._captions = dict(captions)
        self._used: set[str] = set()

    def lines(self, image: Path, folder: Path) -> tuple[str, ...] | None:
        """The caption of ``image``, a file in or below ``folder``; None if the file does not name it.

        Tried in this order: its absolute path, its path from the folder with and without ending, its name, its stem.
        """
        relative = PurePosixPath(image.relative_to(folder).as_posix())
        for key in (str(image), str(relative), str(relative.with_suffix("")), image.name, image.stem):
            if key in self._captions:
                self._used.add(key)
                return self._captions[key]
        return None

    @property
    def unused(self) -> tuple[str, ...]:
        """The keys that no image has asked for so far."""
        return tuple(key for key in self._captions if key not in self._used)

    def __len__(self) -> int:
        return len(self._captions)


def read_metadata(path: Path) -> Metadata:
    """The captions in ``path``. Raises ``DatasetError`` naming the line if it is neither of the two formats.

    Of an entry with both, the caption comes first and the tags behind it, as in sd-scripts. A list of captions is one with
    several lines, a list of tags is joined with commas. Entries without any text are left out.
    """
    try:
        data = read_regular_file(path, limit=MAX_METADATA_BYTES)
    except UnreadableFileError as error:
        raise _refused(path, str(error)) from error
    if data is None:
        raise _refused(path, "there is no such file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refused(path, f"not UTF-8 (byte {error.start + 1})") from error
    captions = {}
    for key, entry in _entries(text, path):
        lines = _caption(entry)
        if lines:
            captions[_normal(key)] = lines
    if not captions:
        raise _refused(path, "it holds no caption")
    return Metadata(path, captions)


def _entries(text: str, path: Path) -> Iterator[tuple[str, Any]]:
    """Key and entry of every image, in whichever of the formats the file is."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        yield from _lines(text, path)
        return
    if isinstance(whole, list):
        yield from (_record(entry, path, f"entry {number}") for number, entry in enumerate(whole, 1))
    elif isinstance(whole, dict) and _name_in(whole) is not None:
        yield _record(whole, path, "line 1")
    elif isinstance(whole, dict):
        yield from whole.items()
    else:
        raise _refused(path, "it is neither an object nor a list of objects")


def _lines(text: str, path: Path) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _refused(path, f"line {number} is no JSON: {error}") from error
        yield _record(entry, path, f"line {number}")


def _record(entry: Any, path: Path, place: str) -> tuple[str, Any]:
    name = _name_in(entry) if isinstance(entry, dict) else None
    if name is None:
        raise _refused(path, f"{place} has no file_name")
    return name, entry


def _name_in(entry: Mapping[str, Any]) -> str | None:
    return next((entry[name] for name in _NAMES if isinstance(entry.get(name), str)), None)


def _caption(entry: Any) -> tuple[str, ...]:
    """The lines of an entry; none if it holds no text."""
    if isinstance(entry, str):
        return lines_of(entry)
    if not isinstance(entry, dict):
        return ()
    captions = next((found for name in _TEXTS if (found := _texts(entry.get(name)))), ())
    tags = ", ".join(_texts(entry.get("tags")))
    if not tags:
        return captions
    return tuple(f"{caption}, {tags}" for caption in captions) or (" ".join(tags.split()),)


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return lines_of(value)
    if isinstance(value, list):
        return tuple(" ".join(item.split()) for item in value if isinstance(item, str) and item.strip())
    return ()


def _normal(key: str) -> str:
    return key.replace("\\", "/").removeprefix("./")


def _refused(path: Path, reason: str) -> DatasetError:
    return DatasetError(
        f"the metadata of a source cannot be read: {reason}",
        where=shown(path),
        hint="It is sd-scripts' JSON (an object by path or stem) or JSONL with file_name and text on each line.",
    )
