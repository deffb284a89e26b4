"""Chunks and weights, held against both encoders called by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from engine.model.base import BaseFolder
from engine.model.conditioning import TextRules, encode_prompts, tokenize
from engine.model.encoders import BaseEncoders

LONG = " ".join("abcdefghijklmnopqrstuvwxyz"[number % 26] for number in range(160))
"""160 tokens under any vocabulary: a letter alone is always one."""
THREE = TextRules(max_tokens=225)


@pytest.fixture(scope="module")
def text(base: BaseFolder) -> tuple[Any, Any]:
    return base.tokenizers(), base.text_encoders()


def by_hand(text: tuple[Any, Any], chunks: list[str]) -> tuple[Tensor, Tensor]:
    """States (1, 77·k, D) of texts of at most 75 tokens, one after the other, and the pooled output of the first."""
    states = []
    pooled = []
    for chunk in chunks:
        both = []
        for tokenizer, encoder in zip(*text, strict=True):
            ids = tokenizer([chunk], padding="max_length", max_length=77, return_tensors="pt").input_ids
            output = encoder(ids, output_hidden_states=True)
            both.append(output.hidden_states[-2])
        states.append(torch.cat(both, dim=-1))
        pooled.append(output.text_embeds)
    return torch.cat(states, dim=1), pooled[0]


def cut(text: tuple[Any, Any], caption: str) -> list[str]:
    """The caption's stretches of 75 tokens as texts that give those tokens again."""
    tokenizer = text[0][0]
    ids = tokenizer(caption, add_special_tokens=False).input_ids
    parts = [tokenizer.decode(ids[start : start + 75]) for start in range(0, len(ids), 75)]
    assert [one for part in parts for one in tokenizer(part, add_special_tokens=False).input_ids] == ids
    return parts


@torch.no_grad()
@pytest.mark.parametrize("caption", ["", "a red circle", " ".join(["a"] * 75)])
def test_what_fits_a_chunk_is_one_whatever_is_allowed(text: tuple[Any, Any], caption: str) -> None:
    states, pooled = encode_prompts(*text, [caption], THREE)
    expected = by_hand(text, [caption])
    assert torch.equal(states, expected[0])
    assert torch.equal(pooled, expected[1])


@torch.no_grad()
def test_a_long_caption_is_chunks_of_75_tokens_side_by_side_pooled_from_the_first(text: tuple[Any, Any]) -> None:
    parts = cut(text, LONG)
    assert len(parts) == 3
    states, pooled = encode_prompts(*text, [LONG], THREE)
    assert states.shape == (1, 231, 96)
    expected = by_hand(text, parts)
    torch.testing.assert_close(states, expected[0])
    torch.testing.assert_close(pooled, expected[1])


@torch.no_grad()
@pytest.mark.parametrize("max_tokens", [75, 150])
def test_what_is_beyond_the_limit_is_cut(text: tuple[Any, Any], max_tokens: int) -> None:
    states, pooled = encode_prompts(*text, [LONG], TextRules(max_tokens))
    expected = by_hand(text, cut(text, LONG)[: max_tokens // 75])
    torch.testing.assert_close(states, expected[0])
    torch.testing.assert_close(pooled, expected[1])


@torch.no_grad()
def test_a_shorter_caption_beside_a_long_one_is_followed_by_empty_chunks(text: tuple[Any, Any]) -> None:
    states, pooled = encode_prompts(*text, ["a red circle", LONG], THREE)
    short = by_hand(text, ["a red circle", "", ""])
    torch.testing.assert_close(states[:1], short[0])
    torch.testing.assert_close(pooled[:1], short[1])
    torch.testing.assert_close(states[1:], encode_prompts(*text, [LONG], THREE)[0])


@torch.no_grad()
def test_a_weight_multiplies_the_states_of_its_tokens_alone(text: tuple[Any, Any]) -> None:
    rules = TextRules(weights=True)
    plain, pooled = encode_prompts(*text, ["a red circle on blue"])
    weighted, weighted_pooled = encode_prompts(*text, ["a (red circle:1.5) on [blue]"], rules)
    factors = torch.ones(77)
    lengths = [len(tokenize(text[0][0], part, TextRules()).ids) for part in ("a", "red circle", "on", "blue")]
    start = 1 + lengths[0]
    factors[start : start + lengths[1]] = 1.5
    start += lengths[1] + lengths[2]
    factors[start : start + lengths[3]] = 1 / 1.1
    torch.testing.assert_close(weighted, plain * factors[:, None])
    assert torch.equal(weighted_pooled, pooled)


@torch.no_grad()
def test_weights_reach_the_second_chunk(text: tuple[Any, Any]) -> None:
    long = " ".join(["a"] * 80)
    plain, _ = encode_prompts(*text, [long], TextRules(150))
    weighted, _ = encode_prompts(*text, [f"{' '.join(['a'] * 78)} (a a:2)"], TextRules(150, weights=True))
    factors = torch.ones(154)
    factors[77 + 1 + 3 : 77 + 1 + 5] = 2
    torch.testing.assert_close(weighted, plain * factors[:, None])


@torch.no_grad()
def test_brackets_are_text_unless_weights_are_asked_for(text: tuple[Any, Any]) -> None:
    states, _ = encode_prompts(*text, ["miku (vocaloid)"])
    assert torch.equal(states, by_hand(text, ["miku (vocaloid)"])[0])
    assert not torch.equal(states, encode_prompts(*text, ["miku (vocaloid)"], TextRules(weights=True))[0])


def test_gradients_reach_both_encoders(text: tuple[Any, Any]) -> None:
    embeddings = [encoder.get_input_embeddings().weight for encoder in text[1]]
    for weight in embeddings:
        weight.requires_grad_(True)
    try:
        states, pooled = encode_prompts(*text, ["a (red:1.2) circle", LONG], TextRules(225, weights=True))
        gradients = torch.autograd.grad(states.square().mean() + pooled.square().mean(), embeddings)
    finally:
        for weight in embeddings:
            weight.requires_grad_(False)
    assert all(bool(gradient.any()) for gradient in gradients)


def test_the_key_follows_how_captions_are_read(base: BaseFolder) -> None:
    rules = [TextRules(), TextRules(150), TextRules(225), TextRules(weights=True), TextRules(150, weights=True)]
    keys = [BaseEncoders(base, rules=one).text_key for one in rules]
    assert len(set(keys)) == len(rules)
    assert keys[0] == BaseEncoders(base).text_key
