"""A single file with full-size SDXL's header and, where its tensors would be, a hole: 6.9 GB that take no room."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path

from engine.model.original_layout import (
    TEXT_1,
    TEXT_2,
    UNET,
    VAE,
    TextDimensions,
    UNetDimensions,
    VaeDimensions,
)

# Podell et al. 2023 (arXiv:2307.01952), table 1, and the published generative-models configuration.
SDXL_UNET = UNetDimensions((320, 640, 1280), (0, 2, 10), blocks=2, context=2048, added=2816)
SDXL_VAE = VaeDimensions((128, 256, 512, 512), blocks=2)
CLIP_L = TextDimensions(49408, 768, 12, 3072)
BIG_G = TextDimensions(49408, 1280, 32, 5120, 1280)

Shapes = Mapping[str, tuple[int, ...]]


def full_size_shapes() -> dict[str, tuple[int, ...]]:
    """Every tensor of a full-size file that counts."""
    parts: dict[str, Shapes] = {
        UNET: SDXL_UNET.tensors(),
        VAE: SDXL_VAE.tensors(),
        TEXT_1: CLIP_L.first_tensors(),
        TEXT_2: BIG_G.second_tensors(),
    }
    return {prefix + name: shape for prefix, shapes in parts.items() for name, shape in shapes.items()}


def write_hollow(path: Path, shapes: Shapes, metadata: Mapping[str, str] | None = None) -> Path:
    """A file of fp16 tensors of ``shapes`` whose bytes are a hole."""
    described: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * prod(shape)
        described[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [start, end]}
    header = json.dumps(described).encode()
    with path.open("wb") as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        stream.truncate(8 + len(header) + end)
    return path
