"""Masks from transparency and from a folder, at the latents' size."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from engine.data.batches import TrainingSet
from engine.data.errors import DatasetError
from engine.data.order import Visit
from engine.data.prepare import prepare
from engine.profile.schema import Dataset
from tests.engine.data.small_data import ForbiddenEncoders, SmallEncoders, add_image, dataset, picture


def with_source(settings: Dataset, **changes: Any) -> Dataset:
    sources = tuple(source.model_copy(update=changes) for source in settings.sources)
    return settings.model_copy(update={"sources": sources})


def prepared(tmp_path: Path, settings: Dataset, warnings: list[str] | None = None) -> TrainingSet:
    def warn(message: str, where: str, /) -> None:
        if warnings is not None:
            warnings.append(message)

    return prepare(settings, tmp_path / "cache", SmallEncoders(), warn=warn)


def half(width: int, height: int) -> Image.Image:
    """White on the left half, black on the right."""
    levels = np.zeros((height, width), dtype=np.uint8)
    levels[:, : width // 2] = 255
    return Image.fromarray(levels)


def transparent(path: Path, width: int = 96, height: int = 96) -> Path:
    """A picture whose right half is transparent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = picture(width, height)
    image.putalpha(half(width, height))
    image.save(path)
    return path


LEFT_HALF = torch.tensor([1.0] * 6 + [0.0] * 6).expand(1, 12, 12)


def test_transparency_is_a_mask_where_it_is_asked_for(tmp_path: Path) -> None:
    transparent(tmp_path / "images" / "a.png")
    settings = dataset(tmp_path / "images")
    assert prepared(tmp_path, settings).batch([0]).masks is None
    masks = prepared(tmp_path, with_source(settings, alpha_mask=True)).batch([0]).masks
    assert masks is not None
    assert masks.dtype == torch.float32
    # One column of latents is touched by the resizing's soft edge only if there is any resizing: here is none.
    assert torch.equal(masks[0], LEFT_HALF)


@pytest.mark.parametrize("size", [(96, 96), (48, 48), (192, 192)])
def test_a_mask_folder_is_read_in_any_size(tmp_path: Path, size: tuple[int, int]) -> None:
    add_image(tmp_path / "images" / "a.jpg", 96, 96)
    (tmp_path / "masks").mkdir()
    half(*size).save(tmp_path / "masks" / "a.png")
    data = prepared(tmp_path, with_source(dataset(tmp_path / "images"), mask_folder=str(tmp_path / "masks")))
    masks = data.batch([0]).masks
    assert masks is not None
    torch.testing.assert_close(masks[0], LEFT_HALF, atol=0.05, rtol=0)
    assert data.report(1).masked == 1


def test_grey_counts_in_part_and_both_kinds_of_mask_are_multiplied(tmp_path: Path) -> None:
    transparent(tmp_path / "images" / "a.png")
    (tmp_path / "masks").mkdir()
    Image.new("L", (96, 96), 51).save(tmp_path / "masks" / "a.png")
    settings = with_source(dataset(tmp_path / "images"), mask_folder=str(tmp_path / "masks"), alpha_mask=True)
    masks = prepared(tmp_path, settings).batch([0]).masks
    assert masks is not None
    torch.testing.assert_close(masks[0], LEFT_HALF * 0.2)


def test_a_mask_is_cropped_and_mirrored_with_its_picture(tmp_path: Path) -> None:
    path = tmp_path / "images" / "a.png"
    path.parent.mkdir()
    columns = np.linspace(0, 255, 288).astype(np.uint8)
    image = Image.fromarray(np.stack([np.tile(columns, (96, 1))] * 3, axis=-1))
    image.save(path)
    (tmp_path / "masks").mkdir()
    image.convert("L").save(tmp_path / "masks" / "a.png")
    settings = dataset(tmp_path / "images", buckets=False, flip=True, random_crops=3)
    data = prepared(tmp_path, with_source(settings, mask_folder=str(tmp_path / "masks")))
    (item,) = data.items
    for repeat in range(20):
        visit = Visit(0, 1, 0, repeat)
        masks, view = data.batch([visit]).masks, item.seen_at(visit)
        assert masks is not None
        left = view.placement.crop_left
        expected = torch.from_numpy(columns[left : left + 96].astype(np.float32)).reshape(12, 8).mean(dim=1) / 255
        if view.flipped:
            expected = expected.flip(0)
        torch.testing.assert_close(masks[0, 0, 3], expected, atol=0.01, rtol=0)


def test_beside_a_masked_image_one_without_counts_whole(tmp_path: Path) -> None:
    transparent(tmp_path / "images" / "a.png")
    add_image(tmp_path / "images" / "b.png", 96, 96)
    warnings: list[str] = []
    data = prepared(tmp_path, with_source(dataset(tmp_path / "images"), alpha_mask=True), warnings)
    masks = data.batch([0, 1]).masks
    assert masks is not None
    assert torch.equal(masks[0], LEFT_HALF)
    assert torch.equal(masks[1], torch.ones(1, 12, 12))
    assert "1 image has no mask and is trained whole: b.png" in warnings
    assert data.batch([1]).masks is None


def test_masks_inside_the_images_folder_are_no_images(tmp_path: Path) -> None:
    add_image(tmp_path / "images" / "deep" / "a.png", 96, 96)
    (tmp_path / "images" / "masks" / "deep").mkdir(parents=True)
    half(96, 96).save(tmp_path / "images" / "masks" / "deep" / "a.png")
    settings = with_source(dataset(tmp_path / "images"), mask_folder=str(tmp_path / "images" / "masks"), recursive=True)
    data = prepared(tmp_path, settings)
    assert len(data) == 1
    assert data.items[0].image.mask_file is not None


@pytest.mark.parametrize(
    ("content", "reason"), [(b"no picture", "its mask .*a.png: not a PNG"), (b"", "its mask .*: the file is empty")]
)
def test_an_image_whose_mask_cannot_be_read_is_left_out(tmp_path: Path, content: bytes, reason: str) -> None:
    for name in ("a", "b"):
        add_image(tmp_path / "images" / f"{name}.png", 96, 96)
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "a.png").write_bytes(content)
    half(96, 96).save(tmp_path / "masks" / "b.png")
    data = prepared(tmp_path, with_source(dataset(tmp_path / "images"), mask_folder=str(tmp_path / "masks")))
    (skipped,) = data.report(1).skipped
    assert skipped.path.name == "a.png"
    assert re.search(reason, skipped.reason)


def test_a_mask_of_another_shape_belongs_to_another_picture(tmp_path: Path) -> None:
    add_image(tmp_path / "images" / "a.png", 96, 96)
    (tmp_path / "masks").mkdir()
    half(96, 64).save(tmp_path / "masks" / "a.png")
    with pytest.raises(DatasetError, match="has another shape: 96 × 64 px, the image 96 × 96"):
        prepared(tmp_path, with_source(dataset(tmp_path / "images"), mask_folder=str(tmp_path / "masks")))


def test_masks_come_from_the_cache_and_follow_their_files(tmp_path: Path) -> None:
    add_image(tmp_path / "images" / "a.png", 96, 96)
    (tmp_path / "masks").mkdir()
    half(96, 96).save(tmp_path / "masks" / "a.png")
    settings = with_source(dataset(tmp_path / "images"), mask_folder=str(tmp_path / "masks"))
    first = prepared(tmp_path, settings)
    assert [cached.what for cached in first.cached] == ["latents", "masks", "text"]
    again = prepare(settings, tmp_path / "cache", ForbiddenEncoders())
    assert [cached.built for cached in again.cached] == [0, 0, 0]
    half(96, 96).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "masks" / "a.png")
    changed = prepare(settings, tmp_path / "cache", ForbiddenEncoders())
    assert [cached.built for cached in changed.cached] == [0, 1, 0]
    assert changed.fingerprint != first.fingerprint
    masks = changed.batch([0]).masks
    assert masks is not None
    assert torch.equal(masks[0], LEFT_HALF.flip(-1))


@pytest.mark.parametrize(("background", "level"), [("white", 1.0), ("grey", 128 / 127.5 - 1), ("black", -1.0)])
def test_what_is_transparent_is_seen_on_the_background(tmp_path: Path, background: str, level: float) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGBA", (96, 96), (9, 9, 9, 0)).save(tmp_path / "images" / "a.png")
    add_image(tmp_path / "images" / "b.png", 96, 96)
    encoders = SmallEncoders()
    data = prepare(dataset(tmp_path / "images", background=background), tmp_path / "cache", encoders)
    with torch.no_grad():
        expected = encoders.encode_images(torch.full((1, 3, 96, 96), level))
    torch.testing.assert_close(data.batch([0]).latents, expected)
    # Only what is transparent has to be encoded anew on another background.
    other = SmallEncoders()
    prepare(dataset(tmp_path / "images", background="white"), tmp_path / "cache", other)
    assert other.images == (0 if background == "white" else 1)
