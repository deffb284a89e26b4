"""How an error counts: squared, by its size, or squared while small and by its size beyond (pseudo-Huber)."""

from __future__ import annotations

from torch import Tensor

from engine.profile.schema.loss import LossKind


def distances(predicted: Tensor, target: Tensor, kind: LossKind, delta: Tensor | None) -> Tensor:
    """The error of every value, (B, C, h, w), none of them averaged; float32.

    delta: (B,), for the two pseudo-Huber losses (Khrapov et al. 2024, arXiv:2403.16728): with e the error, ``huber`` is
    2δ(√(e² + δ²) - δ), which is e² for small errors and 2δ|e| for large ones; ``smooth_l1`` is that over δ, 2|e| for
    large ones. Computed as e² / (√(e² + δ²) + δ), which is the same and does not lose small errors to rounding.
    """
    error = predicted - target
    match kind:
        case LossKind.MSE:
            return error * error
        case LossKind.L1:
            return error.abs()
    assert delta is not None
    delta = delta[:, None, None, None]
    squared = error * error
    bent = 2 * squared / ((squared + delta * delta).sqrt() + delta)
    return bent * delta if kind is LossKind.HUBER else bent
