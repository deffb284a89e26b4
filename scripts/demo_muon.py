"""The optimizer of the demo base's pretraining: Muon for matrices and convolutions, AdamW for everything else.

Muon (Jordan et al., 2024, kellerjordan.github.io/posts/muon) replaces the momentum of a matrix by the nearest matrix with equal
singular values, found by a few Newton-Schulz iterations. A convolution counts as the matrix (outputs, inputs × kernel). On these
small networks it needs about half of AdamW's steps. It leaves learning-rate schedules to the caller.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
ITERATIONS = 4


class Optimizer:
    """One step for all parameters of some networks."""

    def __init__(self, parameters: Iterable[tuple[str, nn.Parameter]], *, lr: float, matrix_lr: float) -> None:
        """lr: AdamW's, for biases, norms, embeddings and the first and last convolutions. matrix_lr: Muon's."""
        self.matrices: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in parameters:
            is_hidden = parameter.ndim in {2, 4} and not any(
                part in name for part in ("conv_in", "conv_out", "quant", "embedding.")
            )
            (self.matrices if is_hidden else others).append(parameter)
        self.momenta = [torch.zeros_like(parameter) for parameter in self.matrices]
        self.adamw = torch.optim.AdamW(others, lr, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
        self.lr, self.matrix_lr = lr, matrix_lr

    def parameters(self) -> list[nn.Parameter]:
        """All of them, in a fixed order."""
        return [*self.matrices, *self.adamw.param_groups[0]["params"]]

    @torch.no_grad()
    def step(self, share: float) -> None:
        """Apply the gradients at ``share`` of the learning rates, and drop them."""
        self.adamw.param_groups[0]["lr"] = self.lr * share
        self.adamw.step()
        by_shape: dict[tuple[int, ...], list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
        for parameter, momentum in zip(self.matrices, self.momenta, strict=True):
            if parameter.grad is None:
                continue
            momentum.lerp_(parameter.grad, 0.05)
            by_shape[tuple(parameter.shape)].append((parameter, parameter.grad.lerp(momentum, 0.95).flatten(1)))
        for shape, pairs in by_shape.items():
            updates = orthogonal(torch.stack([update for _, update in pairs]))
            columns = updates.shape[2]
            size = self.matrix_lr * share * max(1.0, shape[0] / columns) ** 0.5
            for (parameter, _), update in zip(pairs, updates, strict=True):
                parameter.sub_(update.reshape(shape), alpha=size)
        for parameter in self.parameters():
            parameter.grad = None


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices (N, rows, columns) with their singular values brought near 1."""
    a, b, c = NEWTON_SCHULZ
    is_tall = matrices.shape[1] > matrices.shape[2]
    x: Tensor = matrices.mT if is_tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-9)
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if is_tall else x
