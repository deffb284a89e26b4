"""What preparing a data set needs of the base model: its two kinds of encoders, loaded by whoever provides them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class EncoderSource(Protocol):
    """The VAE and both text encoders of an SDXL base. Loaded at first use, so that a full cache never loads them.

    What comes back must be a function of what goes in and of the key alone: no random number is drawn, because a
    cached result stands for every later run. A key changes with everything that changes results: weights,
    scaling, number format, and the choice between the mean and a sample of the VAE's distribution.
    """

    @property
    def vae_key(self) -> str:
        """Identifies the latents: weights, scaling, number format."""

    @property
    def text_key(self) -> str:
        """Identifies the embeddings: weights and vocabularies of both encoders, how captions are read, number format."""

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 3, H, W) float32 in [-1, 1] to latents (B, 4, H/8, W/8), multiplied by the VAE's scaling factor."""

    def encode_captions(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """B captions to prompt embeddings (B, 77·k, D) and the second encoder's pooled projection (B, P).

        k counts the chunks of the longest of them. On any device; a caption's own rows do not depend on the others.
        """

    def count_tokens(self, caption: str) -> int:
        """How many tokens a caption has, those beyond what is encoded included."""

    def release(self) -> None:
        """Give the encoders' memory back; the next use loads them again. Harmless when nothing is loaded."""
