"""The singular value decomposition of what an adapter adds to a module, from its factors where that is less work.

LoRA, ΔW = s · B A: with B = Qb Rb and Aᵀ = Qa Ra (QR) the singular values are those of the small s · Rb Raᵀ, and its vectors,
turned by Qb and Qa, are ΔW's. LoHa, (B₁ A₁) ∘ (B₂ A₂), is a LoRA of rank r² with all products of columns and of rows as factors.
LoKr, X ⊗ Y: all products of X's singular values with Y's, with the Kronecker products of their vectors. A convolution is taken as
a matrix over channels and kernel. Computed in float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.model.lora_tensors import DOWN, UP
from engine.model.lora_weights import ModuleWeights

Decomposition = tuple[Tensor, Tensor, Tensor]
"""U (out, m), S (m,), largest first, Vᵀ (m, in · k · k), all float64."""


def decomposed(weights: ModuleWeights) -> Decomposition:
    """That of ΔW; a DoRA's magnitudes are left out. m is the module's rank or less."""
    tensors = {
        name: tensor.to(torch.float64).flatten(1) for name, tensor in weights.tensors.items() if tensor.dim() > 1
    }
    if weights.kind == "lora":
        return _of_product(weights.scale * tensors[UP], tensors[DOWN])
    if weights.kind == "loha":
        return _of_hadamard(weights.scale, tensors)
    return _of_kronecker(weights.scale, _of_factor(tensors, "lokr_w1"), _of_factor(tensors, "lokr_w2"))


def _of_product(up: Tensor, down: Tensor) -> Decomposition:
    up_basis, up_core = torch.linalg.qr(up)
    down_basis, down_core = torch.linalg.qr(down.T)
    left, values, right = torch.linalg.svd(up_core @ down_core.T, full_matrices=False)
    return up_basis @ left, values, right @ down_basis.T


def _of_hadamard(scale: float, tensors: dict[str, Tensor]) -> Decomposition:
    up_one, down_one, up_other, down_other = (tensors[f"hada_{name}"] for name in ("w1_a", "w1_b", "w2_a", "w2_b"))
    out, width = up_one.shape[0], down_one.shape[1]
    if up_one.shape[1] * up_other.shape[1] > min(out, width):
        product = (up_one @ down_one) * (up_other @ down_other)
        left, values, right = torch.linalg.svd(scale * product, full_matrices=False)
        return left, values, right
    up = (up_one[:, :, None] * up_other[:, None, :]).flatten(1)
    down = (down_one[:, None, :] * down_other[None, :, :]).flatten(0, 1)
    return _of_product(scale * up, down)


def _of_factor(tensors: dict[str, Tensor], name: str) -> Decomposition:
    if name not in tensors:
        return _of_product(tensors[f"{name}_a"], tensors[f"{name}_b"])
    left, values, right = torch.linalg.svd(tensors[name], full_matrices=False)
    return left, values, right


def _of_kronecker(scale: float, one: Decomposition, other: Decomposition) -> Decomposition:
    values, order = torch.kron(one[1], other[1]).sort(descending=True)
    left = _kronecker(one[0], other[0])[:, order]
    right = _kronecker(one[2], other[2])[order]
    return left * (-1 if scale < 0 else 1), abs(scale) * values, right


def _kronecker(one: Tensor, other: Tensor) -> Tensor:
    """``torch.kron`` refuses some layouts that a decomposition comes in."""
    sides = one.shape[0] * other.shape[0], one.shape[1] * other.shape[1]
    return (one[:, None, :, None] * other[None, :, None, :]).reshape(sides)
