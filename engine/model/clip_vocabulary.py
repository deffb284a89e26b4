"""CLIP's vocabulary as it comes with the package, and what identifies it: known without the library that reads it."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Final

from engine.model.architecture import PUBLISHED

VOCABULARY: Final = PUBLISHED / "bpe_simple_vocab_16e6.txt.gz"
START: Final = "<|startoftext|>"
END: Final = "<|endoftext|>"
PADS: Final = (END, "!")


@cache
def clip_tokenizers_key() -> str:
    """Identifies the vocabulary and both paddings."""
    return hashlib.sha256(VOCABULARY.read_bytes() + repr(PADS).encode()).hexdigest()
