"""A folder of what people really have: each image is trained right, or left out by name with the reason."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.data.image import picture_facts, upright_alpha, upright_picture
from engine.data.outlook_command import outlook
from engine.data.prepare import prepare
from engine.data.scan import scan_sources
from engine.profile.load import parse_profile
from engine.profile.schema import Source
from tests.engine.data.small_data import SmallEncoders, add_image, dataset, picture, png_chunk, png_of


def sixteen_bit_rgb(width: int, height: int, level: int) -> bytes:
    """A PNG of 16 bits per channel, which Pillow cannot write."""
    row = b"\0" + struct.pack(">HHH", level, level, level) * width
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(row * height)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + body


def palette_with_alpha() -> bytes:
    """A palette of two colours, the first of them half transparent."""
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    file = io.BytesIO()
    image.save(file, "PNG", transparency=b"\x80\xff")
    return file.getvalue()


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def test_sixteen_bits_per_channel_keep_their_brightness() -> None:
    assert upright_picture(sixteen_bit_rgb(2, 2, 0x80FF)).getpixel((0, 0)) == (128,) * 3


def test_a_palette_of_several_transparencies_is_seen_on_the_background() -> None:
    data = palette_with_alpha()
    assert picture_facts(data).is_transparent
    assert upright_picture(data, "white").getpixel((0, 0)) == (127,) * 3
    assert upright_picture(data, "black").getpixel((0, 0)) == (0,) * 3
    assert upright_picture(data, "black").getpixel((1, 0)) == (0, 0, 255)
    assert [upright_alpha(data).getpixel((x, 0)) for x in range(2)] == [128, 255]


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_of_an_animation_the_first_frame_is_taken_and_it_is_known_to_be_one(format: str) -> None:
    frames = [Image.new("RGB", (16, 16), (level, 0, 0)) for level in (250, 100, 10)]
    data = encoded(
        frames[0], format, save_all=True, append_images=frames[1:], **({"lossless": True} if format == "WEBP" else {})
    )
    assert picture_facts(data).is_animated
    assert upright_picture(data).getpixel((8, 8)) == (250, 0, 0)
    assert not picture_facts(encoded(frames[0], format)).is_animated


@pytest.mark.parametrize("mode", ["RGBA", "LA", "RGB", "L", "CMYK", "P"])
def test_what_can_be_transparent_is_known_from_the_header(mode: str) -> None:
    format = "JPEG" if mode == "CMYK" else "PNG"
    assert picture_facts(encoded(picture(8, 8).convert(mode), format)).is_transparent == (mode in {"RGBA", "LA"})


def test_a_turned_images_alpha_is_turned_with_it() -> None:
    image = picture(40, 24)
    image.putalpha(Image.linear_gradient("L").resize((40, 24)))
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(image, "PNG", exif=exif)
    alpha = np.asarray(upright_alpha(data))
    assert alpha.shape == (40, 24)
    assert np.array_equal(alpha, np.asarray(image.getchannel("A").transpose(Image.Transpose.ROTATE_270)))


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """Good, odd and bad files in one folder."""
    folder = tmp_path / "zoo"
    add_image(folder / "good.png", 96, 96, caption="good")
    (folder / "grey_alpha.png").write_bytes(encoded(picture(96, 96, 1).convert("LA"), "PNG"))
    (folder / "cmyk.jpg").write_bytes(encoded(picture(96, 96, 2).convert("CMYK"), "JPEG"))
    (folder / "deep.png").write_bytes(sixteen_bit_rgb(96, 96, 999))
    (folder / "palette.png").write_bytes(palette_with_alpha())
    (folder / "really_a_webp.jpg").write_bytes(encoded(picture(96, 96, 3), "WEBP"))
    frames = [picture(96, 96, level) for level in (4, 200)]
    (folder / "moving.webp").write_bytes(encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    (folder / "pixel.png").write_bytes(encoded(Image.new("RGB", (1, 1), (1, 2, 3)), "PNG"))
    (folder / "copy.png").write_bytes((folder / "good.png").read_bytes())
    (folder / "a_gif.png").write_bytes(encoded(picture(96, 96), "GIF"))
    (folder / "zero.jpg").touch()
    (folder / "bomb.png").write_bytes(png_of(20_000, 20_000, depth=1, pixels=b""))
    (folder / "text.webp").write_text("<html>404</html>")
    cut = encoded(Image.effect_noise((96, 96), 60).convert("RGB"), "PNG")
    (folder / "cut.png").write_bytes(cut[: len(cut) // 2])
    return folder


def test_a_folder_of_everything(zoo: Path) -> None:
    heard: list[str] = []
    encoders = SmallEncoders()
    data = prepare(dataset(zoo), zoo.parent / "cache", encoders, warn=lambda message, where, /: heard.append(message))
    good = {"good.png", "grey_alpha.png", "cmyk.jpg", "deep.png", "palette.png", "really_a_webp.jpg", "moving.webp"}
    assert {item.image.name for item in data.items} == good | {"pixel.png", "copy.png"}
    report = data.report(1)
    reasons = {one.path.name: one.reason for one in report.skipped}
    assert set(reasons) == {"a_gif.png", "zero.jpg", "bomb.png", "text.webp", "cut.png"}
    assert "not a PNG, JPEG, WebP or BMP picture" in reasons["a_gif.png"] == reasons["text.webp"]
    assert reasons["zero.jpg"] == "the file is empty"
    assert "than the 50,000,000" in reasons["bomb.png"]
    assert "damaged" in reasons["cut.png"]
    assert (report.animated, len(report.duplicates), report.upscaled) == (1, 1, 2)
    assert report.largest_enlargement == 96
    assert "1 image is animated: its first frame is taken: moving.webp" in heard
    assert "1 image is a copy of another and seen more often: good.png = copy.png" in heard
    for group in data.groups:
        assert bool(data.batch(group).latents.isfinite().all())


def test_images_below_the_smallest_side_are_left_out(zoo: Path) -> None:
    found = scan_sources([Source(path=str(zoo))], smallest=96)
    reasons = {one.path.name: one.reason for one in found.skipped}
    assert reasons["pixel.png"] == "its shorter side has 1 px: below dataset.smallest_image 96"
    assert "good.png" in {image.name for image in found.images}


def test_folders_inside_are_searched_where_it_is_asked_for(tmp_path: Path) -> None:
    for number, name in enumerate(("b.png", "deep/a.png", "deep/er/c.png", ".hidden/d.png")):
        add_image(tmp_path / "images" / name, shade=number)
    (tmp_path / "images" / "deep" / "loop").symlink_to(tmp_path / "images")
    source = Source(path=str(tmp_path / "images"), recursive=True, caption_extension=".caption")
    (tmp_path / "images" / "deep" / "a.caption").write_text("of another ending")
    (tmp_path / "images" / "b.txt").write_text("not this")
    found = scan_sources([source])
    assert [(image.name, image.caption) for image in found.images] == [
        ("b.png", ""),
        ("a.png", "of another ending"),
        ("c.png", ""),
    ]


def test_the_outlook_is_what_the_training_will_find(zoo: Path) -> None:
    text = f"""
    [model]
    base = "bundled:demo-base"
    [dataset]
    resolution = 96
    bucket_min = 64
    bucket_max = 128
    bucket_step = 8
    [[dataset.sources]]
    path = "{zoo}"
    [[dataset.sources]]
    path = "bundled:demo-images"
    regularisation = true
    prior_weight = 0.5
    [training]
    batch_size = 2
    gradient_accumulation = 2
    steps = 30
    """
    profile = parse_profile(text, folder=zoo).profile
    (zoo / "cut.png").unlink()  # what only decoding finds
    found = outlook(profile).to_json()
    prepared = prepare(profile.dataset, zoo.parent / "cache", SmallEncoders()).report(2, 2).to_json()
    differs = {name for name, value in prepared.items() if found[name] != value}
    assert differs == {"captions"}, "the small encoders count bytes"
    assert found["captions"]["limit"] == 75
    assert found["captions"]["longest"] > found["captions"]["shortest"] == 0
    assert found["epochs"] == round(30 / found["steps_per_epoch"], 2)
    assert {Path(one["path"]).name for one in found["skipped_files"]} >= {"zero.jpg", "bomb.png"}
    assert found["regularisation_seen_per_epoch"] == found["regularisation_images"] >= 24
    assert any("regularisation: seen" in line for line in found["summary"])
