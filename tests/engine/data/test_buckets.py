from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.data.buckets import BucketRules, Placement, bucket_sizes, place, time_ids
from engine.data.errors import DatasetError
from engine.profile.schema import Dataset, Source

SDXL = BucketRules(resolution=1024)
sides = st.one_of(st.integers(1, 4000), st.integers(1, 40_000))


@st.composite
def rules(draw: st.DrawFn, *, buckets: bool = True) -> BucketRules:
    """Rules a profile may hold and that leave at least one bucket."""
    eights = st.integers(8, 160).map(lambda count: count * 8)
    smallest, resolution, largest = sorted(draw(st.tuples(eights, eights, eights)))
    step = draw(st.sampled_from([8, 16, 32, 64, 128]))
    made = BucketRules(resolution, smallest, largest, step, buckets, draw(st.booleans()))
    low = made.lowest_side
    assume(low <= made.highest_side and low * low <= made.area)
    return made


def misfit(width: int, height: int, size: tuple[int, int]) -> float:
    return abs(math.log(width / height) - math.log(size[0] / size[1]))


@given(rules())
@settings(deadline=None)
def test_buckets_keep_every_rule(rule: BucketRules) -> None:
    sizes = bucket_sizes(rule)
    assert sizes
    for width, height in sizes:
        for side in (width, height):
            assert side % rule.step == 0
            assert rule.smallest <= side <= rule.largest
        assert width * height <= rule.resolution**2
        assert (height, width) in sizes
    assert len(set(sizes)) == len(sizes)


@given(rules())
@settings(deadline=None)
def test_a_bucket_could_not_be_taller_at_its_width_nor_wider_at_its_height(rule: BucketRules) -> None:
    square = rule.side(rule.resolution)
    for width, height in bucket_sizes(rule):
        taller = height + rule.step <= rule.largest and width * (height + rule.step) <= rule.area
        wider = width + rule.step <= rule.largest and (width + rule.step) * height <= rule.area
        assert not (taller and wider) or (width, height) == (square, square)


def test_sdxl_gets_its_usual_buckets() -> None:
    sizes = bucket_sizes(SDXL)
    assert {(1024, 1024), (832, 1216), (896, 1152), (1344, 768), (1536, 640), (2048, 512)} <= set(sizes)
    assert (1152, 960) not in sizes


@given(sides, sides, rules())
@settings(deadline=None)
def test_the_crop_lies_inside_the_resized_picture_and_around_its_centre(
    width: int, height: int, rule: BucketRules
) -> None:
    placed = place(width, height, rule)
    right = placed.resized_width - placed.bucket_width - placed.crop_left
    bottom = placed.resized_height - placed.bucket_height - placed.crop_top
    assert placed.crop_left >= 0
    assert placed.crop_top >= 0
    assert 0 <= right - placed.crop_left <= 1
    assert 0 <= bottom - placed.crop_top <= 1


@given(sides, sides, rules())
@settings(deadline=None)
def test_resizing_covers_the_bucket_tightly_and_keeps_the_aspect_ratio(
    width: int, height: int, rule: BucketRules
) -> None:
    placed = place(width, height, rule)
    factor = max(placed.bucket_width / width, placed.bucket_height / height)
    assert placed.bucket_width == placed.resized_width or placed.bucket_height == placed.resized_height
    assert abs(placed.resized_width - width * factor) <= 0.5 + 1e-6
    assert abs(placed.resized_height - height * factor) <= 0.5 + 1e-6


@given(sides, sides, rules())
@settings(deadline=None)
def test_the_bucket_of_a_picture_keeps_every_rule(width: int, height: int, rule: BucketRules) -> None:
    placed = place(width, height, rule)
    for side in (placed.bucket_width, placed.bucket_height):
        assert side % rule.step == 0
        assert rule.smallest <= side <= rule.largest
    assert placed.bucket_width * placed.bucket_height <= rule.area


@given(sides, sides, rules())
@settings(deadline=None)
def test_the_bucket_is_the_one_of_the_nearest_aspect_ratio(width: int, height: int, rule: BucketRules) -> None:
    assume(rule.upscale)
    placed = place(width, height, rule)
    chosen = (placed.bucket_width, placed.bucket_height)
    assert chosen in bucket_sizes(rule)
    assert misfit(width, height, chosen) <= min(misfit(width, height, size) for size in bucket_sizes(rule)) + 1e-9


@given(sides, sides, rules())
@settings(deadline=None)
def test_without_upscale_only_sides_below_the_smallest_bucket_grow(width: int, height: int, rule: BucketRules) -> None:
    assume(not rule.upscale)
    placed = place(width, height, rule)
    grows = placed.resized_width > width or placed.resized_height > height
    if grows:
        assert min(width, height) < rule.lowest_side


@given(sides, sides, rules())
@settings(deadline=None)
def test_a_picture_that_covers_its_bucket_is_placed_alike_with_and_without_upscale(
    width: int, height: int, rule: BucketRules
) -> None:
    with_upscale = replace(rule, upscale=True)
    placed = place(width, height, with_upscale)
    assume(placed.bucket_width <= width and placed.bucket_height <= height)
    assert place(width, height, replace(rule, upscale=False)) == placed


@given(sides, sides, rules(buckets=False))
@settings(deadline=None)
def test_without_buckets_every_picture_becomes_a_square(width: int, height: int, rule: BucketRules) -> None:
    placed = place(width, height, rule)
    side = placed.bucket_width
    assert placed.bucket_height == side
    assert side % 8 == 0
    if rule.upscale or min(width, height) >= rule.resolution:
        assert side == rule.resolution
    else:
        assert side <= max(min(width, height), rule.lowest_side)
        assert side <= rule.resolution


@given(sides, sides, rules())
@settings(max_examples=50, deadline=None)
def test_time_ids_are_original_size_crop_and_target_height_first(width: int, height: int, rule: BucketRules) -> None:
    placed = place(width, height, rule)
    ids = time_ids(width, height, placed)
    assert ids == (height, width, placed.crop_top, placed.crop_left, placed.bucket_height, placed.bucket_width)


def test_known_pictures_are_placed_as_worked_out_by_hand() -> None:
    assert place(1024, 1024, SDXL) == Placement(1024, 1024, 1024, 1024, 0, 0)
    assert place(3000, 2000, SDXL) == Placement(1216, 832, 1248, 832, 16, 0)
    assert place(2000, 3000, SDXL) == Placement(832, 1216, 832, 1248, 0, 16)
    assert time_ids(3000, 2000, place(3000, 2000, SDXL)) == (2000, 3000, 0, 16, 832, 1216)
    small = BucketRules(resolution=1024, upscale=False)
    assert place(900, 600, small) == Placement(896, 576, 896, 597, 0, 10)
    assert place(100, 90, small) == Placement(256, 256, 284, 256, 14, 0)
    assert place(900, 600, BucketRules(resolution=1024, buckets=False)) == Placement(1024, 1024, 1536, 1024, 256, 0)


def test_rules_that_leave_no_bucket_are_refused_with_a_way_out() -> None:
    with pytest.raises(DatasetError, match="no bucket fits") as caught:
        bucket_sizes(BucketRules(resolution=264, smallest=264, largest=300, step=64))
    assert "bucket_step" in str(caught.value.hint)
    assert bucket_sizes(BucketRules(resolution=264, smallest=264, largest=300, step=8))


def test_rules_come_from_the_profile() -> None:
    dataset = Dataset(
        sources=(Source(path="images"),),
        resolution=512,
        buckets=False,
        bucket_min=128,
        bucket_max=768,
        bucket_step=32,
        upscale=False,
    )
    assert BucketRules.of(dataset) == BucketRules(512, 128, 768, 32, buckets=False, upscale=False)
