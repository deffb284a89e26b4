"""Sample pictures in the terminal: the right ones, in their colours, and nothing that is no picture."""

from __future__ import annotations

import io
import os
import zlib
from pathlib import Path

import pytest
from PIL import Image

from engine.run.layout import RunDirectory
from sdxl_tui.fleet.sample_pictures import PIXEL_LIMIT, PictureError, read_picture, read_png, samples_by_step
from sdxl_tui.screens.checkpoints import CheckpointsScreen
from sdxl_tui.screens.images import ImagesPage
from sdxl_tui.widgets.gallery import Gallery, Tile, gallery_strips
from tests.sdxl_tui.places.place_field import Field, Shell, screen_text, until

RED, BLUE = (255, 0, 0), (0, 0, 255)


def drawn(run: RunDirectory, name: str, *, size: tuple[int, int] = (64, 64)) -> Path:
    """A picture whose upper half is red and whose lower half is blue."""
    picture = Image.new("RGB", size, BLUE)
    picture.paste(RED, (0, 0, size[0], size[1] // 2))
    picture.save(run.samples / name)
    return run.samples / name


def claimed(width: int, height: int) -> bytes:
    """A PNG that says it has this size, with nothing in it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\x00\x00\x00"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_picture_keeps_its_shape_and_colours(field: Field) -> None:
    path = drawn(field.run(), "step-00000100-00.png", size=(128, 64))
    picture = read_picture(path, 20, 20)
    assert (picture.width, picture.height) == (20, 10)
    assert picture.pixel(0, 0) == RED
    assert picture.pixel(19, 9) == BLUE
    strips = gallery_strips([Tile(picture, "a fox")], 20)
    assert strips[0].text.startswith("▀" * 20)
    assert strips[-1].text.startswith("a fox")
    style = next(iter(strips[0])).style
    assert style is not None and style.color is not None and style.color.triplet == RED


@pytest.mark.parametrize(
    ("size", "room", "sent", "cells"),
    [
        ((64, 64), (40, 20), (64, 64), (40, 20)),  # the terminal enlarges it, not the link
        ((1000, 500), (40, 20), (400, 200), (40, 10)),
        ((500, 1000), (40, 20), (200, 400), (20, 20)),
        ((1000, 10), (40, 20), (400, 4), (40, 1)),
        ((30, 3000), (500, 400), (30, 3000), (6, 283)),  # no more lines than the protocol has marks for
    ],
)
def test_a_png_for_the_terminal_has_the_pictures_shape_and_no_more_pixels_than_can_be_seen(
    field: Field,
    size: tuple[int, int],
    room: tuple[int, int],
    sent: tuple[int, int],
    cells: tuple[int, int],
) -> None:
    path = drawn(field.run(), "step-00000100-00.png", size=size)
    png = read_png(path, *room, (10, 20))
    assert (png.columns, png.rows) == cells
    with Image.open(io.BytesIO(png.png)) as image:
        assert image.size == sent
        assert image.getpixel((0, 0)) == RED
        assert image.getpixel((0, image.height - 1)) == BLUE


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(40), claimed(64, 64)])
def test_what_is_no_picture_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "step-00000001-00.png"
    path.write_bytes(content)
    with pytest.raises(PictureError, match="cannot be read as a picture"):
        read_picture(path, 20, 20)
    with pytest.raises(PictureError, match="cannot be read as a picture"):
        read_png(path, 20, 20, (10, 20))


def test_a_picture_that_claims_too_many_pixels_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "step-00000001-00.png"
    path.write_bytes(claimed(10_000, PIXEL_LIMIT // 10_000 + 1))
    with pytest.raises(PictureError, match="too many to show"):
        read_picture(path, 20, 20)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "step-00000001-00.png"
    os.mkfifo(path)
    with pytest.raises(PictureError):
        read_picture(path, 20, 20)


def test_samples_are_found_by_step_and_other_files_passed_over(field: Field) -> None:
    run = field.run()
    for name in ("step-00000200-01.png", "step-00000200-00.png", "step-00000100-00.png"):
        drawn(run, name)
    (run.samples / "notes.txt").write_text("")
    found = samples_by_step(run)
    assert {step: [path.name[14:16] for path in paths] for step, paths in found.items()} == {
        100: ["00"],
        200: ["00", "01"],
    }


async def test_the_page_shows_those_of_the_checkpoints_step_or_the_nearest_before(field: Field) -> None:
    run = field.run()
    for step in (100, 250):
        field.checkpoint(run, step)
    for name in ("step-00000100-00.png", "step-00000200-00.png", "step-00000200-01.png"):
        drawn(run, name)
    (run.samples / "step-00000300-00.png").write_bytes(b"broken")
    for size in ((80, 24), (200, 50)):
        async with Shell(lambda: CheckpointsScreen(field.workspace)).run_test(size=size) as pilot:
            await until(pilot, lambda: "step 250 of" in screen_text(pilot.app), "the list")
            await pilot.press("i")
            await until(pilot, lambda: "▀" in screen_text(pilot.app), "the pictures")
            assert isinstance(pilot.app.screen, ImagesPage)
            assert "step 200 · 1 to 2 of 2 · none was drawn at 250" in screen_text(pilot.app)
            await pilot.press("up")
            await until(
                pilot, lambda: "cannot be read as a picture" in screen_text(pilot.app), "the broken one's reason"
            )
            await pilot.press("down", "down")
            await until(pilot, lambda: "step 100 · 1 of 1" in screen_text(pilot.app), "the earlier step")
            await pilot.press("v")
            await until(pilot, lambda: "▸ step 100" in screen_text(pilot.app), "the same prompt through time")
            await pilot.press("escape", "escape")
            await until(pilot, lambda: isinstance(pilot.app.screen, CheckpointsScreen), "the way back")


async def test_a_run_without_samples_says_where_they_come_from(field: Field) -> None:
    field.checkpoint(field.run(), 100)
    async with Shell(lambda: CheckpointsScreen(field.workspace)).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "step 100 of" in screen_text(pilot.app), "the list")
        await pilot.press("i")
        await until(pilot, lambda: "has drawn no samples" in screen_text(pilot.app), "the words")
        assert pilot.app.screen.query_one(Gallery)


async def test_in_a_wide_terminal_the_steps_pictures_stand_beside_its_details(field: Field) -> None:
    run = field.run()
    for step in (100, 200):
        field.checkpoint(run, step)
    drawn(run, "step-00000200-00.png")
    async with Shell(lambda: CheckpointsScreen(field.workspace)).run_test(size=(200, 50)) as pilot:
        await until(pilot, lambda: "▀" in screen_text(pilot.app), "the picture of step 200")
        await pilot.press("down")
        await until(pilot, lambda: "step 100 of" in screen_text(pilot.app), "another checkpoint")
        assert "▀" not in screen_text(pilot.app)
