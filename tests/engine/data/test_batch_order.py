from __future__ import annotations

import json
from collections import Counter
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.errors import DataOrderError
from engine.data.order import BatchOrder, Visit, epoch_batches

FINGERPRINT = "f" * 64
SMALL = [[0, 1, 2], [3, 3, 4, 4, 5], [6]]
# What seed 7 gives for these, written down at the first release.
EPOCH_0 = [[3, 3], [0, 2], [6], [1], [4, 5], [4]]
EPOCH_1 = [[1], [3], [4, 5], [2, 0], [6], [4, 3]]


@st.composite
def groups(draw: st.DrawFn) -> list[list[int]]:
    """Up to four buckets of images with repeats, indices counting up over all of them."""
    repeats = draw(st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=8), min_size=1, max_size=4))
    made: list[list[int]] = []
    index = 0
    for bucket in repeats:
        made.append([])
        for count in bucket:
            made[-1] += [index] * count
            index += 1
    return made


seeds = st.integers(0, 2**63 - 1)
batch_sizes = st.integers(1, 5)


@given(groups(), batch_sizes, seeds, st.integers(0, 50))
@settings(deadline=None)
def test_every_image_comes_exactly_as_often_as_it_is_repeated(
    buckets: list[list[int]], batch_size: int, seed: int, epoch: int
) -> None:
    batches = epoch_batches(buckets, batch_size, seed, epoch)
    seen = Counter(index for batch in batches for index in batch)
    assert seen == Counter(index for bucket in buckets for index in bucket)


@given(groups(), batch_sizes, seeds)
@settings(deadline=None)
def test_batches_are_of_one_bucket_and_only_its_last_one_is_short(
    buckets: list[list[int]], batch_size: int, seed: int
) -> None:
    batches = epoch_batches(buckets, batch_size, seed, 0)
    bucket_of = {index: number for number, bucket in enumerate(buckets) for index in bucket}
    sizes: dict[int, list[int]] = {}
    for batch in batches:
        (bucket,) = {bucket_of[index] for index in batch}
        sizes.setdefault(bucket, []).append(len(batch))
    for number, bucket_sizes in sizes.items():
        full, rest = divmod(len(buckets[number]), batch_size)
        assert sorted(bucket_sizes) == sorted([batch_size] * full + [rest] * bool(rest))


@given(groups(), batch_sizes, seeds, st.integers(0, 50))
@settings(deadline=None)
def test_an_epoch_is_a_pure_function_of_seed_and_number(
    buckets: list[list[int]], batch_size: int, seed: int, epoch: int
) -> None:
    assert epoch_batches(buckets, batch_size, seed, epoch) == epoch_batches(buckets, batch_size, seed, epoch)


def test_the_order_stays_the_same_over_releases() -> None:
    assert epoch_batches(SMALL, 2, seed=7, epoch=0) == EPOCH_0
    assert epoch_batches(SMALL, 2, seed=7, epoch=1) == EPOCH_1


def test_epochs_and_seeds_differ() -> None:
    buckets = [list(range(20))]
    orders = [epoch_batches(buckets, 2, seed, epoch) for seed in range(3) for epoch in range(3)]
    assert len({json.dumps(order) for order in orders}) == 9


def test_every_place_in_the_epoch_is_equally_likely() -> None:
    buckets = [list(range(4))]
    firsts = Counter(epoch_batches(buckets, 1, seed, 0)[0][0] for seed in range(2000))
    assert all(430 < count < 570 for count in firsts.values())


@given(groups(), batch_sizes, seeds, st.integers(0, 40), seeds)
@settings(max_examples=100, deadline=None)
def test_stopped_anywhere_and_restored_the_rest_is_identical(
    buckets: list[list[int]], batch_size: int, seed: int, stop: int, other_seed: int
) -> None:
    straight = BatchOrder(buckets, batch_size, seed, FINGERPRINT)
    expected = [straight.next_batch() for _ in range(stop + 30)]
    stopped = BatchOrder(buckets, batch_size, seed, FINGERPRINT)
    before = [stopped.next_batch() for _ in range(stop)]
    stored = json.loads(json.dumps(stopped.state_dict()))
    restored = BatchOrder(buckets, batch_size, other_seed, FINGERPRINT)
    restored.load_state_dict(stored)
    assert restored.state_dict() == stopped.state_dict()
    assert before + [restored.next_batch() for _ in range(30)] == expected


def test_the_state_has_the_documented_fields() -> None:
    order = BatchOrder(SMALL, 2, 7, FINGERPRINT)
    for _ in range(8):
        order.next_batch()
    state = order.state_dict()
    assert state == {"seed": 7, "epoch": 1, "position": 2, "order": EPOCH_1, "fingerprint": FINGERPRINT}


def test_position_and_epoch_count_what_was_handed_out() -> None:
    order = BatchOrder(SMALL, 2, 0, FINGERPRINT)
    assert order.batches_per_epoch == 6
    places = []
    for _ in range(7):
        order.next_batch()
        places.append((order.epoch, order.position))
    assert places == [(0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (0, 6), (1, 1)]


def test_changing_what_was_handed_out_changes_nothing_inside() -> None:
    order = BatchOrder(SMALL, 2, 0, FINGERPRINT)
    untouched = deepcopy(order.state_dict())
    order.next_batch().clear()
    order.state_dict()["order"].clear()
    assert order.state_dict() == {**untouched, "position": 1}


def test_another_data_set_is_refused() -> None:
    state = BatchOrder(SMALL, 2, 0, "a" * 64).state_dict()
    with pytest.raises(DataOrderError, match="not those of the checkpoint"):
        BatchOrder(SMALL, 2, 0, FINGERPRINT).load_state_dict(state)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": -1},
        {"seed": 1.0},
        {"epoch": None},
        {"epoch": True},
        {"position": "4"},
        {"position": 7},
        {"order": None},
        {"order": []},
        {"order": [[0, 1], [2], [3, 3], [4, 4], [5], [7]]},
        {"order": [[0, 1], [2], [3, 3], [4, 4], [6], [6]]},
        {"order": [[0, 3], [2], [1, 3], [4, 4], [5], [6]]},
        {"order": [[0, 1, 2], [3, 3], [4, 4], [5], [6]]},
        {"order": [[0], [1], [2], [3, 3], [4, 4], [5], [6]]},
        {"order": [[0, 1], [2], [3, 3], [4, 4], [5], [6.0]]},
        {"order": [[0, 1], [2], [3, 3], [4, 4], [5], []]},
        {"order": [[0, 1], [2], [3, 3], [4, 4], [5], ["6"]]},
    ],
)
def test_a_state_that_cannot_be_is_refused_and_changes_nothing(change: dict[str, Any]) -> None:
    order = BatchOrder(SMALL, 2, 0, FINGERPRINT)
    order.next_batch()
    before = order.state_dict()
    with pytest.raises(DataOrderError):
        order.load_state_dict({**before, **change})
    assert order.state_dict() == before


def test_the_stored_order_wins_over_the_one_that_would_be_made_now() -> None:
    order = BatchOrder(SMALL, 2, 0, FINGERPRINT)
    stored = [[6], [5], [4, 4], [3, 3], [2], [0, 1]]
    order.load_state_dict({**order.state_dict(), "order": stored, "position": 1})
    assert [indices(order.next_batch()) for _ in range(5)] == stored[1:]
    assert indices(order.next_batch()) == epoch_batches(SMALL, 2, 0, 1)[0]


def indices(batch: list[Visit]) -> list[int]:
    return [visit.index for visit in batch]


def test_a_visit_knows_how_often_its_image_came_before_in_the_epoch() -> None:
    order = BatchOrder([[0, 0, 0, 1], [2, 2]], 2, 3, FINGERPRINT)
    for epoch in range(2):
        visits = [visit for _ in range(order.batches_per_epoch) for visit in order.next_batch()]
        assert {(visit.seed, visit.epoch) for visit in visits} == {(3, epoch)}
        for index, count in ((0, 3), (1, 1), (2, 2)):
            assert [visit.repeat for visit in visits if visit.index == index] == list(range(count))


def test_chances_follow_from_the_visit_and_the_purpose_alone() -> None:
    visit = Visit(index=4, seed=7, epoch=1, repeat=2)
    assert visit.chance("flip").random() == Visit(4, 7, 1, 2).chance("flip").random()
    others = [Visit(5, 7, 1, 2), Visit(4, 8, 1, 2), Visit(4, 7, 2, 2), Visit(4, 7, 1, 3)]
    drawn = {visit.chance("flip").random(), visit.chance("crop").random(), *(o.chance("flip").random() for o in others)}
    assert len(drawn) == 6


def test_an_order_of_nothing_is_a_defect() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        BatchOrder([[], []], 1, 0, FINGERPRINT)
