"""Pictures for a terminal, such as a run's samples: found by step, decoded within limits, and made small. Call it in threads.

Files in a run's folder are material from outside: only regular files of the usual formats are opened, and only up to a number
of pixels, which is asked of the header before anything is decoded.
"""

from __future__ import annotations

import io
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.errors import UserError
from engine.run.layout import RunDirectory
from sdxl_tui.fleet.run_page import SAMPLE_NAME
from sdxl_tui.terminal.pictures import LONGEST, PngPicture

if TYPE_CHECKING:
    from PIL.Image import Image

PIXEL_LIMIT: Final = 64_000_000
"""Of a picture that is decoded: 8,000 × 8,000."""
BYTE_LIMIT: Final = 256_000_000
FORMATS: Final = ("PNG", "JPEG", "WEBP", "BMP")
ORIENTATION: Final = 0x0112
"""EXIF's tag of how a picture was held; 1: upright."""


class PictureError(UserError):
    """A picture that cannot be shown."""


@dataclass(frozen=True)
class Picture:
    """Colours in rows from the top: ``rgb`` has 3 bytes a pixel. Height is even: two pixels to a cell."""

    width: int
    height: int
    rgb: bytes

    @property
    def rows(self) -> int:
        """Lines of a terminal."""
        return self.height // 2

    def pixel(self, x: int, y: int) -> tuple[int, int, int]:
        """Red, green and blue, each in 0 to 255."""
        at = 3 * (y * self.width + x)
        return self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]


def samples_by_step(run: RunDirectory) -> dict[int, tuple[Path, ...]]:
    """The run's sample files by the step they were drawn at, by number, lowest step first; none if there is no such folder."""
    found: dict[int, list[tuple[int, Path]]] = {}
    try:
        names = os.listdir(run.samples)  # noqa: PTH208 - names are all that is needed
    except OSError:
        return {}
    for name in names:
        if match := SAMPLE_NAME.fullmatch(name):
            found.setdefault(int(match[1]), []).append((int(match[2]), run.samples / name))
    return {step: tuple(path for _, path in sorted(found[step])) for step in sorted(found)}


def sample_number(path: Path) -> int:
    """Which prompt of the profile a sample was drawn from, counted from 0."""
    match = SAMPLE_NAME.fullmatch(path.name)
    return int(match[2]) if match else 0


def read_picture(path: Path, columns: int, rows: int) -> Picture:
    """The picture in ``path``, as large as fits ``columns`` × ``rows`` cells of a terminal, its shape kept.

    Raises ``PictureError`` for what is no picture, is damaged, or is larger than ``PIXEL_LIMIT``.
    """
    with _opened(path) as image:
        width, height = image.size
        scale = min(columns / width, 2 * rows / height)
        size = max(1, round(width * scale)), max(2, round(height * scale / 2) * 2)
        return Picture(*size, _shrunk(image, size).tobytes())


def read_png(path: Path, columns: int, rows: int, cell: tuple[int, int]) -> PngPicture:
    """The picture in ``path`` as a PNG for a terminal that draws pictures: no more pixels than it has or has room for.

    cell: width and height of a terminal's cell in pixels. Raises ``PictureError`` like ``read_picture``.
    """
    with _opened(path) as image:
        width, height = image.size
        scale = min(min(columns, LONGEST) * cell[0] / width, min(rows, LONGEST) * cell[1] / height)
        shown = width * scale, height * scale
        across, down = (max(1, math.ceil(length / side - 0.01)) for length, side in zip(shown, cell, strict=True))
        sent = max(1, round(min(width, shown[0]))), max(1, round(min(height, shown[1])))
        data = io.BytesIO()
        _shrunk(image, sent).save(data, "PNG")
        return PngPicture(data.getvalue(), across, down)


@contextmanager
def _opened(path: Path) -> Iterator[Image]:
    """The picture in ``path``, upright; as a rule not decoded yet."""
    from PIL import Image, ImageOps, UnidentifiedImageError  # noqa: PLC0415 - slow, and needed by this alone

    try:
        with Image.open(io.BytesIO(_read(path)), formats=FORMATS) as opened:
            width, height = opened.size
            if width * height > PIXEL_LIMIT:
                raise PictureError(f"has {width:,} × {height:,} pixels: too many to show", where=path.name)
            is_upright = opened.getexif().get(ORIENTATION, 1) == 1
            yield opened if is_upright else ImageOps.exif_transpose(opened)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        raise PictureError("cannot be read as a picture", where=path.name) from error


def _shrunk(image: Image, size: tuple[int, int]) -> Image:
    """In this size, or as it is if that is its own."""
    from PIL import Image  # noqa: PLC0415

    image.draft("RGB", (2 * size[0], 2 * size[1]))
    whole = _flattened(image)
    return whole if whole.size == size else whole.resize(size, Image.Resampling.BOX)


def _flattened(image: Image) -> Image:
    """On black where it is transparent, in RGB."""
    from PIL import Image  # noqa: PLC0415

    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    whole = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", whole.size, (0, 0, 0, 255)), whole).convert("RGB")


def _read(path: Path) -> bytes:
    """The bytes of a regular file; a pipe or a device is refused without waiting for it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > BYTE_LIMIT:
            raise PictureError("is no picture of a usual size", where=path.name)
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return file.read(BYTE_LIMIT)
    finally:
        os.close(descriptor)
