"""Resizing keeps what a dense singular value decomposition says is the most, and says truly how much that is."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.model.errors import AdapterError
from engine.model.lora_tensors import DOWN, MAGNITUDE, UP
from engine.model.lora_weights import LoraWeights, ModuleWeights, delta
from engine.model.resize import Wanted, resize, resized_metadata


@st.composite
def modules(draw: st.DrawFn) -> ModuleWeights:
    """A linear layer or a convolution with singular values that fall quickly, sometimes with a rank above its width."""
    out, inputs, rank = draw(st.integers(1, 12)), draw(st.integers(1, 12)), draw(st.integers(1, 8))
    kernel = draw(st.sampled_from([(), (1, 1), (3, 3)]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    falling = 0.5 ** torch.arange(rank, dtype=torch.float32)
    down = torch.randn(rank, inputs, *kernel, generator=generator)
    up = torch.randn(out, rank, generator=generator) * falling
    return ModuleWeights({DOWN: down, UP: up.reshape(out, rank, *[1] * len(kernel))}, draw(st.floats(0.1, 16)))


def dense(own: ModuleWeights) -> tuple[Tensor, Tensor, Tensor]:
    """The oracle: the whole matrix, decomposed."""
    scale = own.alpha / own.tensors[DOWN].shape[0]
    matrix = scale * own.tensors[UP].double().flatten(1) @ own.tensors[DOWN].double().flatten(1)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    return left, values, right


def truncated(own: ModuleWeights, rank: int) -> Tensor:
    left, values, right = dense(own)
    return (left[:, :rank] * values[:rank] @ right[:rank]).float()


def close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max() + 1e-9))


@settings(max_examples=60, deadline=None)
@given(modules(), st.integers(1, 10))
def test_a_fixed_rank_is_the_dense_decomposition_cut_off(own: ModuleWeights, rank: int) -> None:
    resized, (kept,) = resize({"m": own}, Wanted(rank=rank))
    new = resized["m"]
    assert new.tensors[DOWN].shape == (rank, *own.tensors[DOWN].shape[1:])
    assert new.tensors[UP].shape == (own.tensors[UP].shape[0], rank, *own.tensors[UP].shape[2:])
    assert new.scale == pytest.approx(own.scale)
    # Equal singular values may be taken in any order: compare at gaps only.
    values = dense(own)[1]
    if rank >= len(values) or values[rank - 1] > values[rank] * 1.01 + 1e-6:
        assert close(delta(new), truncated(own, rank))
    assert kept.frobenius == pytest.approx(float(values[:rank].norm() / values.norm()), abs=1e-5)
    assert kept.singular_values == pytest.approx(float(values[:rank].sum() / values.sum()), abs=1e-5)
    assert (kept.old_rank, kept.new_rank) == (own.tensors[DOWN].shape[0], rank)


@settings(max_examples=40, deadline=None)
@given(modules(), st.floats(0.5, 64))
def test_the_full_rank_changes_nothing_whatever_alpha(own: ModuleWeights, alpha: float) -> None:
    for wanted in (
        Wanted(rank=own.rank),
        Wanted(rank=own.rank, alpha=alpha),
        Wanted(keep=1.0),
        Wanted(keep_frobenius=1.0),
    ):
        new = resize({"m": own}, wanted)[0]["m"]
        assert close(delta(new), delta(own))
        assert new.alpha == pytest.approx(wanted.alpha if wanted.alpha is not None else own.scale * (new.rank or 0))


@settings(max_examples=60, deadline=None)
@given(modules(), st.floats(0.05, 0.99))
def test_what_is_kept_is_enough_and_one_rank_less_is_not(own: ModuleWeights, share: float) -> None:
    values = dense(own)[1]
    for wanted, masses, needed in (
        (Wanted(keep=share), values, share),
        (Wanted(keep_frobenius=share), values.square(), share * share),
    ):
        rank = resize({"m": own}, wanted)[0]["m"].rank
        assert rank is not None
        shares = masses.cumsum(0) / masses.sum()
        assert shares[rank - 1] >= needed - 1e-6
        assert rank == 1 or shares[rank - 2] < needed + 1e-6


@settings(max_examples=40, deadline=None)
@given(modules(), st.floats(1, 100), st.integers(1, 8))
def test_ratio_keeps_values_near_the_largest_and_rank_limits_it(own: ModuleWeights, ratio: float, limit: int) -> None:
    values = dense(own)[1]
    rank = resize({"m": own}, Wanted(keep_ratio=ratio))[0]["m"].rank
    assert rank is not None
    assert values[rank - 1] >= values[0] / ratio * (1 - 1e-6)
    assert rank == len(values) or rank == own.rank or values[rank] < values[0] / ratio * (1 + 1e-6)
    assert resize({"m": own}, Wanted(keep_ratio=ratio, rank=limit))[0]["m"].rank == min(rank, limit)


def test_a_higher_rank_can_learn_and_changes_nothing() -> None:
    own = ModuleWeights({DOWN: torch.randn(2, 6), UP: torch.randn(5, 2)}, 2.0)
    new = resize({"m": own}, Wanted(rank=4))[0]["m"]
    assert close(delta(new), delta(own))
    assert not new.tensors[UP][:, 2:].any()
    assert new.tensors[DOWN][2:].abs().min(dim=1).values.max() > 0, "a zero in both halves would never get a gradient"


def test_convolutions_have_a_rank_of_their_own_and_zero_stays_zero() -> None:
    weights: LoraWeights = {
        "linear": ModuleWeights({DOWN: torch.randn(8, 6), UP: torch.zeros(5, 8)}, 8.0),
        "conv": ModuleWeights({DOWN: torch.randn(8, 6, 3, 3), UP: torch.randn(5, 8, 1, 1)}, 8.0),
    }
    resized, report = resize(weights, Wanted(rank=4, conv_rank=2))
    assert [own.rank for own in resized.values()] == [4, 2]
    assert not delta(resized["linear"]).any()
    assert report[0].frobenius == 1.0
    assert resize(weights, Wanted(keep=0.9))[0]["linear"].rank == 1
    metadata = resized_metadata(
        {
            "ss_network_dim": "8",
            "sshs_model_hash": "x",
            "ss_network_args": '{"conv_dim": "8"}',
            "ss_training_comment": "mine",
        },
        resized,
    )
    assert metadata["ss_network_dim"] == "4"
    assert metadata["ss_network_alpha"] == "4.0"
    assert json.loads(metadata["ss_network_args"]) == {"conv_dim": "2", "conv_alpha": "2.0"}
    assert metadata["ss_training_comment"] == "resized from rank 8 to 4; mine"
    assert "sshs_model_hash" not in metadata


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({}, "neither"),
        ({"keep": 0.9, "keep_ratio": 2.0}, "exclude"),
        ({"keep": 1.5}, "up to 1"),
        ({"keep_frobenius": 0.0}, "above 0"),
        ({"keep_ratio": 0.5}, "at least 1"),
        ({"rank": 0}, "at least 1"),
        ({"rank": 4, "alpha": 0.0}, "above 0"),
    ],
)
def test_what_makes_no_sense_is_named(wanted: dict[str, Any], words: str) -> None:
    assert words in (Wanted(**wanted).problem() or "")
    assert Wanted(rank=4, keep=0.5).problem() is None


def test_other_kinds_and_damage_are_refused() -> None:
    plain = {DOWN: torch.ones(1, 2), UP: torch.ones(2, 1)}
    with pytest.raises(AdapterError, match="a DoRA"):
        resize({"m": ModuleWeights({**plain, MAGNITUDE: torch.ones(2)}, 1.0)}, Wanted(rank=1))
    with pytest.raises(AdapterError, match="a loha"):
        resize({"m": ModuleWeights({"hada_w1_a": torch.ones(2, 1)}, 1.0)}, Wanted(rank=1))
    with pytest.raises(AdapterError, match="not finite"):
        resize({"m": ModuleWeights({**plain, UP: torch.full((2, 1), torch.nan)}, 1.0)}, Wanted(rank=1))
