"""All of a batch goes to the device."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.data.batches import Batch
from engine.train.transfer import batch_to_device


def test_everything_of_a_batch_goes_to_the_device() -> None:
    none = torch.zeros(2, 0)
    batch = Batch(torch.zeros(2, 4, 6, 5), none, none, none, ("", ""), torch.ones(2), torch.ones(2, 1, 6, 5))
    moved = batch_to_device(batch, torch.device("meta"))
    assert moved.captions == batch.captions
    tensors = [value for value in vars(moved).values() if isinstance(value, Tensor)]
    assert len(tensors) == 6
    assert {tensor.device.type for tensor in tensors} == {"meta"}
