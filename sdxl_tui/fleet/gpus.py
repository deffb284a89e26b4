"""The GPUs of this machine that this session may use, as ``nvidia-smi`` tells of them. No GPU, no program: an empty answer."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sdxl_tui.programs import answer_of

PROGRAM: Final = "nvidia-smi"
SECONDS: Final = 20.0
"""A driver that is not kept loaded takes several seconds to answer."""
FIELDS: Final = ("index", "uuid", "name", "memory.total", "memory.used")
VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
MIB: Final = 1 << 20


@dataclass(frozen=True)
class Gpu:
    """One GPU as it is now."""

    index: int
    """In the order of the bus, as ``nvidia-smi`` counts."""
    uuid: str
    """``GPU-…``: the same whatever else is visible, unlike the index."""
    name: str
    total: int
    """Bytes of memory."""
    used: int
    """Bytes of it that any process has taken."""

    @property
    def free(self) -> int:
        """Bytes that are not taken."""
        return max(0, self.total - self.used)


def list_gpus(environment: Mapping[str, str] = os.environ) -> list[Gpu]:
    """The GPUs that ``CUDA_VISIBLE_DEVICES`` of ``environment`` leaves visible, in its order. Takes up to seconds."""
    command = [PROGRAM, f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits"]
    answer = answer_of(command, SECONDS)
    found = [gpu for line in answer.splitlines() if (gpu := _gpu(line)) is not None]
    return visible(found, environment.get(VISIBLE))


def _gpu(line: str) -> Gpu | None:
    """One line of the answer; None for one that is none, such as a message of the driver."""
    words = [word.strip() for word in line.split(",")]
    try:
        index, uuid, name, total, used = words
        return Gpu(int(index), uuid, name, int(float(total) * MIB), int(float(used) * MIB))
    except ValueError:
        return None


def visible(gpus: Sequence[Gpu], setting: str | None) -> list[Gpu]:
    """Those of ``gpus`` that ``CUDA_VISIBLE_DEVICES=setting`` lets a program see, in that order.

    As CUDA reads it: indices or beginnings of UUIDs; what follows the first one that names no GPU is not seen either. None:
    all of them.
    """
    if setting is None:
        return list(gpus)
    seen: list[Gpu] = []
    for word in (part.strip() for part in setting.split(",")):
        named = [gpu for gpu in gpus if word and (word == str(gpu.index) or gpu.uuid.startswith(word))]
        if len(named) != 1 or named[0] in seen:
            break
        seen += named
    return seen
