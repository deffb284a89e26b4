"""From scanned images to a training set on paper: placed in buckets, in their canonical order, in groups. Torch-free."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from typing import Any

from engine.data.buckets import BucketRules, place, random_crops
from engine.data.captions import CaptionRules
from engine.data.scan import SourceImage
from engine.data.views import PlacedImage
from engine.profile.schema import Captions, Dataset


def place_images(
    images: Sequence[SourceImage], dataset: Dataset, captions: Captions, *, by_chance: bool = True
) -> list[PlacedImage]:
    """Every image with its bucket, its crops and the rules for its caption. Raises ``DatasetError`` if no bucket fits.

    by_chance: False for images that are seen around the centre and never mirrored, whatever ``dataset`` says.
    """
    sizes = BucketRules.of(dataset)
    rules = [CaptionRules.of(captions, source) for source in dataset.sources]
    placed = []
    for image in images:
        source = dataset.sources[image.source]
        placement = place(image.width, image.height, sizes)
        count = dataset.random_crops if source.random_crops is None else source.random_crops
        placed.append(
            PlacedImage(
                image,
                placement,
                crops=random_crops(placement, image.digest, count if by_chance else 0),
                flips=by_chance and (dataset.flip if source.flip is None else source.flip),
                rules=rules[image.source],
            )
        )
    return placed


def in_order(items: Sequence[PlacedImage]) -> tuple[PlacedImage, ...]:
    """``items`` in their canonical order: an index means the same image wherever the folders lie."""

    def place_in_order(item: PlacedImage) -> tuple[Any, ...]:
        identity = _identity(item)
        first, further = identity[:5], identity[5:]
        return (*first, json.dumps(further, sort_keys=True))

    return tuple(sorted(items, key=place_in_order))


def fingerprint(items: Sequence[PlacedImage]) -> str:
    """sha256 in hex over all that decides what is seen of ``items``, in their order; folders do not matter."""
    identities = json.dumps([_identity(item) for item in items], separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(identities.encode()).hexdigest()


def groups(items: Sequence[PlacedImage]) -> list[list[int]]:
    """Indices by bucket, narrowest bucket first, each as often as its image is repeated in an epoch."""
    found: dict[tuple[int, int], list[int]] = {}
    for index, item in enumerate(items):
        size = item.placement.bucket_width, item.placement.bucket_height
        found.setdefault(size, []).extend([index] * item.image.repeats)
    return [found[size] for size in sorted(found)]


def captions_vary(items: Sequence[PlacedImage]) -> bool:
    """Whether any image's caption differs from visit to visit, so that not all can be encoded ahead."""
    return any(item.rules.varies(item.image.lines) for item in items)


def possible_captions(items: Sequence[PlacedImage]) -> list[str]:
    """Every caption of ``items`` there can be, where none of them varies; the empty one among them if one is dropped."""
    found = dict.fromkeys(item.plain_caption for item in items)
    if any(item.rules.caption_dropout for item in items):
        found.setdefault("")
    return list(found)


def _identity(item: PlacedImage) -> list[Any]:
    image, placement = item.image, item.placement
    sides = [
        placement.bucket_width,
        placement.bucket_height,
        placement.resized_width,
        placement.resized_height,
        placement.crop_left,
        placement.crop_top,
    ]
    identity = [os.fsencode(image.name).hex(), image.digest, image.caption, sides, image.repeats]
    further = {
        "captions": item.rules.changed(),
        "lines": list(image.lines) if item.rules.wildcards else [],
        "crops": len(item.crops),
        "flips": item.flips,
        "regularisation": image.is_regularisation,
        "loss_weight": image.loss_weight - 1.0,
        "alpha_mask": image.alpha_mask,
        "mask": image.mask_file.digest if image.mask_file else None,
    }
    # Only what was set, so that a set without any of it is the one it was before these settings were there.
    chosen = {name: value for name, value in further.items() if value}
    return [*identity, chosen] if chosen else identity
