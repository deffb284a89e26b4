"""The base in eight bits: how near it is, that only the stored numbers are kept, and that adapters sit on it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from engine.model.adapter import add_lora
from engine.model.encoders import BaseEncoders
from engine.model.open_base import open_base
from engine.model.stored_weights import EIGHT_BITS, StoredLinear, dequantize, quantize, store_in_eight_bits
from engine.profile.schema import Network

TOLERANCE = {"fp8": 2**-4, "int8": 1 / 127}
"""Of the row's largest value: half a step of three mantissa bits, one step of 127."""


@pytest.mark.parametrize("kind", EIGHT_BITS)
def test_every_weight_is_within_a_step_of_its_row(kind: str) -> None:
    weight = torch.randn(64, 48, generator=torch.Generator().manual_seed(0)) * torch.logspace(-6, 3, 64)[:, None]
    numbers, scale = quantize(weight, kind)
    assert numbers.element_size() == 1
    error = (dequantize(numbers, scale, torch.float32) - weight).abs()
    peak = weight.abs().amax(dim=1, keepdim=True)
    assert bool((error <= peak * TOLERANCE[kind]).all())
    if kind == "fp8":  # what fits the grid is kept as it is
        given = dequantize(numbers, scale, torch.float32)
        assert torch.equal(dequantize(*quantize(given, kind), torch.float32), given)


@pytest.mark.parametrize("kind", EIGHT_BITS)
def test_a_row_of_zeros_stays_one(kind: str) -> None:
    numbers, scale = quantize(torch.zeros(2, 3), kind)
    assert torch.equal(dequantize(numbers, scale, torch.float16), torch.zeros(2, 3, dtype=torch.float16))


@pytest.mark.parametrize("kind", EIGHT_BITS)
def test_output_and_input_gradient_are_those_of_the_weight_it_gives(kind: str) -> None:
    layer = nn.Linear(12, 7).requires_grad_(False)
    stored = StoredLinear(layer, kind)
    ours, theirs = (torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in "ab")
    output = stored(ours)
    expected = nn.functional.linear(theirs, stored.weight, layer.bias)
    torch.testing.assert_close(output, expected)
    output.square().sum().backward()
    expected.square().sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_the_backward_pass_keeps_the_stored_numbers_not_the_weight() -> None:
    stored = StoredLinear(nn.Linear(64, 64).requires_grad_(False), "int8")
    kept: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        stored(torch.randn(1, 64, requires_grad=True))
    assert sum(tensor.nbytes for tensor in kept) == 64 * 64 + 64 * 4


def _predict(kind: str | None, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, Any, int]:
    base = open_base("bundled:demo-base")
    unet: Any = base.unet()
    # A caption's own embeddings: to numbers that no caption gives, a trained UNet answers with anything.
    embeddings, pooled = BaseEncoders(base).encode_captions(["a red house, in the snow"])
    count = 0 if kind is None else store_in_eight_bits(unet, kind)
    adapter = add_lora(unet, Network(rank=2, alpha=2), seed=0)
    generator = torch.Generator().manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        predicted = unet(
            torch.randn(1, 4, 8, 8, generator=generator),
            torch.tensor([500]),
            encoder_hidden_states=embeddings,
            added_cond_kwargs={
                "text_embeds": pooled,
                "time_ids": torch.tensor([[64.0, 64, 0, 0, 64, 64]]),
            },
            return_dict=False,
        )[0]
    return predicted, adapter, count


@pytest.mark.parametrize("kind", EIGHT_BITS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "autocast bf16"])
def test_the_adapted_unet_predicts_nearly_the_same_and_is_trained(kind: str, dtype: torch.dtype) -> None:
    full, _, _ = _predict(None)
    small, adapter, count = _predict(kind, dtype)
    assert count > 100
    assert float((small.float() - full).norm() / full.norm()) < (0.05 if kind == "fp8" else 0.02)
    small.float().square().mean().backward()  # type: ignore[no-untyped-call]
    ups = [parameter for name, parameter in adapter.parameters() if "lora_B" in name]
    assert all(parameter.grad is not None and bool(parameter.grad.isfinite().all()) for parameter in ups)
    assert any(float(parameter.grad.abs().max()) > 0 for parameter in ups)


def test_attention_is_torchs_own_by_default() -> None:
    unet: Any = open_base("bundled:demo-base").unet()
    assert {type(processor).__name__ for processor in unet.attn_processors.values()} == {"AttnProcessor2_0"}
