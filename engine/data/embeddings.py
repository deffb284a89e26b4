"""Captions as the UNet is told of them: from the cache, or encoded at each visit where they change from one to the next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from engine.data.cache import CacheMissError, TensorMemory, Tensors, cache_key
from engine.data.encoded import Encoded, as_stored
from engine.data.encoders import EncoderSource
from engine.data.progress import Warn


@dataclass(frozen=True)
class Embedding:
    """A caption as the UNet is told of it."""

    prompt_embeds: Tensor
    """(77·k, D), k chunks: both text encoders' hidden states side by side."""
    pooled: Tensor
    """(P,): the second encoder's pooled projection."""


class TextSource(Protocol):
    """Gives the embedding of a text."""

    def load(self, item: str) -> Embedding:
        """The embedding in the text encoders' number format."""


class Embeddings(Encoded[str]):
    """Both text encoders' embeddings of captions, under ``<cache>/text``."""

    def __init__(self, cache: Path, encoders: EncoderSource, memory: TensorMemory, warn: Warn) -> None:
        super().__init__(cache / "text", encoders, memory, warn)

    def _settings_key(self, item: str) -> str:
        """Digest of the caption, the text encoders and how they read it."""
        return cache_key("text", caption=item, encoders=self._encoders.text_key, counted=True)

    def load(self, item: str) -> Embedding:
        """The caption's embedding in the text encoders' number format, on the CPU."""
        tensors = self.tensors(item)
        return Embedding(tensors["prompt_embeds"], tensors["pooled"])

    def tokens(self, item: str) -> int:
        """How many tokens the caption has, those that are cut included; neither encoders nor tokenizers are loaded for it."""
        try:
            return int(self._files.read_one(self.key(item), "tokens"))
        except CacheMissError:
            return int(self.tensors(item)["tokens"])

    def _encode(self, item: str) -> Tensors:
        with torch.no_grad():
            prompt_embeds, pooled = self._encoders.encode_captions([item])
        tokens = torch.tensor(self._encoders.count_tokens(item))
        return {"prompt_embeds": as_stored(prompt_embeds[0]), "pooled": as_stored(pooled[0]), "tokens": tokens}


class LiveEmbeddings:
    """Embeddings of captions that change at every visit: encoded when they are asked for, by encoders that stay loaded.

    Nothing is written to the disk, where every caption would stay for ever. The most recent ones are remembered.
    """

    def __init__(self, encoders: EncoderSource, memory: TensorMemory) -> None:
        self._encoders = encoders
        self._memory = memory

    def load(self, item: str) -> Embedding:
        """The caption's embedding, on the encoders' device."""
        tensors = self._memory.get(item)
        if tensors is None:
            with torch.no_grad():
                prompt_embeds, pooled = self._encoders.encode_captions([item])
            tensors = {"prompt_embeds": prompt_embeds[0].detach(), "pooled": pooled[0].detach()}
            self._memory.put(item, tensors)
        return Embedding(tensors["prompt_embeds"], tensors["pooled"])
