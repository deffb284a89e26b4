"""The LoRA sits where sd-scripts puts it, starts as no change, and is the only thing that trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from peft.tuners.lora import LoraLayer
from torch import Tensor

from engine.model.adapter import Adapter, add_lora, target_modules
from engine.model.base import BaseFolder
from engine.model.errors import AdapterError
from engine.model.lora_names import sd_scripts_names
from engine.profile.schema import Network

SDXL: dict[str, Any] = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (320, 640, 1280),
    "attention_head_dim": (5, 10, 20),
    "transformer_layers_per_block": (1, 2, 10),
    "use_linear_projection": True,
    "cross_attention_dim": 2048,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}


def test_full_size_sdxl_has_722_modules() -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(**SDXL)
    names = target_modules(unet)
    assert len(names) == 722
    everything = target_modules(unet, Network(convolutions=True))
    assert len(everything) == 788  # what sd-scripts counts with conv_dim
    assert set(names) < set(everything) < sd_scripts_names(unet.config).keys()


def test_exactly_the_target_modules_are_adapted(base: BaseFolder) -> None:
    unet = base.unet()
    targets = target_modules(unet)
    adapter = add_lora(unet, Network(rank=4), seed=0)
    adapted = [name for name, module in unet.named_modules() if isinstance(module, LoraLayer)]
    assert tuple(adapted) == targets == adapter.modules
    assert adapter.modules_count == 192
    assert adapter.values_count == sum(parameter.numel() for _, parameter in adapter.parameters())


def test_a_fresh_adapter_changes_nothing(base: BaseFolder, predict: Callable[[Any], Tensor]) -> None:
    unet = base.unet()
    with torch.no_grad():
        before = predict(unet)
        add_lora(unet, Network(rank=4, dropout=0.5), seed=0)
        assert torch.equal(predict(unet), before)


def test_only_the_adapter_trains(base: BaseFolder, predict: Callable[[Any], Tensor]) -> None:
    unet = base.unet()
    adapter = add_lora(unet, Network(rank=4), seed=0)
    torch.autograd.backward(predict(unet.train()).square().mean())
    with_gradient = {id(parameter) for parameter in unet.parameters() if parameter.grad is not None}
    assert with_gradient == {id(parameter) for _, parameter in adapter.parameters()}
    ups = [parameter for name, parameter in adapter.parameters() if name.endswith("lora_B.weight")]
    assert all(up.grad is not None and up.grad.abs().max() > 0 for up in ups)


def test_start_follows_the_seed_and_moves_no_global_random_state(base: BaseFolder) -> None:
    before = torch.get_rng_state()
    one = add_lora(base.unet(), Network(rank=4), seed=7).state_dict()
    torch.manual_seed(99)
    moved = torch.get_rng_state()
    other = add_lora(base.unet(), Network(rank=4), seed=7).state_dict()
    assert torch.equal(torch.get_rng_state(), moved)
    torch.set_rng_state(before)
    assert all(torch.equal(one[name], other[name]) for name in one)
    different = add_lora(base.unet(), Network(rank=4), seed=8).state_dict()
    assert not torch.equal(one[next(iter(one))], different[next(iter(one))])


def test_start_is_kaiming_uniform_down_and_zero_up(base: BaseFolder) -> None:
    for name, weight in add_lora(base.unet(), Network(rank=64), seed=0).parameters():
        if name.endswith("lora_A.weight"):
            bound = weight.shape[1] ** -0.5
            assert 0.9 * bound < weight.abs().max() <= bound
            assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
        else:
            assert not weight.any()


def test_weights_are_float32_beside_a_base_in_half_precision(
    base: BaseFolder, predict: Callable[[Any], Tensor]
) -> None:
    unet = base.unet(torch.bfloat16)
    adapter = add_lora(unet, Network(rank=4), seed=0)
    assert {parameter.dtype for _, parameter in adapter.parameters()} == {torch.float32}
    assert unet.dtype == torch.bfloat16
    assert predict(unet).dtype == torch.bfloat16


def test_scale_is_alpha_over_rank(adapted: Callable[..., Adapter], predict: Callable[[Any], Tensor]) -> None:
    strong, weak = adapted(rank=4, alpha=4.0), adapted(rank=4, alpha=1.0)
    weak.load_state_dict(
        {name: weight * (4 if "lora_B" in name else 1) for name, weight in strong.state_dict().items()}
    )
    with torch.no_grad():
        torch.testing.assert_close(predict(strong.unet), predict(weak.unet))


def test_dropout_acts_in_training_only(adapted: Callable[..., Adapter], predict: Callable[[Any], Tensor]) -> None:
    unet: Any = adapted(rank=4, alpha=4.0, dropout=0.5).unet
    with torch.no_grad():
        assert torch.equal(predict(unet.eval()), predict(unet))
        assert not torch.equal(predict(unet.train()), predict(unet))


def test_names_and_order_are_those_of_the_modules(base: BaseFolder) -> None:
    adapter = add_lora(base.unet(), Network(rank=4), seed=0)
    names = [name for name, _ in adapter.parameters()]
    assert names[:2] == [
        "down_blocks.1.attentions.0.proj_in.lora_A.weight",
        "down_blocks.1.attentions.0.proj_in.lora_B.weight",
    ]
    assert list(adapter.state_dict()) == names


def test_state_goes_from_one_adapter_to_another(
    adapted: Callable[..., Adapter], predict: Callable[[Any], Tensor]
) -> None:
    source, target = adapted(seed=1, rank=4), adapted(seed=2, rank=4)
    parameters = [id(parameter) for _, parameter in target.parameters()]
    target.load_state_dict(source.state_dict())
    assert [id(parameter) for _, parameter in target.parameters()] == parameters  # an optimizer still holds them
    with torch.no_grad():
        assert torch.equal(predict(source.unet), predict(target.unet))


def test_another_rank_is_refused_with_name_and_both_shapes(adapted: Callable[..., Adapter]) -> None:
    four, eight = adapted(rank=4), adapted(rank=8)
    before = {name: weight.clone() for name, weight in four.state_dict().items()}
    with pytest.raises(AdapterError, match=r"down_blocks\.1\.attentions\.0\.proj_in\.lora_A.*\[8, \d+\].*\[4, \d+\]"):
        four.load_state_dict(eight.state_dict())
    assert all(torch.equal(weight, before[name]) for name, weight in four.state_dict().items())


def test_missing_and_unknown_weights_are_refused(adapted: Callable[..., Adapter]) -> None:
    adapter = adapted(rank=4)
    state = adapter.state_dict()
    name = next(reversed(state))
    lacking = {key: weight for key, weight in state.items() if key != name}
    with pytest.raises(AdapterError, match="1 missing, 0 unknown"):
        adapter.load_state_dict(lacking)
    with pytest.raises(AdapterError, match="conv_in"):
        adapter.load_state_dict({**state, "conv_in.lora_A.weight": torch.zeros(4, 4)})


def test_a_model_without_transformers_is_refused() -> None:
    with pytest.raises(AdapterError, match="nothing to train"):
        add_lora(torch.nn.Sequential(torch.nn.Linear(2, 2)), Network(), seed=0)
