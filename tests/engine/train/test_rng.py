"""Every random sequence goes on from where its stored state stands."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.checkpoint.manifest import CheckpointError
from engine.train import rng
from engine.train.average import WINDOW, LossAverage


def draw(noise: torch.Generator) -> list[Any]:
    """A few numbers of every generator."""
    return [
        random.random(),
        random.gauss(),
        np.random.standard_normal(),
        np.random.randint(1000),
        torch.randn(3).tolist(),
        torch.nn.functional.dropout(torch.ones(20)).tolist(),
        torch.randn(3, generator=noise).tolist(),
    ]


def test_a_restored_state_repeats_every_sequence() -> None:
    noise = rng.noise_generator(5)
    rng.seed_everything(5)
    draw(noise)  # an odd number of normal ones: Python and numpy keep the second of a pair
    stored = json.loads(json.dumps(rng.capture(noise)))
    expected = draw(noise)
    rng.seed_everything(6)
    noise.manual_seed(6)
    assert draw(noise) != expected
    assert rng.restore(stored, noise) == []
    assert draw(noise) == expected


def test_capturing_draws_nothing() -> None:
    noise = rng.noise_generator(5)
    assert rng.capture(noise) == rng.capture(noise)


@pytest.mark.parametrize("part", ["python", "numpy", "torch", "cuda", "noise"])
@pytest.mark.parametrize("damage", ["missing", "senseless"])
def test_a_state_that_is_not_whole_is_refused(part: str, damage: str) -> None:
    noise = rng.noise_generator(5)
    stored = rng.capture(noise)
    if damage == "missing":
        del stored[part]
    else:
        stored[part] = "not base64!" if part in ("torch", "noise") else ["x"]
    with pytest.raises(CheckpointError, match="random state"):
        rng.restore(stored, noise)


def test_a_gpu_that_is_gone_is_said() -> None:
    noise = rng.noise_generator(5)
    stored = rng.capture(noise)
    stored["cuda"] = [*stored["cuda"], stored["torch"]]
    (sentence,) = rng.restore(stored, noise)
    assert "dropout does not continue" in sentence


@given(st.integers(0, 2**63 - 1))
def test_seeds_of_different_purposes_differ_and_fit_everywhere(seed: int) -> None:
    seeds = {rng.derived_seed(seed, purpose) for purpose in ("noise", "adapter", "training")}
    assert len(seeds) == 3
    assert all(0 <= derived < 2**63 for derived in seeds)


@given(st.lists(st.floats(0, 10), max_size=2 * WINDOW))
def test_the_average_is_the_mean_of_the_latest_losses(losses: list[float]) -> None:
    average = LossAverage()
    for loss in losses:
        average.add(loss)
    if not losses:
        assert average.value is None
        return
    assert average.value == pytest.approx(float(np.mean(losses[-WINDOW:])), rel=1e-9, abs=1e-12)
    other = LossAverage()
    other.load_state_dict(json.loads(json.dumps(average.state_dict())))
    other.add(1.0)
    average.add(1.0)
    assert other.value == average.value


@pytest.mark.parametrize("losses", [None, ["0.1"], [float("nan")], [True]])
def test_an_average_that_is_not_readable_is_refused(losses: Any) -> None:
    with pytest.raises(CheckpointError, match="average"):
        LossAverage().load_state_dict({"losses": losses})
