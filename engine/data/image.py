"""Image files as upright RGB pictures: untrusted bytes in, a size or a picture or a reason why not out.

Only the five formats of a training set are opened, whatever a file's name claims. Colours are taken as they are: an
embedded profile is not applied.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from engine.data.regular_file import UnreadableFileError, read_regular_file

EXTENSIONS: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
UNREAD_EXTENSIONS: Final = frozenset(
    {".avif", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jxl", ".tga", ".tif", ".tiff"}
)
"""Of pictures that are not read: named rather than passed over, since people take them for part of the set."""
MAX_PIXELS: Final = 50_000_000
MAX_FILE_BYTES: Final = 512 * 2**20

BACKGROUNDS: Final = {"white": (255, 255, 255), "grey": (128, 128, 128), "black": (0, 0, 0)}
"""What may stand behind what is transparent, by the name a profile gives it."""

_FORMATS: Final = ("PNG", "JPEG", "WEBP", "BMP")
_QUARTER_TURNS: Final = frozenset({5, 6, 7, 8})
# A PNG may carry its orientation after the pixels; only a file with one of these marks can have any.
_PNG_ORIENTATION_MARKS: Final = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp", b"Raw profile type xmp")


class UnreadableImageError(Exception):
    """The file is no picture that can be used; the text says why, without naming the file."""


def read_image_file(path: Path) -> bytes:
    """The bytes of a regular file of at most ``MAX_FILE_BYTES``; ``UnreadableImageError`` for anything else."""
    try:
        data = read_regular_file(path, limit=MAX_FILE_BYTES)
    except UnreadableFileError as error:
        raise UnreadableImageError(str(error)) from error
    if data is None:
        raise UnreadableImageError("there is no such file")
    if not data:
        raise UnreadableImageError("the file is empty")
    return data


@dataclass(frozen=True)
class PictureFacts:
    """What the header of a picture tells."""

    width: int
    """Pixels, once it is turned upright."""
    height: int
    is_transparent: bool
    """It has an alpha channel or a transparent colour."""
    is_animated: bool


def picture_facts(data: bytes) -> PictureFacts:
    """Size and kind of the picture in ``data``; reads the header only.

    ``UnreadableImageError`` if there is no such picture or it has more than ``MAX_PIXELS``.
    """
    with _opened(data) as image:
        width, height = image.size
        if _orientation(image, data) in _QUARTER_TURNS:
            width, height = height, width
        return PictureFacts(width, height, image.has_transparency_data, getattr(image, "is_animated", False))


def upright_picture(data: bytes, background: str = "white") -> Image.Image:
    """The picture in ``data`` in mode RGB, turned upright as its EXIF orientation says, what is transparent on ``background``.

    ``UnreadableImageError`` if it is cut short, damaged, of another format or has more than ``MAX_PIXELS``. Of an
    animation it is the first frame; of 16 bits per channel the upper 8 count.
    """
    with _opened(data) as image:
        image.load()
        whole = _with_alpha(ImageOps.exif_transpose(image))
        if whole.mode != "RGBA":
            return whole
        ground = Image.new("RGBA", whole.size, BACKGROUNDS[background])
        return Image.alpha_composite(ground, whole).convert("RGB")


def upright_alpha(data: bytes) -> Image.Image:
    """The opacity of the picture in ``data`` in mode L, turned upright: 255 is opaque. Errors as of ``upright_picture``."""
    with _opened(data) as image:
        image.load()
        whole = _with_alpha(ImageOps.exif_transpose(image))
        return whole.getchannel("A") if whole.mode == "RGBA" else Image.new("L", whole.size, 255)


def upright_grey(data: bytes) -> Image.Image:
    """The picture in ``data`` in mode L, turned upright, what is transparent on black. Errors as of ``upright_picture``."""
    return upright_picture(data, "black").convert("L")


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """The picture with its header read. Whatever Pillow raises inside the block becomes an ``UnreadableImageError``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(BytesIO(data), formats=_FORMATS) as image:
                pixels = image.width * image.height
                if pixels > MAX_PIXELS:
                    raise UnreadableImageError(f"{pixels:,} pixels: more than the {MAX_PIXELS:,} that are accepted")
                yield image
    except (UnreadableImageError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableImageError(f"more pixels than the {MAX_PIXELS:,} that are accepted") from error
    except UnidentifiedImageError as error:
        raise UnreadableImageError("not a PNG, JPEG, WebP or BMP picture") from error
    except Exception as error:
        # Decoders meet damage with nearly any exception: OSError, ValueError, SyntaxError, struct's, zlib's …
        raise UnreadableImageError(f"damaged: {error}") from error


def _orientation(image: Image.Image, data: bytes) -> int:
    if image.format == "PNG" and not any(mark in data for mark in _PNG_ORIENTATION_MARKS):
        return 1  # Asking Pillow would decode the whole picture to look behind it.
    value = image.getexif().get(ExifTags.Base.Orientation, 1)
    return value if isinstance(value, int) else 1


def _with_alpha(image: Image.Image) -> Image.Image:
    """``image`` as RGBA where anything in it may be transparent, else as RGB."""
    transparent = None
    if image.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion may clip at 255 instead of scaling.
        levels = np.asarray(image)
        key = image.info.get("transparency")
        if isinstance(key, int):
            transparent = Image.fromarray(np.where(levels == key, 0, 255).astype(np.uint8))
        image = Image.fromarray((levels >> 8).clip(0, 255).astype(np.uint8))
    if transparent is not None:
        image.putalpha(transparent)
    return image.convert("RGBA" if image.has_transparency_data else "RGB")
