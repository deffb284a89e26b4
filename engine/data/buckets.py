"""Which size each image is trained at: aspect-ratio buckets and the place of the picture in its bucket. Pure functions.

A bucket has sides that are multiples of a step and at most the area of the resolution squared, so that all batches
cost about the same. The picture is resized until it covers its bucket and cropped around its centre, or at random places
that follow from its content.

SDXL is told of it by six numbers (Podell et al. 2023, arXiv:2307.01952, §2.2 and algorithm 1; the order of diffusers'
``StableDiffusionXLPipeline._get_add_time_ids``): original height and width, crop top and left, target height and
width. As in diffusers' training scripts the original size is that of the file, before any resizing, and the crop is
counted in pixels of the resized picture; the target is the bucket (§2.3). sd-scripts gives the same sizes but derives
its crop offset from how the picture would fit *inside* the bucket, which is not what was cut off; we give what was.
Of a mirrored picture the crop is counted from the mirrored left side.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Self

from engine.data.errors import DatasetError
from engine.profile.schema import Dataset


@dataclass(frozen=True)
class BucketRules:
    """The part of a profile's ``dataset`` that decides sizes. All in pixels."""

    resolution: int
    smallest: int = 256
    largest: int = 2048
    step: int = 64
    buckets: bool = True
    upscale: bool = True

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """The rules a profile asks for."""
        return cls(
            resolution=dataset.resolution,
            smallest=dataset.bucket_min,
            largest=dataset.bucket_max,
            step=dataset.bucket_step,
            buckets=dataset.buckets,
            upscale=dataset.upscale,
        )

    @property
    def area(self) -> int:
        """Most pixels a bucket may have."""
        return self.resolution * self.resolution

    @property
    def lowest_side(self) -> int:
        """The smallest multiple of the step that is not below ``smallest``."""
        return -(-self.smallest // self.step) * self.step

    @property
    def highest_side(self) -> int:
        """The largest multiple of the step that is not above ``largest``."""
        return self._floor(self.largest)

    def side(self, length: int) -> int:
        """The largest side a bucket can have within ``length``; the lowest one if there is none."""
        return max(self.lowest_side, min(self._floor(length), self.highest_side))

    def _floor(self, length: int) -> int:
        return length // self.step * self.step


@dataclass(frozen=True)
class Placement:
    """How a picture gets into its bucket, in pixels: resized to (resized_width, resized_height), then cropped."""

    bucket_width: int
    bucket_height: int
    resized_width: int
    resized_height: int
    crop_left: int
    crop_top: int

    @property
    def bucket(self) -> str:
        """The bucket's name, ``"832x1216"`` (width × height)."""
        return f"{self.bucket_width}x{self.bucket_height}"

    @property
    def room(self) -> tuple[int, int]:
        """How far a crop can lie from the left and from the top."""
        return self.resized_width - self.bucket_width, self.resized_height - self.bucket_height


@lru_cache(maxsize=64)
def bucket_sizes(rules: BucketRules) -> tuple[tuple[int, int], ...]:
    """All (width, height) of the rules' buckets, narrowest first.

    For every width the tallest height within the area and the other way round, and the largest square. Without
    ``buckets`` it is the one square of the resolution. Raises ``DatasetError`` if no size fits the rules.
    """
    if not rules.buckets:
        return ((rules.resolution, rules.resolution),)
    low, high = rules.lowest_side, rules.highest_side
    if low > high or low * low > rules.area:
        raise DatasetError(
            f"no bucket fits: sides must be multiples of {rules.step} from {rules.smallest} to {rules.largest} px "
            f"with at most {rules.resolution} × {rules.resolution} px of area",
            where="dataset.bucket_min, dataset.bucket_max, dataset.bucket_step",
            hint="Lower dataset.bucket_step (8 always fits) or dataset.bucket_min.",
        )
    square = rules.side(rules.resolution)
    sizes = {(square, square)}
    for width in range(low, high + 1, rules.step):
        if width * low <= rules.area:
            height = rules.side(rules.area // width)
            sizes |= {(width, height), (height, width)}
    return tuple(sorted(sizes))


def place(width: int, height: int, rules: BucketRules) -> Placement:
    """The bucket of a picture of ``width`` × ``height`` px and its place in it.

    The bucket is the one of the nearest aspect ratio. If the picture would have to grow to cover it and ``upscale``
    is off, it is the picture's own size cut down to the step instead, within the rules; only a side below the
    smallest bucket side is still enlarged. Raises ``DatasetError`` if the rules leave no bucket.
    """
    bucket_width, bucket_height = _nearest(width, height, bucket_sizes(rules))
    if not rules.upscale and (width < bucket_width or height < bucket_height):
        bucket_width, bucket_height = _own_size(width, height, (bucket_width, bucket_height), rules)
    # Cover: the side that needs the larger factor ends exactly on the bucket's, the other one on or beyond it.
    if bucket_width * height >= bucket_height * width:
        resized = bucket_width, max(bucket_height, _rounded(height * bucket_width, width))
    else:
        resized = max(bucket_width, _rounded(width * bucket_height, height)), bucket_height
    left, top = (resized[0] - bucket_width) // 2, (resized[1] - bucket_height) // 2
    return Placement(bucket_width, bucket_height, *resized, left, top)


def random_crops(placement: Placement, digest: str, count: int) -> tuple[Placement, ...]:
    """``count`` placements like ``placement``, each cropped at a place of its own, uniform over all there are.

    A pure function of ``digest``, which identifies the picture, and the number of the crop: the first ones stay the same
    when there are more of them.
    """
    across, down = placement.room
    crops = []
    for number in range(count):
        chance = random.Random(int.from_bytes(hashlib.sha256(f"crop {number} of {digest}".encode()).digest()))
        left, top = int(chance.random() * (across + 1)), int(chance.random() * (down + 1))
        crops.append(replace(placement, crop_left=left, crop_top=top))
    return tuple(crops)


def time_ids(
    width: int, height: int, placement: Placement, *, flipped: bool = False
) -> tuple[int, int, int, int, int, int]:
    """SDXL's size conditioning for a picture of ``width`` × ``height`` px in its file.

    (original height, original width, crop top, crop left, target height, target width); see the module's text.
    """
    left = placement.room[0] - placement.crop_left if flipped else placement.crop_left
    return height, width, placement.crop_top, left, placement.bucket_height, placement.bucket_width


@lru_cache(maxsize=4096)
def _nearest(width: int, height: int, sizes: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    def misfit(size: tuple[int, int]) -> tuple[float, int]:
        # How many times one aspect ratio is the other. One division of integers: the same on every machine.
        one, other = width * size[1], height * size[0]
        return max(one, other) / min(one, other), -size[0] * size[1]

    return min(sizes, key=misfit)


def _own_size(width: int, height: int, nearest: tuple[int, int], rules: BucketRules) -> tuple[int, int]:
    """The largest bucket a picture covers that is too small for ``nearest``, the bucket of its aspect ratio."""
    if not rules.buckets:
        side = min(rules.resolution, rules.side(min(width, height)))
        return side, side
    own_width, own_height = rules.side(width), rules.side(height)
    # The side that falls short of the nearest bucket stays; the other one gives way if both were too large an area.
    if height < nearest[1]:
        return min(own_width, rules.side(rules.area // own_height)), own_height
    return own_width, min(own_height, rules.side(rules.area // own_width))


def _rounded(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)
