"""What is known of a picture's file without decoding it, and a memory of it for who looks again and again. Torch-free."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from engine.data.image import PictureFacts, picture_facts, read_image_file


@dataclass(frozen=True)
class Picture:
    """A file that holds a picture."""

    facts: PictureFacts
    digest: str
    """sha256 of the file's content, in hex."""


Look = Callable[[Path], Picture]
"""Reads a picture. Raises ``UnreadableImageError``."""


def look_at_picture(path: Path) -> Picture:
    """The picture in ``path``: the whole file is read. Raises ``UnreadableImageError``."""
    data = read_image_file(path)
    return Picture(picture_facts(data), hashlib.sha256(data).hexdigest())


@dataclass
class KnownPictures:
    """A ``Look`` that reads a file once per version: what was neither written nor replaced since costs a ``stat``."""

    _known: dict[Path, tuple[tuple[int, int, int], Picture]] = field(default_factory=dict)

    def __call__(self, path: Path) -> Picture:
        """The picture in ``path``. Raises ``UnreadableImageError``."""
        try:
            status = path.stat()
        except OSError:
            return look_at_picture(path)  # it says why
        version = status.st_mtime_ns, status.st_size, status.st_ino
        known = self._known.get(path)
        if known is None or known[0] != version:
            self._known[path] = known = version, look_at_picture(path)
        return known[1]
