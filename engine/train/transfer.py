"""Tensors and batches on their way to the device, without the host waiting for them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from engine.data.batches import Batch


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """``tensor`` on ``device``. On the way to a GPU through pinned memory, so that the host does not wait for it."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def batch_to_device(batch: Batch, device: torch.device) -> Batch:
    """All of ``batch`` on ``device``."""
    return replace(
        batch,
        latents=to_device(batch.latents, device),
        prompt_embeds=to_device(batch.prompt_embeds, device),
        pooled=to_device(batch.pooled, device),
        time_ids=to_device(batch.time_ids, device),
        loss_weights=to_device(batch.loss_weights, device),
        masks=None if batch.masks is None else to_device(batch.masks, device),
    )
