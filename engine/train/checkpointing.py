"""Gradient checkpointing (Chen et al. 2016, arXiv:1604.06174): activations computed again in the backward pass, not kept.

Random numbers of the first computation are drawn again the same, so dropout and results are what they are without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def checkpoint_activations(unet: Any, text_encoders: Sequence[Any]) -> None:
    """Switch it on in every block of the UNet and in the text encoders that are trained."""
    unet.enable_gradient_checkpointing()
    for encoder in text_encoders:
        encoder.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
