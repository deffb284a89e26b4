"""A prepared data set: everything about its images that training needs, and the batches made of them.

Tensors come from memory or, for sets larger than that, from the cache's files. Which images make a batch is decided
by ``order.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch
from torch import Tensor

from engine.data.embeddings import TextSource
from engine.data.encoded import PIXELS_PER_LATENT, Latents, Masks
from engine.data.order import BatchOrder, Visit
from engine.data.placing import fingerprint, groups, in_order
from engine.data.report import DatasetReport, report_on
from engine.data.scan import Skipped
from engine.data.views import PlacedImage, View

CHUNK: Final = 75
"""Tokens a caption has room for in one chunk."""


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
    """"latents", "masks" or "text"."""
    count: int
    built: int
    """How many of ``count`` were missing or damaged."""
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The event's fields."""
        return asdict(self)


class TrainingSet:
    """The images of a run by index, their batches, and what identifies them all."""

    def __init__(
        self,
        items: Sequence[PlacedImage],
        *,
        latents: Latents,
        masks: Masks,
        text: TextSource | None,
        skipped: Sequence[Skipped] = (),
        cached: Sequence[Cached] = (),
        tokens: Mapping[str, int] | None = None,
        max_tokens: int = CHUNK,
    ) -> None:
        """Take ``items`` in their canonical order.

        text: None where captions are encoded in the step. tokens: lengths of captions without chance.
        """
        self.items = in_order(items)
        self.cached = tuple(cached)
        self._skipped = tuple(skipped)
        self._latents = latents
        self._masks = masks
        self._text = text
        self._tokens = tokens or {}
        self._max_tokens = max_tokens
        self._fingerprint = fingerprint(self.items)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def fingerprint(self) -> str:
        """Identifies name, content, caption, placement, mask, weight and repeats of every image; folders do not matter."""
        return self._fingerprint

    @property
    def groups(self) -> list[list[int]]:
        """Indices by bucket, narrowest bucket first, each as often as its image is repeated in an epoch."""
        return groups(self.items)

    def chunks(self, index: int) -> int:
        """How many chunks an image's caption without chance fills."""
        tokens = min(self._tokens.get(self.items[index].plain_caption, 0), self._max_tokens)
        return max(1, -(-tokens // CHUNK))

    def order(self, batch_size: int, seed: int) -> BatchOrder:
        """The order in which to read this set."""
        return BatchOrder(self.groups, batch_size, seed, self._fingerprint)

    def report(self, batch_size: int, accumulation: int = 1) -> DatasetReport:
        """What the set came to when read in batches of ``batch_size``, ``accumulation`` of them a step."""
        return report_on(
            self.items,
            skipped=self._skipped,
            batch_size=batch_size,
            accumulation=accumulation,
            tokens=[self._tokens[item.plain_caption] for item in self.items if item.plain_caption in self._tokens],
            max_tokens=self._max_tokens,
            encodes_text=self._text is not None,
        )

    def batch(self, members: Sequence[Visit | int]) -> Batch:
        """The images of ``members``, which must be of one bucket, in that order.

        A visit sees what its chances make of image and caption; an index alone sees both without chance.
        """
        items = [self.items[_index(member)] for member in members]
        views, captions = [], []
        for item, member in zip(items, members, strict=True):
            views.append(item.seen_at(member) if isinstance(member, Visit) else item.views[0])
            captions.append(item.caption_at(member) if isinstance(member, Visit) else item.plain_caption)
        if self._text is None:
            prompt_embeds, pooled = torch.empty(len(items), 0, 0), torch.empty(len(items), 0)
        else:
            prompt_embeds, pooled = self.embeddings(captions)
        return Batch(
            latents=_stacked([self._latents.load(view) for view in views]),
            prompt_embeds=prompt_embeds,
            pooled=pooled,
            time_ids=torch.tensor([view.time_ids for view in views], dtype=torch.float32),
            captions=tuple(captions),
            loss_weights=torch.tensor([item.image.loss_weight for item in items], dtype=torch.float32),
            masks=self._masks_of(views),
        )

    def _masks_of(self, views: Sequence[View]) -> Tensor | None:
        if not any(view.image.has_mask for view in views):
            return None
        placement = views[0].placement
        shape = (1, placement.bucket_height // PIXELS_PER_LATENT, placement.bucket_width // PIXELS_PER_LATENT)
        return _stacked([self._masks.load(view) if view.image.has_mask else torch.ones(shape) for view in views])

    def embeddings(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """N captions or prompts as (N, 77·k, D) and (N, P), float32; encoded now where they were not prepared.

        k counts the chunks of the longest one; a shorter one is followed by the empty caption's states.
        """
        if self._text is None:
            raise ValueError("the captions of this set are encoded in every step")
        found = [self._text.load(text) for text in texts]
        longest = max(len(embedding.prompt_embeds) for embedding in found)
        prompt_embeds = [_lengthened(self._text, embedding.prompt_embeds, longest) for embedding in found]
        return _stacked(prompt_embeds), _stacked([embedding.pooled for embedding in found])


def _lengthened(text: TextSource, states: Tensor, length: int) -> Tensor:
    if len(states) == length:
        return states
    empty = text.load("").prompt_embeds
    return torch.cat([states, *[empty] * ((length - len(states)) // len(empty))])


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(tensors)).to(torch.float32)


def _index(member: Visit | int) -> int:
    return member.index if isinstance(member, Visit) else member
