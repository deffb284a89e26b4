from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.data.image import MAX_PIXELS, UnreadableImageError, picture_facts, read_image_file, upright_picture
from tests.engine.data.small_data import picture, png_chunk, png_of

ORIENTATION = 0x0112


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def upright_size(data: bytes) -> tuple[int, int]:
    facts = picture_facts(data)
    return facts.width, facts.height


def mean_difference(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).mean())


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP"])
def test_every_format_is_read_as_rgb(format: str) -> None:
    original = picture(40, 24, shade=90)
    data = encoded(original, format, quality=95)
    assert upright_size(data) == (40, 24)
    read = upright_picture(data)
    assert read.mode == "RGB"
    assert mean_difference(read, original) < 3


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, None),
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_270),
        (8, Image.Transpose.ROTATE_90),
    ],
)
def test_a_picture_is_turned_upright_and_its_size_is_known_before(
    format: str, orientation: int, turned: Image.Transpose | None
) -> None:
    original = picture(40, 24)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = encoded(original, format, exif=exif, quality=100)
    expected = original if turned is None else original.transpose(turned)
    read = upright_picture(data)
    assert upright_size(data) == read.size == expected.size
    assert mean_difference(read, expected) < 6


def test_an_orientation_that_stands_behind_the_pixels_of_a_png_is_respected() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    data = encoded(picture(40, 24))
    end = data.index(b"IEND") - 4
    data = data[:end] + png_chunk(b"eXIf", exif.tobytes()[6:]) + data[end:]
    assert upright_size(data) == upright_picture(data).size == (24, 40)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_becomes_white(mode: str) -> None:
    image = Image.new(mode, (2, 1), 0)
    image.putpixel((1, 0), (200, 200, 200, 255) if mode == "RGBA" else (200, 255))
    read = upright_picture(encoded(image))
    assert read.getpixel((0, 0)) == (255, 255, 255)
    assert read.getpixel((1, 0)) == (200, 200, 200)


def test_half_transparent_black_becomes_grey() -> None:
    assert upright_picture(encoded(Image.new("RGBA", (1, 1), (0, 0, 0, 128)))).getpixel((0, 0)) == (127, 127, 127)


def test_a_palette_with_a_transparent_colour_is_read_on_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    read = upright_picture(encoded(image, transparency=0))
    assert read.getpixel((0, 0)) == (255, 255, 255)
    assert read.getpixel((1, 0)) == (0, 0, 255)


def test_sixteen_bit_grey_keeps_its_brightness() -> None:
    levels = np.array([[0, 128 * 256, 65535]], dtype=np.uint16)
    read = upright_picture(encoded(Image.fromarray(levels)))
    assert [read.getpixel((x, 0)) for x in range(3)] == [(0,) * 3, (128,) * 3, (255,) * 3]


def test_the_transparent_level_of_a_sixteen_bit_grey_picture_becomes_white() -> None:
    pixels = b"\0" + struct.pack(">HH", 256 * 90, 256 * 91)
    data = png_of(2, 1, depth=16, pixels=pixels, before=png_chunk(b"tRNS", struct.pack(">H", 256 * 90)))
    read = upright_picture(data)
    assert [read.getpixel((x, 0)) for x in range(2)] == [(255,) * 3, (91,) * 3]


def test_cmyk_is_read_as_rgb() -> None:
    read = upright_picture(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100))
    red, green, blue = np.asarray(read)[8, 8]
    assert red > 240
    assert green < 15
    assert blue < 15


def test_black_and_white_is_read_as_rgb() -> None:
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    read = upright_picture(encoded(image))
    assert [read.getpixel((x, 0)) for x in range(2)] == [(0, 0, 0), (255, 255, 255)]


@pytest.mark.parametrize("side", [7100, 13_000, 20_000])
@pytest.mark.parametrize("read", [upright_size, upright_picture])
def test_too_many_pixels_are_refused_before_they_are_decoded(side: int, read: Any) -> None:
    data = png_of(side, side, depth=1, pixels=b"")
    with pytest.raises(UnreadableImageError, match=f"{MAX_PIXELS:,}"):
        read(data)


def test_the_limits_of_pillow_and_its_warnings_stay_as_they_were() -> None:
    before = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    upright_picture(encoded(picture(8, 8)))
    assert (Image.MAX_IMAGE_PIXELS, list(warnings.filters)) == before


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_picture_cut_short_is_refused(format: str, share: float) -> None:
    data = encoded(Image.effect_noise((64, 64), 60).convert("RGB"), format)
    with pytest.raises(UnreadableImageError):
        upright_picture(data[: int(len(data) * share)])


@pytest.mark.parametrize("format", ["GIF", "TIFF", "PPM"])
def test_another_format_is_refused_whatever_its_name(format: str) -> None:
    with pytest.raises(UnreadableImageError, match="not a PNG, JPEG, WebP or BMP"):
        upright_size(encoded(picture(8, 8), format))


def test_damaged_text_in_a_png_is_a_reason_not_a_crash() -> None:
    data = encoded(picture(8, 8))
    bomb = png_chunk(b"zTXt", b"comment\0\0" + zlib.compress(b"x" * 80_000_000))
    start = data.index(b"IDAT") - 4
    with pytest.raises(UnreadableImageError):
        upright_size(data[:start] + bomb + data[start:])


def test_files_that_are_no_regular_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "empty.png").touch()
    for name in ("pipe", "folder", "loop", "zero", "empty", "missing"):
        with pytest.raises(UnreadableImageError):
            read_image_file(tmp_path / f"{name}.png")


def test_a_huge_file_is_refused_without_reading_it(tmp_path: Path) -> None:
    with (tmp_path / "huge.bmp").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UnreadableImageError, match="more than"):
        read_image_file(tmp_path / "huge.bmp")
