"""CLIP's tokenizers from the vocabulary that comes with the package, for bases that bring none: nothing is fetched.

The vocabulary is OpenAI's file (``sdxl/bpe_simple_vocab_16e6.txt.gz``), laid out as CLIP's own tokenizer does (openai/CLIP,
simple_tokenizer.py): 256 bytes, 256 bytes that end a word, the first 48,894 merges, the start and the end token. SDXL's
two tokenizers share it; the first pads with the end token, the second with ``!`` (id 0).
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from engine.model.architecture import CLIP_VOCABULARY
from engine.model.clip_vocabulary import END, PADS, START, VOCABULARY

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

_MERGES: Final = CLIP_VOCABULARY - 2 * 256 - 2


def clip_tokenizers() -> tuple[CLIPTokenizer, CLIPTokenizer]:
    """Both tokenizers of SDXL."""
    from transformers.models.clip.tokenization_clip import CLIPTokenizer  # noqa: PLC0415

    # Through a folder, since only reading one works alike in all versions of transformers.
    with TemporaryDirectory(prefix="clip-tokenizer-") as folder:
        first, second = (
            CLIPTokenizer.from_pretrained(_write(Path(folder) / str(number), pad), local_files_only=True)
            for number, pad in enumerate(PADS)
        )
    return first, second


def _write(folder: Path, pad: str) -> Path:
    merges = _merges()
    byte_tokens = _byte_tokens()
    words = [*byte_tokens, *(token + "</w>" for token in byte_tokens), *(merge.replace(" ", "") for merge in merges)]
    vocabulary = {token: number for number, token in enumerate([*words, START, END])}
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": pad}
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True, "errors": "replace"}
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | special), encoding="utf-8")
    (folder / "special_tokens_map.json").write_text(json.dumps(special), encoding="utf-8")
    return folder


def _merges() -> list[str]:
    """The merges, most frequent first, as ``left right``."""
    lines = gzip.decompress(VOCABULARY.read_bytes()).decode("utf-8").split("\n")
    return lines[1 : _MERGES + 1]


def _byte_tokens() -> list[str]:
    """The printable character that stands for each byte, in the vocabulary's order: printable bytes first."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = 256 - len(printable)
    return [chr(byte) for byte in printable] + [chr(256 + number) for number in range(others)]
