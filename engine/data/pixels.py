"""A picture and its mask cut to their bucket, as tensors."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engine.data.buckets import Placement


def place_pixels(picture: Image.Image, placement: Placement) -> Tensor:
    """An RGB picture as (3, bucket height, bucket width) float32 in [-1, 1].

    The crop is taken in the same step as the resizing (Lanczos), so that a picture much longer than its bucket does
    not become a huge one on the way.
    """
    placed = picture.resize(_bucket(placement), Image.Resampling.LANCZOS, box=_box(picture, placement))
    pixels = (
        torch.from_numpy(np.array(placed)).permute(2, 0, 1).to(torch.float32, memory_format=torch.contiguous_format)
    )
    return pixels.div_(127.5).sub_(1.0)


def place_mask(mask: Image.Image, placement: Placement) -> Tensor:
    """A grey mask of a picture's shape, in any size, as (1, bucket height, bucket width) float32 in [0, 1].

    Placed like the picture, but by a filter that cannot overshoot (triangle, wide as the reduction asks for).
    """
    placed = mask.resize(_bucket(placement), Image.Resampling.BILINEAR, box=_box(mask, placement))
    return torch.from_numpy(np.array(placed)).to(torch.float32).unsqueeze(0) / 255.0


def _bucket(placement: Placement) -> tuple[int, int]:
    return placement.bucket_width, placement.bucket_height


def _box(picture: Image.Image, placement: Placement) -> tuple[float, float, float, float]:
    """The part of ``picture`` that fills the bucket, in its own pixels."""
    per_x = picture.width / placement.resized_width
    per_y = picture.height / placement.resized_height
    return (
        placement.crop_left * per_x,
        placement.crop_top * per_y,
        min((placement.crop_left + placement.bucket_width) * per_x, picture.width),
        min((placement.crop_top + placement.bucket_height) * per_y, picture.height),
    )
