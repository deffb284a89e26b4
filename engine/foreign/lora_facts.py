"""What a LoRA file tells without its tensors being read: modules, ranks, alphas, and the training in its metadata.

The metadata are sd-scripts' ``ss_*`` and Stability's ``modelspec.*``; all of them are texts, ``None`` and booleans as Python
writes them.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from engine.foreign.errors import ForeignFileError
from engine.model.errors import ModelError
from engine.model.safetensors_header import Header, TensorEntry, read_header

PARTS: Final = {
    "lora_unet_": "UNet",
    "lora_te1_": "text encoder 1",
    "lora_te2_": "text encoder 2",
    "lora_te_": "text encoder",
    "lycoris_": "UNet",
}
_DOWN: Final = (".lora_down.weight", ".lora_A.weight", ".hada_w1_b", ".lokr_w1_b", ".lokr_w2_b")
_KINDS: Final = ((".hada_w1_a", "LoHa"), (".lokr_w1", "LoKr"), (".dora_scale", "DoRA"), (".lora_down.weight", "LoRA"))
_ALPHA_FORMATS: Final = {"F32": "<f", "F16": "<e", "F64": "<d"}


@dataclass(frozen=True)
class LoraFacts:
    """A LoRA file, read from its header and its alphas."""

    path: Path
    kind: str
    """``LoRA``, ``DoRA``, ``LoHa``, ``LoKr``; empty where the names are none that are known."""
    parts: dict[str, int]
    """Modules by part: ``UNet``, ``text encoder 1``."""
    ranks: tuple[int, ...]
    """All ranks in it, the most frequent first."""
    alphas: tuple[float, ...]
    """All alphas in it, the most frequent first; empty where none are stored."""
    bytes: int
    metadata: dict[str, str]

    @property
    def modules(self) -> int:
        """How many modules carry a LoRA."""
        return sum(self.parts.values())

    def text(self, name: str) -> str | None:
        """The metadata entry ``name``; None where it is absent or ``None``."""
        value = self.metadata.get(name)
        return None if value in (None, "None", "") else value

    def number(self, name: str) -> float | None:
        """The metadata entry ``name`` as a number; None where it is none."""
        try:
            return float(self.metadata[name])
        except (KeyError, ValueError):
            return None

    def count(self, name: str) -> int | None:
        """The metadata entry ``name`` as a whole number; None where it is none."""
        number = self.number(name)
        return int(number) if number is not None and number == number // 1 else None


def read_lora_facts(path: Path) -> LoraFacts:
    """The facts of the file ``path``. Raises ``ForeignFileError`` if it is no safetensors file or holds no LoRA."""
    try:
        header = read_header(path)
        size = path.stat().st_size
    except (ModelError, OSError) as error:
        what = error.what if isinstance(error, ModelError) else error.strerror
        raise ForeignFileError(f"{path.name}: {what}", where=str(path)) from error
    ranks: Counter[int] = Counter()
    parts: dict[str, set[str]] = {}
    alphas: list[TensorEntry] = []
    for name, entry in header.tensors.items():
        module = name.partition(".")[0]
        part = next((part for prefix, part in PARTS.items() if name.startswith(prefix)), None)
        if part is not None:
            parts.setdefault(part, set()).add(module)
        if name.endswith(_DOWN) and entry.shape:
            ranks[entry.shape[0]] += 1
        elif name.endswith(".alpha"):
            alphas.append(entry)
    if not ranks and not parts:
        raise ForeignFileError(
            f"{path.name} holds no LoRA: none of its {len(header.tensors):,} tensors is named like one", where=str(path)
        )
    kind = next((kind for ending, kind in _KINDS if any(ending in name for name in header.tensors)), "")
    return LoraFacts(
        path=path,
        kind=kind,
        parts={
            part: len(modules)
            for part, modules in sorted(parts.items(), key=lambda item: list(PARTS.values()).index(item[0]))
        },
        ranks=tuple(rank for rank, _ in ranks.most_common()),
        alphas=_alphas(header, alphas),
        bytes=size,
        metadata=dict(header.metadata),
    )


def _alphas(header: Header, entries: list[TensorEntry]) -> tuple[float, ...]:
    """The values of the alphas."""
    with header.path.open("rb") as file:
        found = Counter(value for entry in entries if (value := single_number(file, entry)) is not None)
    return tuple(alpha for alpha, _ in found.most_common())


def single_number(file: BinaryIO, entry: TensorEntry) -> float | None:
    """The number that a tensor of one value holds; None for any other, or one of a format that no alpha has."""
    size = entry.end - entry.start
    if size > 8:
        return None
    file.seek(entry.start)
    data = file.read(size)
    if entry.dtype == "BF16" and len(data) == 2:
        return float(struct.unpack("<f", b"\0\0" + data)[0])
    layout = _ALPHA_FORMATS.get(entry.dtype)
    return float(struct.unpack(layout, data)[0]) if layout and len(data) == struct.calcsize(layout) else None
