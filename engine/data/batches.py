"""A prepared data set: everything about its images that training needs, and the batches made of them.

Tensors come from memory or, for sets larger than that, from the cache's files. Which images make a batch is decided
by ``order.py``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from engine.data.buckets import time_ids
from engine.data.encoded import Embeddings, Latents, PlacedImage
from engine.data.order import BatchOrder
from engine.data.scan import Skipped


@dataclass(frozen=True)
class Batch:
    """What one forward pass is given about its B images, all of one bucket; float32."""

    latents: Tensor
    """(B, 4, H/8, W/8), times the VAE's scaling factor."""
    prompt_embeds: Tensor
    """(B, 77·k, D), k the chunks of the longest caption; a shorter one is followed by the empty caption's states.
    (B, 0, 0) where the text encoders are trained and ``captions`` are encoded in the step."""
    pooled: Tensor
    """(B, P), or (B, 0) like ``prompt_embeds``."""
    time_ids: Tensor
    """(B, 6), whole numbers as in ``buckets.time_ids``; too large for bf16 to hold exactly."""
    captions: tuple[str, ...]
    """What the embeddings were made of, word for word."""
    loss_weights: Tensor
    """(B,): 1, or the prior weight of a regularisation image."""
    masks: Tensor | None = None
    """(B, 1, H/8, W/8) in [0, 1], by which the squared error counts; None if no image of the batch has a mask."""


@dataclass(frozen=True)
class Cached:
    """How one kind of encoded tensors came to be in the cache: the ``cached`` event."""

    what: str
    """"latents" or "text"."""
    count: int
    built: int
    """How many of ``count`` were missing or damaged."""
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The event's fields."""
        return asdict(self)


@dataclass(frozen=True)
class DatasetReport:
    """What a data set came to: the ``dataset`` event, and what was left out by name."""

    images: int
    batches_per_epoch: int
    buckets: dict[str, int]
    """Images by bucket (``"832x1216"``, width × height), repeats not counted."""
    skipped: tuple[Skipped, ...]

    def to_json(self) -> dict[str, Any]:
        """The event's fields; of what was skipped the number."""
        return {**asdict(self), "skipped": len(self.skipped)}


class TrainingSet:
    """The images of a run by index, their batches, and what identifies them all."""

    def __init__(
        self,
        items: Sequence[PlacedImage],
        *,
        latents: Latents,
        embeddings: Embeddings | None,
        skipped: Sequence[Skipped] = (),
        cached: Sequence[Cached] = (),
    ) -> None:
        """Take ``items`` in their canonical order: an index means the same image wherever the folders lie.

        embeddings: None where captions are encoded in every step.
        """
        self.items = tuple(sorted(items, key=_identity))
        self.cached = tuple(cached)
        self._skipped = tuple(skipped)
        self._latents = latents
        self._embeddings = embeddings
        self._time_ids = [
            torch.tensor(time_ids(item.image.width, item.image.height, item.placement), dtype=torch.float32)
            for item in self.items
        ]
        identities = json.dumps([_identity(item) for item in self.items], separators=(",", ":"))
        self._fingerprint = hashlib.sha256(identities.encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.items)

    @property
    def fingerprint(self) -> str:
        """sha256 in hex over name, content, caption, placement and repeats of every image; folders do not matter."""
        return self._fingerprint

    @property
    def groups(self) -> list[list[int]]:
        """Indices by bucket, narrowest bucket first, each as often as its image is repeated in an epoch."""
        groups: dict[tuple[int, int], list[int]] = {}
        for index, item in enumerate(self.items):
            size = item.placement.bucket_width, item.placement.bucket_height
            groups.setdefault(size, []).extend([index] * item.image.repeats)
        return [groups[size] for size in sorted(groups)]

    def order(self, batch_size: int, seed: int) -> BatchOrder:
        """The order in which to read this set."""
        return BatchOrder(self.groups, batch_size, seed, self._fingerprint)

    def report(self, batch_size: int) -> DatasetReport:
        """What the set came to when read in batches of ``batch_size``."""
        buckets = Counter(item.placement.bucket for item in self.items)
        return DatasetReport(
            images=len(self.items),
            batches_per_epoch=sum(-(-len(group) // batch_size) for group in self.groups),
            buckets=dict(sorted(buckets.items(), key=lambda entry: [int(side) for side in entry[0].split("x")])),
            skipped=self._skipped,
        )

    def batch(self, indices: Sequence[int]) -> Batch:
        """The images of ``indices``, which must be of one bucket, in that order."""
        items = [self.items[index] for index in indices]
        captions = tuple(item.image.caption for item in items)
        if self._embeddings is None:
            prompt_embeds, pooled = torch.empty(len(items), 0, 0), torch.empty(len(items), 0)
        else:
            prompt_embeds, pooled = self.embeddings(captions)
        return Batch(
            latents=_stacked([self._latents.load(item) for item in items]),
            prompt_embeds=prompt_embeds,
            pooled=pooled,
            time_ids=_stacked([self._time_ids[index] for index in indices]),
            captions=captions,
            loss_weights=torch.ones(len(items)),
        )

    def embeddings(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """N captions or prompts as (N, 77·k, D) and (N, P), float32; encoded now where they were not prepared.

        k counts the chunks of the longest one; a shorter one is followed by the empty caption's states.
        """
        kept = self._embeddings
        if kept is None:
            raise ValueError("the captions of this set are encoded in every step")
        found = [kept.load(text) for text in texts]
        longest = max(len(embedding.prompt_embeds) for embedding in found)
        prompt_embeds = [_lengthened(kept, embedding.prompt_embeds, longest) for embedding in found]
        return _stacked(prompt_embeds), _stacked([embedding.pooled for embedding in found])


def _lengthened(embeddings: Embeddings, states: Tensor, length: int) -> Tensor:
    if len(states) == length:
        return states
    empty = embeddings.load("").prompt_embeds
    return torch.cat([states, *[empty] * ((length - len(states)) // len(empty))])


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(tensors)).to(torch.float32)


def _identity(item: PlacedImage) -> tuple[str, str, str, list[int], int]:
    placement = item.placement
    sides = [
        placement.bucket_width,
        placement.bucket_height,
        placement.resized_width,
        placement.resized_height,
        placement.crop_left,
        placement.crop_top,
    ]
    return os.fsencode(item.image.name).hex(), item.image.digest, item.image.caption, sides, item.image.repeats
