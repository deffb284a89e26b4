"""The bf16 matrix rate that a card reaches here and now: the yardstick that steps are held against.

A data sheet's peak depends on clocks and power limits that a rented card may not have.
"""

from __future__ import annotations

import time

import torch


def matrix_peak(device: torch.device, *, side: int | None = None, seconds: float = 2.0) -> float:
    """The best FLOP/s over several shapes of square products; about ``seconds`` of work for each."""
    sides = (side,) if side else (4096, 8192, 12288) if device.type == "cuda" else (256,)
    return max(_rate(device, side, seconds if device.type == "cuda" else 0.2) for side in sides)


def _rate(device: torch.device, side: int, seconds: float) -> float:
    left = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    right = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    for _ in range(3):
        left @ right
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        synchronize(device)
        began = time.perf_counter()
        for _ in range(5):
            left @ right
        synchronize(device)
        best = max(best, 5 * 2 * side**3 / (time.perf_counter() - began))
    return best


def synchronize(device: torch.device) -> None:
    """Wait until the card has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
