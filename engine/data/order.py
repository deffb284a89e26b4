"""The order in which a training set is read: batches within buckets, shuffled per epoch, at a position that can be stored.

The batches of an epoch are a pure function of seed and epoch. The stored state holds them too, so that a run resumed
under a later release goes on with the very batches it had begun.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from engine.data.errors import DataOrderError

Element = TypeVar("Element")
Groups = Sequence[Sequence[int]]
Batches = list[list[int]]


def epoch_batches(groups: Groups, batch_size: int, seed: int, epoch: int) -> Batches:
    """The batches of ``epoch``: every group shuffled and cut into batches (a short last one is kept), all shuffled.

    groups: for every bucket the indices of its images, each as often as it is repeated. The generator is Python's
    Mersenne Twister, seeded with the sha256 of seed and epoch; only its ``random()`` is used, whose sequence is
    the same in every version of Python.
    """
    digest = hashlib.sha256(f"data order, seed {seed}, epoch {epoch}".encode()).digest()
    generator = random.Random(int.from_bytes(digest))
    batches: Batches = []
    for group in groups:
        members = list(group)
        shuffle(members, generator)
        batches += [members[start : start + batch_size] for start in range(0, len(members), batch_size)]
    shuffle(batches, generator)
    return batches


def shuffle(elements: list[Element], generator: random.Random) -> None:
    """Fisher and Yates' shuffle, in place; the same in every version of Python."""
    for last in range(len(elements) - 1, 0, -1):
        chosen = int(generator.random() * (last + 1))
        elements[last], elements[chosen] = elements[chosen], elements[last]


@dataclass(frozen=True)
class Visit:
    """One look at an image. Everything by chance about it follows from these four numbers, so a resume needs no more."""

    index: int
    seed: int
    epoch: int
    """From 0."""
    repeat: int
    """How often the image came before in this epoch."""

    def chance(self, purpose: str) -> random.Random:
        """A generator for one purpose, so that what is drawn for one never shifts another."""
        text = f"{purpose}, seed {self.seed}, epoch {self.epoch}, image {self.index}, repeat {self.repeat}"
        return random.Random(int.from_bytes(hashlib.sha256(text.encode()).digest()))


def _repeats(order: Batches) -> list[list[int]]:
    """For every index in the order how often it stands before."""
    seen: Counter[int] = Counter()
    repeats: list[list[int]] = []
    for batch in order:
        repeats.append([])
        for index in batch:
            repeats[-1].append(seen[index])
            seen[index] += 1
    return repeats


class BatchOrder:
    """Hands out batches for ever, epoch after epoch, and can be put back to where it was."""

    def __init__(self, groups: Groups, batch_size: int, seed: int, fingerprint: str) -> None:
        """Begin before the first batch of epoch 0.

        groups: as for ``epoch_batches``, at least one image in all. fingerprint: identifies what the indices mean
        (``TrainingSet.fingerprint``).
        """
        self._groups = [list(group) for group in groups if group]
        if not self._groups or batch_size < 1:
            raise ValueError("an order needs at least one image and a batch size of at least 1")
        self._batch_size = batch_size
        self._fingerprint = fingerprint
        self._seed = seed
        self._epoch = 0
        self._position = 0
        self._order = epoch_batches(self._groups, batch_size, seed, 0)
        self._repeats = _repeats(self._order)

    @property
    def seed(self) -> int:
        """The seed in use: the stored one after ``load_state_dict``."""
        return self._seed

    @property
    def epoch(self) -> int:
        """The epoch, from 0, that the last batch handed out belongs to."""
        return self._epoch

    @property
    def position(self) -> int:
        """Batches of this epoch handed out so far; after its last one ``batches_per_epoch``."""
        return self._position

    @property
    def batches_per_epoch(self) -> int:
        """Short last batches of buckets included."""
        return len(self._order)

    @property
    def visits_per_epoch(self) -> int:
        """Images in an epoch, each as often as it is repeated."""
        return sum(len(group) for group in self._groups)

    def count(self, is_counted: Callable[[int], bool]) -> int:
        """Of the visits of an epoch those of images whose index ``is_counted`` agrees to."""
        return sum(is_counted(index) for group in self._groups for index in group)

    @property
    def fingerprint(self) -> str:
        """Identifies what the indices mean."""
        return self._fingerprint

    def next_batch(self) -> list[Visit]:
        """The images of the next batch, all of one bucket; begins the next epoch when this one is used up."""
        if self._position == len(self._order):
            self._epoch += 1
            self._position = 0
            self._order = epoch_batches(self._groups, self._batch_size, self._seed, self._epoch)
            self._repeats = _repeats(self._order)
        pairs = zip(self._order[self._position], self._repeats[self._position], strict=True)
        self._position += 1
        return [Visit(index, self._seed, self._epoch, repeat) for index, repeat in pairs]

    def state_dict(self) -> dict[str, Any]:
        """Everything ``load_state_dict`` needs, as JSON values (docs/files.md, ``data`` in state.json)."""
        return {
            "seed": self._seed,
            "epoch": self._epoch,
            "position": self._position,
            "order": [list(batch) for batch in self._order],
            "fingerprint": self._fingerprint,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to the position in ``state``. On any error, a ``DataOrderError``, the order stays as it was."""
        stored = state.get("fingerprint")
        if stored != self._fingerprint:
            raise DataOrderError(
                "the images, captions, repeats or buckets are not those of the checkpoint, so its place in them means nothing",
                where=f"data set {self._fingerprint[:12]}, checkpoint's {str(stored)[:12]}",
                hint="Put the data set back as it was to resume, or continue from the checkpoint as a new run.",
            )
        seed, epoch, position = (_count(state, name) for name in ("seed", "epoch", "position"))
        order = state.get("order")
        if not self._is_possible(order):
            raise DataOrderError(
                "the stored order of batches does not fit the data set and batch size",
                where="data.order",
                hint="Resume with the profile the checkpoint was made with, or continue from it as a new run.",
            )
        assert isinstance(order, list)
        if position > len(order):
            raise DataOrderError(
                f"position {position} lies behind the last of {len(order)} batches", where="data.position"
            )
        self._seed, self._epoch, self._position = seed, epoch, position
        self._order = [list(batch) for batch in order]
        self._repeats = _repeats(self._order)

    def _is_possible(self, order: object) -> bool:
        """Whether ``order`` is one that ``epoch_batches`` could give for these groups and this batch size."""
        if not isinstance(order, list) or not all(isinstance(batch, list) and batch for batch in order):
            return False
        if not all(type(index) is int for batch in order for index in batch):
            return False
        group_of = {index: number for number, group in enumerate(self._groups) for index in group}
        if any(len({group_of.get(index) for index in batch}) > 1 for batch in order):
            return False
        sizes = Counter((group_of.get(batch[0]), len(batch)) for batch in order)
        possible = Counter((group_of[batch[0]], len(batch)) for batch in self._order)
        members = Counter(index for batch in order for index in batch)
        return sizes == possible and members == Counter(index for group in self._groups for index in group)


def _count(state: Mapping[str, Any], name: str) -> int:
    value = state.get(name)
    if type(value) is not int or value < 0:
        raise DataOrderError(f"{name} is {value!r} where a count is expected", where=f"data.{name}")
    return value
