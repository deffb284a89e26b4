"""The demo base's tokenizers: real byte-level CLIP BPE, trained on ``demo_vocabulary.txt``.

One vocabulary, laid out as CLIP's and split into words by CLIP's rule, in the files that every reader of an SDXL folder expects.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

SEED = 20261124
VOCABULARY_SIZE = 1400
WORDS = Path(__file__).with_name("demo_vocabulary.txt")

START, END = "<|startoftext|>", "<|endoftext|>"
# CLIP's own split of a caption into words (openai/CLIP, simple_tokenizer.py).
CLIP_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def bytes_to_unicode() -> dict[int, str]:
    """Byte to the printable character that stands for it in a byte-level BPE vocabulary, in GPT-2's and CLIP's order."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    table = {byte: chr(byte) for byte in printable}
    for byte in range(256):
        if byte not in table:
            table[byte] = chr(256 + len(table) - len(printable))
    return table


def example_captions(count: int) -> list[str]:
    """Captions in the manner of training data: words of the vocabulary, the first ones most often."""
    words = WORDS.read_text(encoding="utf-8").split()
    weights = [1.0 / (8 + rank) for rank in range(len(words))]
    chance = random.Random(SEED)
    drawn = [" ".join(chance.choices(words, weights, k=8)) for _ in range(count)]
    return drawn + words


def learned_merges(count: int) -> list[tuple[str, str]]:
    """The first ``count`` byte-pair merges learned from the captions, most frequent first."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(CLIP_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    alphabet = sorted(bytes_to_unicode().values())
    trainer = trainers.BpeTrainer(
        vocab_size=4 * VOCABULARY_SIZE,
        min_frequency=1,
        # Numbered here, or letters that end a word are numbered by chance, and of two equal pairs the lower number wins.
        special_tokens=[*alphabet, *(letter + "</w>" for letter in alphabet)],
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(example_captions(4000), trainer)
    merges = [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    if len(merges) < count:
        raise ValueError(f"the captions give only {len(merges)} merges, {count} are wanted")
    return merges[:count]


def write_tokenizers(folder: Path) -> None:
    """``tokenizer`` and ``tokenizer_2``: one vocabulary, padded with the end token and with ``!`` as SDXL's are.

    The vocabulary is laid out as CLIP's: 256 bytes, 256 bytes that end a word, the merges, start, end. Every byte is in
    it, so no text meets an unknown token.
    """
    alphabet = list(bytes_to_unicode().values())
    merges = learned_merges(VOCABULARY_SIZE - 2 * len(alphabet) - 2)
    tokens = [*alphabet, *(char + "</w>" for char in alphabet), *(left + right for left, right in merges), START, END]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    assert len(vocabulary) == VOCABULARY_SIZE, "a merge gives a token that is there already"
    for name, pad in (("tokenizer", END), ("tokenizer_2", "!")):
        target = folder / name
        target.mkdir(parents=True)
        special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": pad}
        config = {
            "tokenizer_class": "CLIPTokenizer",
            "model_max_length": 77,
            "do_lower_case": True,
            "add_prefix_space": False,
            "errors": "replace",
            **special,
        }
        rules = "".join(f"{left} {right}\n" for left, right in merges)
        (target / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
        (target / "merges.txt").write_text(f"#version: 0.2\n{rules}", encoding="utf-8")
        (target / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        (target / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n", encoding="utf-8")
