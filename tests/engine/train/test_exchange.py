"""The shares of a batch: whoever adds them up has the whole, whatever its size."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import mse_loss

from engine.data.batches import Batch
from engine.train.exchange import Exchange
from engine.train.rng import seed_process


@given(total=st.integers(1, 40), count=st.integers(1, 9))
def test_the_shares_are_the_batch_in_order_and_even(total: int, count: int) -> None:
    shares = [Exchange(rank, count).share(total) for rank in range(count)]
    assert [index for share in shares for index in range(total)[share.part]] == list(range(total))
    assert max(share.count for share in shares) - min(share.count for share in shares) <= 1
    assert sum(share.weight for share in shares) == pytest.approx(1)


@pytest.mark.parametrize("total", [1, 3, 4], ids=["fewer than processes", "uneven", "even"])
def test_weighted_gradients_of_the_shares_are_those_of_the_whole(total: int) -> None:
    inputs, target = torch.randn(total, 5, dtype=torch.float64), torch.randn(total, 5, dtype=torch.float64)
    whole, parts = (torch.nn.Parameter(torch.ones(5, dtype=torch.float64)) for _ in range(2))
    loss = mse_loss(inputs * whole, target)
    loss.backward()  # type: ignore[no-untyped-call]
    summed = torch.zeros((), dtype=torch.float64)
    for rank in range(2):
        share = Exchange(rank, 2).share(total)
        if share.count:
            part = mse_loss(inputs[share.part] * parts, target[share.part]) * share.weight
            part.backward()  # type: ignore[no-untyped-call]
            summed += part.detach()
    assert whole.grad is not None and parts.grad is not None
    torch.testing.assert_close(summed, loss.detach())
    torch.testing.assert_close(parts.grad, whole.grad)


def test_a_share_of_a_batch_has_the_entries_of_its_images_in_every_field() -> None:
    latents, prompt_embeds, pooled, time_ids, loss_weights, masks = (
        torch.arange(3.0) + 10 * field for field in range(6)
    )
    batch = Batch(latents, prompt_embeds, pooled, time_ids, ("a", "b", "c"), loss_weights, masks)
    own = Exchange(1, 2).share(3).of(batch)
    assert own.captions == ("c",)
    tensors = (own.latents, own.prompt_embeds, own.pooled, own.time_ids, own.loss_weights, own.masks)
    assert [tensor.tolist() for tensor in tensors if tensor is not None] == [[10.0 * field + 2] for field in range(6)]
    assert Exchange(1, 2).share(3).of(replace(batch, masks=None)).masks is None
    assert Exchange().share(3).of(batch) is batch


def test_one_process_alone_changes_nothing() -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.grad = torch.full((2,), 3.0)
    loss = torch.tensor(0.5)
    assert Exchange().sum_up([parameter], loss) is loss
    assert parameter.grad.tolist() == [3.0, 3.0]


def test_the_random_numbers_of_a_process_depend_on_seed_rank_and_step() -> None:
    def drawn(seed: int, rank: int, step: int) -> float:
        seed_process(seed, rank, step)
        return float(torch.rand(()))

    assert drawn(7, 1, 3) == drawn(7, 1, 3)
    assert len({drawn(7, 1, 3), drawn(7, 2, 3), drawn(7, 1, 4), drawn(8, 1, 3)}) == 4
