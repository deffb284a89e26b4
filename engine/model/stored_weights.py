"""The frozen base's large weights kept in eight bits, and given back in the format of the computation when they are used.

Only storage is small: products are made in the compute format. The linear layers of the transformer blocks, five sixths of
SDXL's UNet, are stored; convolutions, norms and embeddings stay as they are. A row (output channel) has one scale:

- fp8: E4M3 (Micikevicius et al. 2022, arXiv:2209.05433) with a power of two, so that scaling adds no error;
- int8: symmetric, absolute maximum ÷ 127 (Dettmers et al. 2022, arXiv:2208.07339, section 2), the scale rounded up to bf16.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

EIGHT_BITS: Final = ("fp8", "int8")
HOST: Final = "BasicTransformerBlock"
FP8_MAX: Final = torch.finfo(torch.float8_e4m3fn).max


def store_in_eight_bits(model: nn.Module, kind: str) -> int:
    """Replace every linear layer in a transformer block of ``model`` by one that stores ``kind``; how many there were.

    Must come before adapters are put on. One layer after the other, so that no second copy of the model is ever held.
    """
    hosts = [module for module in model.modules() if type(module).__name__ == HOST]
    count = 0
    for host in hosts:
        for parent in list(host.modules()):
            for name, child in list(parent.named_children()):
                if type(child) is nn.Linear:
                    setattr(parent, name, StoredLinear(child, kind))
                    count += 1
    return count


@torch.no_grad()
def quantize(weight: Tensor, kind: str) -> tuple[Tensor, Tensor]:
    """``weight`` (O, I) as eight-bit numbers (O, I) and float32 scales (O, 1): weight ≈ numbers · scales."""
    values = weight.float()
    peak = values.abs().amax(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny * 2**10)
    if kind == "fp8":
        scale = torch.exp2(torch.ceil(torch.log2(peak / FP8_MAX)))
        return (values / scale).clamp_(-FP8_MAX, FP8_MAX).to(torch.float8_e4m3fn), scale
    scale = (peak / 127 * (1 + 2**-8)).bfloat16().float()  # exact in bf16, and never too small
    return (values / scale).round_().clamp_(-127, 127).to(torch.int8), scale


def dequantize(numbers: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """The weight (O, I) in ``dtype``."""
    if dtype == torch.float16:  # scales may lie below what it can hold
        return numbers.float().mul_(scale).to(dtype)
    return numbers.to(dtype).mul_(scale.to(dtype))


class StoredLinear(nn.Linear):
    """A frozen linear layer (O outputs, I inputs) whose weight is stored in eight bits."""

    numbers: Tensor
    scale: Tensor

    def __init__(self, layer: nn.Linear, kind: str) -> None:
        nn.Module.__init__(self)  # without the weight that a linear layer makes
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.dtype = layer.weight.dtype
        """Of the weight as it is given to whoever asks for it (peft's DoRA does)."""
        numbers, scale = quantize(layer.weight, kind)
        self.register_buffer("numbers", numbers)
        self.register_buffer("scale", scale)
        self.register_parameter("bias", layer.bias)

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The weight (O, I), made anew."""
        return dequantize(self.numbers, self.scale, self.dtype)

    def forward(self, input: Tensor) -> Tensor:
        """(…, I) to (…, O), in the format of the computation: the autocast's, else the input's."""
        kind = input.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else input.dtype
        bias = None if self.bias is None else self.bias.to(dtype)
        product: Tensor = _Product.apply(input.to(dtype), self.numbers, self.scale, bias)  # type: ignore[no-untyped-call]
        return product


class _Product(torch.autograd.Function):
    """x Wᵀ + b that keeps the stored numbers for the backward pass, not the weight made of them."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, numbers: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(numbers, scale)
        return linear(input, dequantize(numbers, scale, input.dtype), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        numbers, scale = ctx.saved_tensors
        (gradient,) = gradients
        return gradient @ dequantize(numbers, scale, gradient.dtype), None, None, None
