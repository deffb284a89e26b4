"""Small data sets on disk and small real encoders, for the tests of this room."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from engine.profile.schema import Dataset, Source

TOKENS = 77
WIDTH = 12
POOLED = 8


class SmallEncoders(nn.Module):
    """A strided convolution as VAE and an embedding table as text encoders; counts how often it is used."""

    def __init__(self, seed: int = 0, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.convolution = nn.Conv2d(3, 4, kernel_size=8, stride=8).to(dtype)
        self.table = nn.Embedding(256, WIDTH).to(dtype)
        self.vae_key = f"convolution {seed} {dtype}"
        self.text_key = f"table {seed} {dtype}"
        self.images = 0
        self.captions: list[str] = []
        self.releases = 0

    def encode_images(self, pixels: Tensor) -> Tensor:
        self.images += len(pixels)
        latents: Tensor = self.convolution(pixels.to(self.convolution.weight.dtype))
        return latents

    def encode_captions(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        self.captions += captions
        tokens = [list(caption.encode()[:TOKENS].ljust(TOKENS, b" ")) for caption in captions]
        states: Tensor = self.table(torch.tensor(tokens))
        return states, states.mean(dim=1)[:, :POOLED]

    def count_tokens(self, caption: str) -> int:
        return len(caption.encode())

    def release(self) -> None:
        self.releases += 1


class ForbiddenEncoders(SmallEncoders):
    """Has the same keys, but must not be used: everything is expected to be cached."""

    def encode_images(self, pixels: Tensor) -> Tensor:
        raise AssertionError("the VAE was used")

    def encode_captions(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        raise AssertionError(f"the text encoders were used for {captions}")


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file: length, kind, content, check sum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(width: int, height: int, *, depth: int, pixels: bytes, before: bytes = b"") -> bytes:
    """A grey PNG as its header claims it, whether or not ``pixels`` (rows, each after a zero byte) are enough for it."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(pixels)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + before + body


def picture(width: int, height: int, shade: int = 0) -> Image.Image:
    """A picture that differs in every corner and by ``shade``."""
    image = Image.linear_gradient("L").resize((width, height))
    return Image.merge("RGB", (image, image.transpose(Image.Transpose.ROTATE_180), Image.new("L", image.size, shade)))


def add_image(path: Path, width: int = 64, height: int = 64, *, shade: int = 0, caption: str | None = None) -> Path:
    """Write a picture, and its caption unless that is None."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(width, height, shade).save(path)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    return path


def three_shapes(folder: Path) -> Path:
    """Six captioned pictures: two squares, two portraits and two landscapes, which make three buckets."""
    sizes = {"square": (96, 96), "tall": (72, 128), "wide": (128, 72)}
    for number, (shape, (width, height)) in enumerate(sizes.items()):
        for copy in range(2):
            shade = 40 * number + 10 * copy
            add_image(folder / f"{shape}{copy}.png", width, height, shade=shade, caption=f"a {shape} picture {copy}")
    return folder


def dataset(*folders: Path, repeats: int = 1, **changes: Any) -> Dataset:
    """A profile's ``dataset`` of ``folders``, in buckets of about 96 × 96 px in steps of 8."""
    settings: dict[str, Any] = {"resolution": 96, "bucket_min": 64, "bucket_max": 128, "bucket_step": 8, **changes}
    return Dataset(sources=tuple(Source(path=str(folder), repeats=repeats) for folder in folders), **settings)


def digest_of(path: Path) -> str:
    """sha256 of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
