"""Crops and mirrored sides: what is encoded, what SDXL is told of it, and which of them a visit sees."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.data.batches import TrainingSet
from engine.data.buckets import BucketRules, Placement, place, random_crops, time_ids
from engine.data.order import Visit
from engine.data.pixels import place_pixels
from engine.data.prepare import prepare
from engine.profile.schema import Dataset
from tests.engine.data.small_data import ForbiddenEncoders, SmallEncoders, add_image, dataset

TALL, WIDE = (100, 300), (301, 100)


def prepared(tmp_path: Path, settings: Dataset, encoders: SmallEncoders | None = None) -> TrainingSet:
    return prepare(settings, tmp_path / "cache", encoders or SmallEncoders())


def visits(index: int, count: int) -> list[Visit]:
    return [Visit(index, 1, 0, repeat) for repeat in range(count)]


@pytest.mark.parametrize(
    ("size", "flipped", "expected"),
    [
        # 2000 × 1000 in a square of 512: resized to 1024 × 512, 256 px cut off on both sides.
        ((2000, 1000), False, (1000, 2000, 0, 256, 512, 512)),
        ((2000, 1000), True, (1000, 2000, 0, 256, 512, 512)),
        # 1001 × 512 stays so: 489 px to cut, 244 on the left and 245 on the right, which the mirror makes the left.
        ((1001, 512), False, (512, 1001, 0, 244, 512, 512)),
        ((1001, 512), True, (512, 1001, 0, 245, 512, 512)),
        # 512 × 1001: cut above and below, which no mirror changes.
        ((512, 1001), True, (1001, 512, 244, 0, 512, 512)),
        # 256 × 256 is enlarged: SDXL is told of the original.
        ((256, 256), True, (256, 256, 0, 0, 512, 512)),
    ],
)
def test_size_conditioning_by_hand(
    size: tuple[int, int], flipped: bool, expected: tuple[int, int, int, int, int, int]
) -> None:
    placement = place(*size, BucketRules(512, buckets=False))
    assert time_ids(*size, placement, flipped=flipped) == expected


def test_random_crops_lie_inside_are_spread_evenly_and_follow_from_the_content() -> None:
    base = place(1001, 512, BucketRules(512, buckets=False))
    crops = random_crops(base, "digest", 3000)
    assert {crop.crop_top for crop in crops} == {0}
    lefts = [crop.crop_left for crop in crops]
    assert (min(lefts), max(lefts)) == (0, 489)
    assert sum(lefts) / len(lefts) == pytest.approx(244.5, abs=8)
    assert random_crops(base, "digest", 5) == crops[:5], "more of them change none"
    assert random_crops(base, "other", 5) != crops[:5]
    assert set(random_crops(place(512, 512, BucketRules(512)), "digest", 9)) == {place(512, 512, BucketRules(512))}


def test_a_random_crops_conditioning_is_its_own() -> None:
    placement = Placement(512, 512, 1024, 512, crop_left=100, crop_top=0)
    assert time_ids(2000, 1000, placement) == (1000, 2000, 0, 100, 512, 512)
    assert time_ids(2000, 1000, placement, flipped=True) == (1000, 2000, 0, 412, 512, 512)


def test_a_visit_sees_the_pixels_that_its_conditioning_tells_of(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (10, 31, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize(WIDE, Image.Resampling.BICUBIC)
    (tmp_path / "images").mkdir()
    picture.save(tmp_path / "images" / "wide.png")
    encoders = SmallEncoders()
    settings = dataset(tmp_path / "images", buckets=False, flip=True, random_crops=3)
    data = prepared(tmp_path, settings, encoders)
    (item,) = data.items
    assert item.placement.room == (193, 0)
    assert encoders.images == len(item.views) == 6
    seen: Counter[tuple[int, bool]] = Counter()
    for visit in visits(0, 60):
        batch = data.batch([visit])
        height, width, top, left, target_height, target_width = batch.time_ids[0].int().tolist()
        assert (height, width, target_height, target_width) == (100, 301, 96, 96)
        found = []
        for flipped in (False, True):
            # The mirrored picture, cropped at the place that was told, is what was encoded.
            whole = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flipped else picture
            pixels = place_pixels(whole, Placement(96, 96, 289, 96, left, top))
            with torch.no_grad():
                latents = encoders.encode_images(pixels.unsqueeze(0))
            if torch.allclose(latents, batch.latents, atol=1e-2):
                found.append(flipped)
        assert len(found) == 1
        seen[left, found[0]] += 1
    assert len(seen) == 6, "every crop and both sides"


def test_each_view_is_seen_alike_and_the_same_visit_sees_the_same(tmp_path: Path) -> None:
    add_image(tmp_path / "images" / "tall.png", *TALL)
    (item,) = prepared(tmp_path, dataset(tmp_path / "images", buckets=False, flip=True, random_crops=2)).items
    seen = Counter(item.seen_at(visit) for visit in visits(0, 2000))
    assert set(seen) == set(item.views)
    assert all(400 < count < 600 for count in seen.values())
    assert [item.seen_at(visit) for visit in visits(0, 20)] == [item.seen_at(visit) for visit in visits(0, 20)]


def test_without_chance_a_batch_sees_the_first_crop_unmirrored(tmp_path: Path) -> None:
    add_image(tmp_path / "images" / "wide.png", *WIDE)
    data = prepared(tmp_path, dataset(tmp_path / "images", buckets=False, flip=True, random_crops=2))
    (item,) = data.items
    expected = time_ids(*WIDE, item.crops[0])
    assert data.batch([0]).time_ids[0].tolist() == list(expected)


def test_crops_that_cannot_differ_are_encoded_once(tmp_path: Path) -> None:
    add_image(tmp_path / "images" / "square.png", 96, 96)
    encoders = SmallEncoders()
    data = prepared(tmp_path, dataset(tmp_path / "images", random_crops=8, flip=True), encoders)
    assert encoders.images == data.report(1).latents == 2


def test_a_source_may_flip_and_crop_in_its_own_way(tmp_path: Path) -> None:
    for number, name in enumerate(("one", "two")):
        add_image(tmp_path / name / "wide.png", *WIDE, shade=number)
    settings = dataset(tmp_path / "one", tmp_path / "two", buckets=False, flip=True, random_crops=2)
    own = settings.sources[1].model_copy(update={"flip": False, "random_crops": 0})
    settings = settings.model_copy(update={"sources": (settings.sources[0], own)})
    by_folder = {item.image.path.parent.name: item for item in prepared(tmp_path, settings).items}
    assert (len(by_folder["one"].views), len(by_folder["two"].views)) == (4, 1)
    assert by_folder["two"].views[0].placement == by_folder["two"].placement


def test_everything_drawn_comes_from_the_cache(tmp_path: Path) -> None:
    add_image(tmp_path / "images" / "wide.png", *WIDE)
    settings = dataset(tmp_path / "images", buckets=False, flip=True, random_crops=3)
    prepared(tmp_path, settings)
    again = prepared(tmp_path, settings, ForbiddenEncoders())
    for visit in visits(0, 20):
        again.batch([visit])
