"""The tokenizers built from CLIP's vocabulary split text as CLIP's own algorithm does."""

from __future__ import annotations

import gzip
import hashlib
import re
from itertools import pairwise

import pytest

from engine.model.clip_tokenizers import clip_tokenizers
from engine.model.clip_vocabulary import VOCABULARY

TOKENIZER = clip_tokenizers()[0]


def reference_ids(text: str) -> list[int]:
    """Byte-pair encoding as published (Sennrich et al. 2016, CLIP's word ends): merge the best-ranked pair until none is."""
    lines = gzip.decompress(VOCABULARY.read_bytes()).decode().split("\n")[1 : 49152 - 256 - 2 + 1]
    merges = [tuple(line.split()) for line in lines]
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    letters = [chr(byte) for byte in (*range(33, 127), *range(161, 173), *range(174, 256))]
    tokens = letters + [chr(256 + number) for number in range(256 - len(letters))]
    vocabulary = [*tokens, *(token + "</w>" for token in tokens), *("".join(pair) for pair in merges)]
    ids = {token: number for number, token in enumerate(vocabulary)}
    found = []
    for word in re.findall(r"'s|'t|'re|'ve|'m|'ll|'d|[a-z]+|[0-9]|[^\sa-z0-9]+", text.lower()):
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            pairs = list(pairwise(parts))
            best = min(pairs, key=lambda pair: ranks.get(pair, len(ranks)))
            if best not in ranks:
                break
            at = pairs.index(best)
            parts[at : at + 2] = ["".join(best)]
        found += [ids[part] for part in parts]
    return found


def test_the_vocabulary_is_openai_s_file() -> None:
    digest = hashlib.sha256(VOCABULARY.read_bytes()).hexdigest()
    assert digest == "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
    assert "Copyright (c) 2021 OpenAI" in VOCABULARY.with_name("LICENSE-CLIP").read_text()


@pytest.mark.parametrize(
    "text",
    [
        "a photo of a cat",
        "1girl, solo, masterpiece, best quality, looking at viewer",
        "An Untranslatable caption's end; it'll be 2048x1536 (really)!",
        "supercalifragilisticexpialidocious zxqj",
    ],
)
def test_ids_are_those_of_the_published_algorithm(text: str) -> None:
    assert TOKENIZER(text, add_special_tokens=False).input_ids == reference_ids(text)


def test_known_ids() -> None:
    assert TOKENIZER("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert TOKENIZER("").input_ids == [49406, 49407]
    assert [TOKENIZER.bos_token_id, TOKENIZER.eos_token_id, TOKENIZER.pad_token_id] == [49406, 49407, 49407]
    assert clip_tokenizers()[1].pad_token_id == 0
