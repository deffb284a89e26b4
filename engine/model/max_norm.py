"""Max-norm scaling: what an adapter adds to a module never grows beyond a norm.

After a step every module whose ``‖s · ΔW‖`` (Frobenius) is above the limit has its factors scaled down alike, so that it is the
limit (Srivastava et al., 2014, section 5.1, on a LoRA's product). The product itself is formed only for a LoHa.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from engine.model.lora_tensors import DOWN, UP


@torch.no_grad()
def limit_norms(modules: Iterable[tuple[Mapping[str, Tensor], float]], limit: float) -> None:
    """Scale the factors of each module down, in place, where its norm is above ``limit``. Reads nothing back from the device.

    modules: for each its factors and the scale of their product.
    """
    factors: list[Tensor] = []
    ratios: list[Tensor] = []
    for tensors, scale in modules:
        ratio = (limit / (abs(scale) * norm(tensors))).clamp(max=1.0)
        factors += tensors.values()
        ratios += [ratio ** (1 / count) for count in _shares(tensors)]
    torch._foreach_mul_(factors, ratios)


def norm(tensors: Mapping[str, Tensor]) -> Tensor:
    """The Frobenius norm of the product of a module's factors, before its scale; a scalar.

    ‖B A‖² = ⟨Bᵀ B, A Aᵀ⟩ needs matrices of rank × rank only; ‖X ⊗ Y‖ = ‖X‖ ‖Y‖.
    """
    if DOWN in tensors:
        return _product_norm(tensors[UP], tensors[DOWN])
    if "hada_w1_a" in tensors:
        one = tensors["hada_w1_a"] @ tensors["hada_w1_b"]
        product: Tensor = one * (tensors["hada_w2_a"] @ tensors["hada_w2_b"])
        return _norm_of(product)
    return _factor_norm(tensors, "lokr_w1") * _factor_norm(tensors, "lokr_w2")


def _factor_norm(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    if name in tensors:
        return _norm_of(tensors[name])
    return _product_norm(tensors[f"{name}_a"], tensors[f"{name}_b"])


def _norm_of(tensor: Tensor) -> Tensor:
    return tensor.square().sum().sqrt()


def _product_norm(up: Tensor, down: Tensor) -> Tensor:
    up, down = up.flatten(1), down.flatten(1)
    return ((up.T @ up) * (down @ down.T)).sum().clamp(min=0).sqrt()


def _shares(tensors: Mapping[str, Tensor]) -> list[int]:
    """For each tensor of a module: into how many equal factors the ratio is split for it."""
    if "hada_w1_a" in tensors or DOWN in tensors:
        return [len(tensors)] * len(tensors)
    return [2 if name in ("lokr_w1", "lokr_w2") else 4 for name in tensors]
