"""Writes a random-weight SDXL base of full size as a single ``.safetensors`` file in the original layout, 6.9 GB in bf16.

It draws nothing but noise; it is there to exercise real dimensions where no real base may be had: loading, memory, the time of a
step. Weights are scaled to keep activations in range (normal, standard deviation 1/sqrt(inputs); norms are 1, biases 0).
They are written tensor by tensor, so memory stays at the largest one. The same seed gives the same file.

    python scripts/make_full_size_base.py FILE [--dtype bf16] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from math import prod
from pathlib import Path
from typing import Final

import torch

from engine.model.original_layout import (
    TEXT_1,
    TEXT_2,
    UNET,
    VAE,
    Shapes,
    TextDimensions,
    UNetDimensions,
    VaeDimensions,
)

DTYPES: Final = {
    "fp32": ("F32", torch.float32),
    "bf16": ("BF16", torch.bfloat16),
    "fp16": ("F16", torch.float16),
}
SPARE: Final = 500_000_000
"""Bytes of the disk that are left alone."""


def sdxl_shapes() -> Shapes:
    """Every tensor of SDXL (Podell et al. 2023, arXiv:2307.01952, table 1) by its name in the original layout."""
    parts = {
        UNET: UNetDimensions((320, 640, 1280), (0, 2, 10), blocks=2, context=2048, added=2816).tensors(),
        VAE: VaeDimensions((128, 256, 512, 512), blocks=2).tensors(),
        TEXT_1: TextDimensions(49408, 768, 12, 3072).first_tensors(),
        TEXT_2: TextDimensions(49408, 1280, 32, 5120, 1280).second_tensors(),
    }
    return {prefix + name: shape for prefix, shapes in parts.items() for name, shape in shapes.items()}


def write(path: Path, shapes: Shapes, dtype: str, seed: int) -> None:
    """Write a file of random tensors of ``shapes``. Raises ``OSError``."""
    stored, kind = DTYPES[dtype]
    metadata = {"modelspec.title": "random weights", "modelspec.prediction_type": "epsilon"}
    described: dict[str, object] = {"__metadata__": metadata}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + prod(shape) * kind.itemsize
        described[name] = {"dtype": stored, "shape": list(shape), "data_offsets": [start, end]}
    header = json.dumps(described).encode()
    header += b" " * (-len(header) % 8)
    generator = torch.Generator().manual_seed(seed)
    with path.open("wb") as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        for name, shape in shapes.items():
            tensor = random_tensor(name, shape, generator).to(kind)
            stream.write(tensor.contiguous().view(torch.uint8).numpy().data)


def random_tensor(name: str, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """A tensor of ``shape`` in float32: weights normal over the root of their inputs, norms 1, biases 0."""
    if len(shape) < 2:
        return torch.zeros(shape) if name.endswith("bias") else torch.ones(shape)
    deviation = 0.02 if "embedding" in name else prod(shape[1:]) ** -0.5
    return torch.randn(shape, generator=generator) * deviation


def main() -> int:
    """Check that there is room, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--dtype", choices=DTYPES, default="bf16")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    path: Path = options.file
    shapes = sdxl_shapes()
    size = sum(prod(shape) for shape in shapes.values()) * DTYPES[options.dtype][1].itemsize
    try:
        free = shutil.disk_usage(path.absolute().parent).free
        if free < size + SPARE:
            lacking = (size + SPARE - free) / 1e9
            print(f"{path.absolute().parent}: {free / 1e9:.1f} GB free, {lacking:.1f} GB too few", file=sys.stderr)
            return 2
        write(path, shapes, options.dtype, options.seed)
    except OSError as error:
        print(f"{path}: {error.strerror}", file=sys.stderr)
        path.unlink(missing_ok=True)
        return 2
    print(f"{path}: {len(shapes):,} tensors, {path.stat().st_size / 1e9:.2f} GB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
