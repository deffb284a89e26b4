"""Every kind of adapter computes its paper's formula on every part, and starts where it is told to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.model.adapter import Adapter, add_lora
from engine.model.adapter_layers import _module_dropout, _rank_dropout
from engine.model.base import BaseFolder
from engine.model.errors import AdapterError
from engine.model.lora_tensors import MAGNITUDE, UP
from engine.model.lora_weights import delta
from engine.model.max_norm import norm
from engine.profile.schema import Network

KINDS: dict[str, dict[str, Any]] = {
    "locon": {"rank": 4, "alpha": 2.0, "conv_rank": 2, "feed_forward_rank": 3},
    "rank-stabilised": {"rank": 4, "alpha": 2.0, "rank_stabilized": True},
    "dora": {"rank": 4, "alpha": 2.0, "dora": True},
    "loha": {"kind": "loha", "rank": 2, "alpha": 1.0, "conv_rank": 1},
    "lokr": {"kind": "lokr", "rank": 2, "alpha": 1.0, "lokr_factor": 4},
}


def everywhere(base: BaseFolder, seed: int = 0, **network: Any) -> Adapter:
    """An adapter on every part with random weights, also where it would start at zero."""
    adapter = add_lora(
        base.unet(),
        Network(convolutions=True, text_encoder=True, text_encoder_2=True, **network),
        seed=seed,
        text_encoders=base.text_encoders(),
    )
    generator = torch.Generator().manual_seed(seed + 1)
    state = {
        name: weight + torch.randn(weight.shape, generator=generator) * (0.02 if "hada" in name else 0.2)
        for name, weight in adapter.state_dict().items()
    }
    adapter.load_state_dict(state)
    return adapter


@pytest.mark.parametrize("kind", KINDS)
def test_each_layer_is_the_base_with_the_formulas_weight(base: BaseFolder, kind: str) -> None:
    adapter = everywhere(base, **KINDS[kind])
    seen = 0
    for target in adapter.targets:
        own = adapter.weights()[target.name]
        layer: Any = adapter.models[target.group].get_submodule(target.path).eval()
        inner: nn.Linear | nn.Conv2d = layer.get_base_layer()
        weight = inner.weight.flatten(1) + delta(own)
        if own.is_dora:
            weight = own.tensors[MAGNITUDE].reshape(-1, 1) * weight / weight.norm(dim=1, keepdim=True)
        weight = weight.reshape(inner.weight.shape)
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            if isinstance(inner, nn.Conv2d):
                inputs = torch.randn(2, inner.in_channels, 6, 6, generator=generator)
                expected = nn.functional.conv2d(inputs, weight, inner.bias, inner.stride, inner.padding)
            else:
                inputs = torch.randn(2, 5, inner.in_features, generator=generator)
                expected = nn.functional.linear(inputs, weight, inner.bias)
            torch.testing.assert_close(layer(inputs), expected, rtol=1e-4, atol=1e-4)
        seen += 1
    assert seen == adapter.modules_count == 192 + 65 + 12 + 18


@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_one_changes_nothing_and_every_weight_gets_a_gradient(
    base: BaseFolder, predict: Callable[[Any], Tensor], kind: str
) -> None:
    unet = base.unet()
    with torch.no_grad():
        before = predict(unet)
    adapter = add_lora(unet, Network(convolutions=True, module_dropout=0.0, **KINDS[kind]), seed=0)
    after = predict(unet.train())
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)
    torch.autograd.backward(after.square().mean())
    assert all(parameter.grad is not None for _, parameter in adapter.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_checkpoints_and_of_files_agree(base: BaseFolder, kind: str) -> None:
    adapter = everywhere(base, **KINDS[kind])
    named = {f"{module}.{name}" for module, own in adapter.weights().items() for name in own.tensors}
    assert named == set(adapter.state_dict())
    parts = {(part["part"], part["rank"]): part["modules"] for part in adapter.describe()["parts"]}
    assert sum(parts.values()) == adapter.modules_count
    if kind == "locon":
        assert parts[("convolutions", 2)] == 38, "3×3"
        assert parts[("convolutions", 4)] == 27, "shortcuts and time projections have network.rank"
        assert parts[("feed_forward", 3)] == 34


def test_rank_stabilised_scale_goes_into_the_files_alpha(base: BaseFolder) -> None:
    own = next(iter(everywhere(base, **KINDS["rank-stabilised"]).weights().values()))
    assert own.scale == pytest.approx(2.0 / 4**0.5)
    assert own.alpha == pytest.approx(2.0 / 4**0.5 * 4)


@pytest.mark.parametrize("kind", ["locon", "loha", "lokr"])
def test_max_norm_limits_each_module_and_leaves_small_ones(base: BaseFolder, kind: str) -> None:
    adapter = everywhere(base, **KINDS[kind])
    before = {name: delta(own) for name, own in adapter.weights().items()}
    norms = torch.stack([matrix.norm() for matrix in before.values()])
    limit = float(norms.median())
    adapter.limit_norms(limit)
    for name, own in adapter.weights().items():
        factor = min(1.0, limit / float(before[name].norm()))
        torch.testing.assert_close(delta(own), before[name] * factor, rtol=1e-4, atol=1e-6)
        assert float(norm(own.tensors)) * own.scale == pytest.approx(float(delta(own).norm()), rel=1e-3)


def test_dropped_ranks_are_zero_and_the_rest_keeps_the_mean() -> None:
    torch.manual_seed(0)
    linear, conv = nn.Linear(4, 8).train(), nn.Conv2d(4, 8, 3).train()
    drop = _rank_dropout(0.25)
    dropped = drop(linear, (), torch.ones(2000, 3, 8))
    assert torch.isclose(dropped, torch.zeros(())).logical_or(torch.isclose(dropped, torch.tensor(4 / 3))).all()
    assert dropped.mean() == pytest.approx(1, abs=0.03)
    assert torch.equal(dropped[:, 0], dropped[:, 2]), "one draw for all tokens of a sample"
    pictures = drop(conv, (), torch.ones(2000, 8, 2, 2))
    assert torch.equal(pictures[..., 0, 0], pictures[..., 1, 1])
    assert pictures.mean() == pytest.approx(1, abs=0.03)
    assert torch.equal(drop(linear.eval(), (), torch.ones(4, 3, 8)), torch.ones(4, 3, 8))


def test_dropped_modules_are_left_out_as_often_as_asked() -> None:
    torch.manual_seed(0)
    drop, module = _module_dropout(0.3), nn.Linear(1, 1).train()
    outputs = torch.stack([drop(module, (), torch.ones(2)) for _ in range(3000)])
    assert set(outputs.flatten().tolist()) == {0.0, 1.0}
    assert outputs.mean() == pytest.approx(0.7, abs=0.03)
    assert torch.equal(drop(module.eval(), (), torch.ones(2)), torch.ones(2))


@pytest.mark.parametrize("kind", ["locon", "loha"])
def test_dropouts_act_in_training_only(base: BaseFolder, predict: Callable[[Any], Tensor], kind: str) -> None:
    adapter = everywhere(base, **KINDS[kind], rank_dropout=0.3, module_dropout=0.3)
    unet: Any = adapter.unet
    with torch.no_grad():
        assert torch.equal(predict(unet.eval()), predict(unet))
        assert not torch.equal(predict(unet.train()), predict(unet))


def test_a_start_keeps_the_files_strength_whatever_alpha(base: BaseFolder, predict: Callable[[Any], Tensor]) -> None:
    source = everywhere(base, rank=4, alpha=8.0)
    for network in ({"alpha": 1.0}, {"alpha": 4.0, "dora": True}):
        target = everywhere(base, seed=5, rank=4, **network)
        assert target.start_from(source.weights()) == ()
        with torch.no_grad():
            torch.testing.assert_close(predict(target.unet), predict(source.unet), rtol=1e-3, atol=1e-4)
        for (name, one), (_, other) in zip(target.weights().items(), source.weights().items(), strict=True):
            torch.testing.assert_close(delta(one), delta(other), msg=name)


def test_a_start_from_fewer_modules_leaves_the_others_fresh(base: BaseFolder) -> None:
    source = add_lora(base.unet(), Network(rank=4), seed=1)
    target = everywhere(base, seed=5, rank=4)
    before = target.state_dict()["text_encoder_1.text_model.encoder.layers.0.mlp.fc1.lora_B.weight"].clone()
    missing = target.start_from(source.weights())
    assert len(missing) == 65 + 12 + 18
    assert torch.equal(target.state_dict()["text_encoder_1.text_model.encoder.layers.0.mlp.fc1.lora_B.weight"], before)


def test_a_start_that_does_not_fit_is_refused_with_what_to_do(base: BaseFolder) -> None:
    rank4, everything = add_lora(base.unet(), Network(rank=4), seed=1), everywhere(base, rank=4)
    with pytest.raises(AdapterError, match=r"rank 4 in .* asks for 8") as caught:
        add_lora(base.unet(), Network(rank=8), seed=1).start_from(rank4.weights())
    assert "sdxl-tui resize" in str(caught.value)
    with pytest.raises(AdapterError, match=r"95 modules that .* does not train") as caught:
        rank4.start_from(everything.weights())
    assert "network.feed_forward" in str(caught.value)
    dora = add_lora(base.unet(), Network(rank=4, dora=True), seed=1)
    with pytest.raises(AdapterError, match="it is a DoRA"):
        rank4.start_from(dora.weights())
    loha = add_lora(base.unet(), Network(rank=4, kind="loha"), seed=1)  # type: ignore[arg-type]
    with pytest.raises(AdapterError, match="it is a loha"):
        rank4.start_from(loha.weights())
    wrong = dict(rank4.weights())
    module = next(iter(wrong))
    wrong[module] = type(wrong[module])({**wrong[module].tensors, UP: torch.zeros(7, 4)}, 4.0)
    with pytest.raises(AdapterError, match=r"\[7, 4\]"):
        rank4.start_from(wrong)


def test_seed_decides_every_kinds_start(base: BaseFolder) -> None:
    for kind in KINDS.values():
        before = torch.get_rng_state()
        one, other = (add_lora(base.unet(), Network(**kind), seed=3).state_dict() for _ in range(2))
        assert torch.equal(torch.get_rng_state(), before)
        assert all(torch.equal(one[name], other[name]) for name in one)
