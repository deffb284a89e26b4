"""Captions to the UNet's conditioning inside the training step, where text encoders are trained.

The encoders stay loaded, frozen but for their adapters, and a step's gradients reach those. Where no encoder is trained, the
cache's embeddings take this module's place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from engine.data.batches import Batch
from engine.model.conditioning import TextRules, chunks_of, encode_prompts


@dataclass(frozen=True)
class TextConditioning:
    """Both tokenizers and both adapted encoders, on the training's device."""

    tokenizers: tuple[Any, Any]
    encoders: tuple[Any, Any]
    rules: TextRules = field(default_factory=TextRules)
    """How captions are read; the same as for the cache."""

    def conditioned(self, batch: Batch, together: Sequence[str]) -> Batch:
        """``batch`` with its captions encoded, with gradients.

        together: the captions of the whole batch that this is a part of. All parts have the chunks of its longest one, so
        that an image is conditioned alike however the batch is shared out.
        """
        is_whole = len(together) == len(batch.captions)
        at_least = 1 if is_whole else chunks_of(self.tokenizers[0], together, self.rules)
        prompt_embeds, pooled = encode_prompts(
            self.tokenizers, self.encoders, batch.captions, self.rules, at_least=at_least
        )
        return replace(batch, prompt_embeds=prompt_embeds, pooled=pooled)

    @torch.no_grad()
    def encoded(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """N texts as the encoders stand: embeddings (N, 77·k, D) and pooled (N, P), float32, without dropout."""
        training = [encoder for encoder in self.encoders if encoder.training]
        try:
            for encoder in training:
                encoder.eval()
            prompt_embeds, pooled = encode_prompts(self.tokenizers, self.encoders, texts, self.rules)
        finally:
            for encoder in training:
                encoder.train()
        return prompt_embeds.float(), pooled.float()
