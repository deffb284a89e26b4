"""Masks and weights in the loss, held against an independent reference; the rest of it in test_first_steps.py."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.data.batches import Batch
from engine.train.loss import batch_to_device, noise_prediction_loss


class Guess(nn.Module):
    """A UNet that finds the same, whatever it is given."""

    def __init__(self, found: Tensor) -> None:
        super().__init__()
        self.found = nn.Parameter(found)

    def forward(self, *_: Any, **__: Any) -> tuple[Tensor]:
        return (self.found,)


class NoNoise:
    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        return latents


def batch_of(count: int, loss_weights: Tensor, masks: Tensor | None) -> Batch:
    latents = torch.zeros(count, 4, 6, 5)
    none = torch.zeros(count, 0)
    return Batch(latents, none, none, none, ("",) * count, loss_weights, masks)


@pytest.mark.parametrize("masked", [False, True])
def test_the_loss_is_the_mean_over_all_values_and_the_weighted_mean_over_images(masked: bool) -> None:
    torch.manual_seed(0)
    found, noise = torch.randn(3, 4, 6, 5), torch.randn(3, 4, 6, 5)
    weights = torch.tensor([1.0, 0.5, 2.0])
    masks = torch.rand(3, 1, 6, 5) if masked else None
    guess = Guess(found)
    loss = noise_prediction_loss(guess, NoNoise(), batch_of(3, weights, masks), noise, torch.zeros(3))
    (gradient,) = torch.autograd.grad(loss, guess.found)
    expected, slopes = 0.0, torch.zeros_like(found)
    for image in range(3):
        for channel in range(4):
            for y in range(6):
                for x in range(5):
                    share = 1.0 if masks is None else float(masks[image, 0, y, x])
                    share *= float(weights[image]) / (3 * 4 * 6 * 5)
                    difference = float(found[image, channel, y, x] - noise[image, channel, y, x])
                    expected += share * difference**2
                    slopes[image, channel, y, x] = 2 * share * difference
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(gradient, slopes)


def test_everything_of_a_batch_goes_to_the_device() -> None:
    batch = batch_of(2, torch.ones(2), torch.ones(2, 1, 6, 5))
    moved = batch_to_device(batch, torch.device("meta"))
    assert moved.captions == batch.captions
    tensors = [value for value in vars(moved).values() if isinstance(value, Tensor)]
    assert len(tensors) == 6
    assert {tensor.device.type for tensor in tensors} == {"meta"}
