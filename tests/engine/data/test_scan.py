from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from engine.data.errors import DatasetError, PreparationStopped
from engine.data.placing import place_images
from engine.data.report import remarks
from engine.data.scan import MAX_CAPTION_BYTES, Scan, scan_sources
from engine.profile.schema import Captions, Source
from tests.engine.data.small_data import add_image, dataset, digest_of, picture, png_of


def scan(*folders: Path) -> Scan:
    return scan_sources([Source(path=str(folder)) for folder in folders])


def test_images_come_with_caption_size_repeats_and_digest(tmp_path: Path) -> None:
    path = add_image(tmp_path / "a.png", 40, 24, caption="  a red\n\n  robot\t")
    found = scan_sources([Source(path=str(tmp_path), repeats=3)])
    (image,) = found.images
    assert (image.path, image.caption, image.repeats) == (path, "a red robot", 3)
    assert (image.width, image.height) == (40, 24)
    assert image.digest == digest_of(path)
    assert (found.skipped, found.uncaptioned, found.empty_sources) == ((), (), ())


def test_sizes_are_those_of_the_upright_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(40, 24).save(tmp_path / "turned.jpg", exif=exif)
    (image,) = scan(tmp_path).images
    assert (image.width, image.height) == (24, 40)


def test_images_are_found_by_extension_in_any_case_and_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("d.WebP", "B.JPG", "a.jpeg", "c.Png", "e.bmp"):
        add_image(tmp_path / name)
    for name in ("notes.txt", "f.gif", ".hidden.png"):
        shutil.copy(tmp_path / "c.Png", tmp_path / name)
    assert [image.name for image in scan(tmp_path).images] == ["B.JPG", "a.jpeg", "c.Png", "d.WebP", "e.bmp"]


def test_sources_keep_the_order_of_the_profile(tmp_path: Path) -> None:
    add_image(tmp_path / "late" / "a.png")
    add_image(tmp_path / "early" / "b.png")
    found = scan(tmp_path / "late", tmp_path / "early")
    assert [image.name for image in found.images] == ["a.png", "b.png"]


def test_links_to_files_are_followed_and_folders_are_not_entered(tmp_path: Path) -> None:
    add_image(tmp_path / "elsewhere" / "a.png")
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "linked.png").symlink_to(tmp_path / "elsewhere" / "a.png")
    (folder / "loop").symlink_to(folder)
    add_image(folder / "inside" / "b.png")
    assert [image.name for image in scan(folder).images] == ["linked.png"]


def test_what_cannot_be_read_is_skipped_with_a_reason_that_names_it(tmp_path: Path) -> None:
    add_image(tmp_path / "good.png")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.jpg").touch()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "bomb.png").write_bytes(png_of(13_000, 13_000, depth=1, pixels=b""))
    found = scan(tmp_path)
    assert [image.name for image in found.images] == ["good.png"]
    reasons = {skipped.path.name: skipped.reason for skipped in found.skipped}
    assert set(reasons) == {"text.png", "empty.jpg", "pipe.png", "gone.png", "loop.png", "bomb.png"}
    assert "not a PNG" in reasons["text.png"]
    assert "empty" in reasons["empty.jpg"]
    assert "not a regular file" in reasons["pipe.png"]
    assert "50,000,000" in reasons["bomb.png"]
    assert all(str(skipped.path) in str(skipped) for skipped in found.skipped)


def test_a_missing_caption_is_noted_and_an_empty_one_is_a_choice(tmp_path: Path) -> None:
    add_image(tmp_path / "without.png")
    add_image(tmp_path / "empty.png", caption="")
    found = scan(tmp_path)
    assert [image.caption for image in found.images] == ["", ""]
    assert [path.name for path in found.uncaptioned] == ["without.png"]


def test_captions_of_another_ending_are_noted(tmp_path: Path) -> None:
    add_image(tmp_path / "a.png")
    add_image(tmp_path / "b.png", caption="read")
    for name in ("a.caption", "b.caption"):
        (tmp_path / name).write_text("not read")
    found = scan(tmp_path)
    assert [path.name for path in found.other_captions] == ["a.caption"]
    (sentence, _) = remarks(found, place_images(found.images, dataset(tmp_path), Captions()))[1]
    assert sentence == (
        "1 of them has a caption that is not read: a.caption; caption_extension of the source would be .caption"
    )


def test_pictures_of_formats_that_are_not_read_are_named(tmp_path: Path) -> None:
    add_image(tmp_path / "good.png")
    (tmp_path / "moving.gif").write_bytes(b"GIF89a")
    (tmp_path / "new.AVIF").touch()
    (tmp_path / "notes.md").touch()
    found = scan(tmp_path)
    assert [str(skipped).removeprefix(f"{tmp_path}/") for skipped in found.skipped] == [
        "moving.gif: GIF pictures are not read: save it as PNG, JPEG, WebP or BMP",
        "new.AVIF: AVIF pictures are not read: save it as PNG, JPEG, WebP or BMP",
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff\xfe\x00caf\xe9", "zero byte"),
        (b"caf\xe9", "not UTF-8 (byte 4)"),
        (b"word " * MAX_CAPTION_BYTES, "more than the 65,536"),
    ],
)
def test_an_image_whose_caption_cannot_be_read_is_left_out(tmp_path: Path, content: bytes, reason: str) -> None:
    add_image(tmp_path / "good.png")
    add_image(tmp_path / "bad.png").with_suffix(".txt").write_bytes(content)
    found = scan(tmp_path)
    assert [image.name for image in found.images] == ["good.png"]
    (skipped,) = found.skipped
    assert "bad.txt" in skipped.reason
    assert reason in skipped.reason


def test_a_caption_that_is_a_pipe_does_not_hang(tmp_path: Path) -> None:
    add_image(tmp_path / "good.png")
    add_image(tmp_path / "bad.png")
    os.mkfifo(tmp_path / "bad.txt")
    (skipped,) = scan(tmp_path).skipped
    assert "not a regular file" in skipped.reason


def test_a_byte_order_mark_is_no_part_of_the_caption(tmp_path: Path) -> None:
    add_image(tmp_path / "a.png").with_suffix(".txt").write_bytes("\ufeffein Zörb".encode())
    assert scan(tmp_path).images[0].caption == "ein Zörb"


def test_a_name_that_is_not_utf8_is_used_and_shown_safely(tmp_path: Path) -> None:
    good, bad = (os.fsdecode(os.fsencode(tmp_path) + name) for name in (b"/caf\xe9.png", b"/bad\xe9.png"))
    picture(16, 16).save(tmp_path / "plain.png")
    shutil.copy(tmp_path / "plain.png", good)
    Path(bad).write_bytes(b"nothing")
    found = scan(tmp_path)
    assert len(found.images) == 2
    assert str(found.skipped[0]).encode().startswith(os.fsencode(tmp_path))


def test_a_missing_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="No such file") as caught:
        scan(tmp_path / "nowhere")
    assert caught.value.where == str(tmp_path / "nowhere")


def test_a_file_in_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="Not a directory"):
        scan(add_image(tmp_path / "a.png"))


def test_an_empty_folder_is_an_error_that_tells_of_folders_inside(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no image in the data set") as caught:
        scan(tmp_path)
    assert "Folders inside" not in str(caught.value)
    add_image(tmp_path / "inside" / "a.png")
    with pytest.raises(DatasetError, match="Folders inside are not searched"):
        scan(tmp_path)


def test_a_source_without_images_beside_one_with_them_is_noted(tmp_path: Path) -> None:
    add_image(tmp_path / "full" / "a.png")
    (tmp_path / "empty").mkdir()
    assert scan(tmp_path / "full", tmp_path / "empty").empty_sources == (tmp_path / "empty",)


def test_if_no_image_can_be_used_the_error_says_which_and_why(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.png").write_text("no picture")
    with pytest.raises(DatasetError, match="none of 5 images can be used") as caught:
        scan(tmp_path)
    assert "0.png: not a PNG" in str(caught.value)
    assert "and 2 more" in str(caught.value)


def test_the_bundled_pictures_are_found_by_their_name() -> None:
    assert len(scan_sources([Source(path="bundled:demo-images")]).images) >= 24


def test_a_scan_can_be_stopped_between_two_files_and_reports_each(tmp_path: Path) -> None:
    for number in range(4):
        add_image(tmp_path / f"{number}.png")
    reports: list[tuple[str, int, int]] = []
    with pytest.raises(PreparationStopped):
        scan_sources(
            [Source(path=str(tmp_path))],
            report=lambda what, done, total: reports.append((what, done, total)),
            should_stop=lambda: len(reports) == 2,
        )
    assert reports == [("images", 1, 4), ("images", 2, 4)]
