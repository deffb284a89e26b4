"""From captions to what SDXL's UNet is told of them: tokens, chunks of 75, both text encoders, weights. Differentiable.

The cache calls it without gradients (``encoders.py``), a training of the text encoders with them. It draws no random
number, and a caption's result does not depend on the others it is encoded with, but for the length they share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from engine.model.prompts import Segment, parse_weights

CHUNK: Final = 75
"""Tokens of text per chunk; a beginning and an end make CLIP's 77."""


@dataclass(frozen=True)
class TextRules:
    """How captions are read."""

    max_tokens: int = CHUNK
    """A multiple of ``CHUNK``; what is longer is cut."""
    weights: bool = False
    """``(word:1.2)`` weights a word instead of being spelled out."""

    @property
    def max_chunks(self) -> int:
        """Chunks that a caption may fill."""
        return self.max_tokens // CHUNK


@dataclass(frozen=True)
class Tokens:
    """A caption's tokens, without beginning and end."""

    ids: tuple[int, ...]
    weights: tuple[float, ...]


def tokenize(tokenizer: Any, caption: str, rules: TextRules) -> Tokens:
    """All tokens of ``caption``, not yet cut. Stretches of different weight are tokenized apart, as A1111 does."""
    segments = parse_weights(caption) if rules.weights else (Segment(caption),)
    ids: list[int] = []
    weights: list[float] = []
    for segment in segments:
        found = tokenizer(segment.text, add_special_tokens=False, verbose=False).input_ids
        ids += found
        weights += [segment.weight] * len(found)
    return Tokens(tuple(ids), tuple(weights))


def chunks_of(tokenizer: Any, captions: Sequence[str], rules: TextRules) -> int:
    """How many chunks the longest of ``captions`` fills."""
    if rules.max_chunks == 1:
        return 1
    return _chunks(max(len(tokenize(tokenizer, caption, rules).ids) for caption in captions), rules)


def encode_prompts(
    tokenizers: Sequence[Any],
    encoders: Sequence[Any],
    captions: Sequence[str],
    rules: TextRules | None = None,
    *,
    at_least: int = 1,
) -> tuple[Tensor, Tensor]:
    """B captions (at least one) to prompt embeddings (B, 77·k, D1 + D2) and pooled embeddings (B, P).

    As SDXL was trained (Podell et al. 2023, arXiv:2307.01952, §2.1): the penultimate hidden states of both encoders side by
    side, and the second one's projected pooled output. On the encoders' device, in their number format.

    Beyond 75 tokens a caption becomes chunks, each with a beginning and an end of its own, as in A1111 and diffusers'
    community pipelines; a chunk ends after exactly 75 tokens, wherever a comma stands. k is the number of chunks of the
    longest caption here, at most ``rules.max_chunks``, or ``at_least`` if that is more; a shorter one is followed by empty
    chunks, each the encoding of the empty text. Pooled is that of the first chunk. A weight multiplies the hidden states of
    its tokens, in both encoders; the mean is not restored (A1111's emphasis "No norm", the one made for SDXL), the pooled
    output not touched.
    """
    rules = rules or TextRules()
    states, pooled = [], None
    for tokenizer, encoder in zip(tokenizers, encoders, strict=True):
        tokens = [tokenize(tokenizer, caption, rules) for caption in captions]
        ids, weights = _chunked(tokenizer, tokens, rules, at_least)
        device = next(encoder.parameters()).device
        count, chunks = ids.shape[:2]
        output = encoder(_to(device, ids.flatten(0, 1)), output_hidden_states=True)
        hidden = output.hidden_states[-2].unflatten(0, (count, chunks)).flatten(1, 2)
        if weights is not None:
            hidden = hidden * _to(device, weights.flatten(1, 2)).to(hidden.dtype).unsqueeze(-1)
        states.append(hidden)
        pooled = getattr(output, "text_embeds", None)
    if pooled is None:
        raise ValueError("the last encoder has no projection")
    return torch.cat(states, dim=-1), pooled.unflatten(0, (count, chunks))[:, 0]


def _chunks(longest: int, rules: TextRules) -> int:
    """The chunks that ``longest`` tokens fill."""
    return max(1, min(-(-longest // CHUNK), rules.max_chunks))


def _chunked(tokenizer: Any, tokens: Sequence[Tokens], rules: TextRules, at_least: int) -> tuple[Tensor, Tensor | None]:
    """Ids (B, k, 77) with beginning, end and padding, and their weights, None where all are 1."""
    chunks = max(at_least, _chunks(max(len(one.ids) for one in tokens), rules))
    begin, end, pad = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
    ids = torch.full((len(tokens), chunks, CHUNK + 2), pad, dtype=torch.long)
    weights = torch.ones(ids.shape)
    for row, one in enumerate(tokens):
        for chunk in range(chunks):
            part = slice(chunk * CHUNK, (chunk + 1) * CHUNK)
            line = [begin, *one.ids[part], end]
            ids[row, chunk, : len(line)] = torch.tensor(line)
            weights[row, chunk, 1 : len(line) - 1] = torch.tensor(one.weights[part])
    return ids, weights if bool((weights != 1).any()) else None


def _to(device: torch.device, tensor: Tensor) -> Tensor:
    """``tensor`` on ``device``; to a GPU through pinned memory, so that the host does not wait for it."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
