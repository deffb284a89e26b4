"""Which images are held out of the training to be measured, and the batches they are measured in."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.data.batches import TrainingSet
from engine.data.order import BatchOrder


@dataclass(frozen=True)
class HeldOut:
    """Images by index, of one or more sets; each set belongs to the training or was prepared for this alone."""

    parts: tuple[tuple[TrainingSet, frozenset[int]], ...] = ()

    def __len__(self) -> int:
        return sum(len(chosen) for _, chosen in self.parts)

    def of(self, data: TrainingSet) -> frozenset[int]:
        """The indices that are held out of ``data``."""
        return next((chosen for part, chosen in self.parts if part is data), frozenset())

    def batches(self, size: int) -> Iterator[tuple[TrainingSet, list[int]]]:
        """The images in batches of at most ``size``, each of one bucket, in an order that never changes.

        The captions of a batch fill equally many chunks: none is followed by empty ones, whatever ``size`` puts beside it.
        """
        for data, chosen in self.parts:
            for group in data.groups:
                by_length: dict[int, list[int]] = {}
                for index in dict.fromkeys(group):
                    if index in chosen:
                        by_length.setdefault(data.chunks(index), []).append(index)
                for _, members in sorted(by_length.items()):
                    for start in range(0, len(members), size):
                        yield data, members[start : start + size]


def choose_held_out(data: TrainingSet, share: float, seed: int) -> frozenset[int]:
    """Indices of the images to hold out: of each source but regularisation the ``share``, at least one and never all.

    Chosen by the hash of seed and content, so that the same pictures are held out wherever they lie and whatever else the
    data set holds; copies of a picture go together. A source of a single image keeps it.
    """
    if share <= 0:
        return frozenset()
    by_source: dict[int, set[str]] = {}
    for item in data.items:
        if not item.image.is_regularisation:
            by_source.setdefault(item.image.source, set()).add(item.image.digest)
    chosen: set[str] = set()
    for digests in by_source.values():
        count = min(max(1, math.floor(share * len(digests) + 0.5)), len(digests) - 1)
        chosen.update(sorted(digests, key=lambda digest: _rank(digest, seed))[:count])
    return frozenset(index for index, item in enumerate(data.items) if item.image.digest in chosen)


def order_without(data: TrainingSet, held_out: frozenset[int], batch_size: int, seed: int) -> BatchOrder:
    """The order in which to train on all images of ``data`` but those."""
    if not held_out:
        return data.order(batch_size, seed)
    groups: list[Sequence[int]] = [[index for index in group if index not in held_out] for group in data.groups]
    return BatchOrder(groups, batch_size, seed, data.fingerprint)


def _rank(digest: str, seed: int) -> bytes:
    return hashlib.sha256(f"held out, seed {seed}, {digest}".encode()).digest()
