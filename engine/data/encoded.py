"""Latents and text embeddings by image and caption: from memory, else from the cache, else from the encoders.

The encoders are touched only when a file is missing or damaged, in the preparation or, if somebody clears the cache
under a live run, in the middle of training. Every image and caption is encoded by itself: the numbers then depend
on nothing but their key, however often the work was interrupted, and at SDXL's sizes one image fills a device.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engine.data.buckets import Placement
from engine.data.cache import CacheMissError, TensorFiles, TensorMemory, Tensors, cache_key
from engine.data.encoders import EncoderSource
from engine.data.errors import DatasetError, shown
from engine.data.image import UnreadableImageError, read_image_file, upright_picture
from engine.data.progress import Warn
from engine.data.scan import SourceImage

LATENT_CHANNELS: Final = 4
PIXELS_PER_LATENT: Final = 8

Item = TypeVar("Item")


@dataclass(frozen=True)
class PlacedImage:
    """An image of the training set and its place in its bucket."""

    image: SourceImage
    placement: Placement


@dataclass(frozen=True)
class Embedding:
    """A caption as the UNet is told of it."""

    prompt_embeds: Tensor
    """(77·k, D), k chunks: both text encoders' hidden states side by side."""
    pooled: Tensor
    """(P,): the second encoder's pooled projection."""


class _Encoded(ABC, Generic[Item]):
    """What an encoder makes of items, kept by the key of all that it depends on."""

    def __init__(self, folder: Path, encoders: EncoderSource, memory: TensorMemory, warn: Warn) -> None:
        self._files = TensorFiles(folder)
        self._encoders = encoders
        self._memory = memory
        self._warn = warn
        self._keys: dict[Item, str] = {}

    @abstractmethod
    def _settings_key(self, item: Item) -> str:
        """Names the result: digest of everything it depends on."""

    @abstractmethod
    def _encode(self, item: Item) -> Tensors:
        """The result, made now."""

    def key(self, item: Item) -> str:
        """The name of the item's result in the cache."""
        key = self._keys.get(item)
        if key is None:
            key = self._keys[item] = self._settings_key(item)
        return key

    def ensure(self, item: Item) -> bool:
        """Have the result in the cache; True if it had to be encoded for that."""
        key = self.key(item)
        try:
            self._files.check(key)
        except CacheMissError as miss:
            self._make(key, item, miss)
            return True
        return False

    def tensors(self, item: Item) -> Tensors:
        """The result; made again, with a warning, if it is neither in memory nor usable on disk."""
        key = self.key(item)
        tensors = self._memory.get(key)
        if tensors is None:
            try:
                tensors = self._files.read(key)
            except CacheMissError as miss:
                tensors = self._make(key, item, CacheMissError(miss.damage or "it is gone"))
                self._encoders.release()  # Beside a training there is no room for them to stay.
            self._memory.put(key, tensors)
        return tensors

    def _make(self, key: str, item: Item, miss: CacheMissError) -> Tensors:
        path = self._files.path(key)
        if miss.damage:
            self._warn(f"a cache file cannot be used ({miss.damage}) and is made again", shown(path))
        tensors = self._encode(item)
        self._files.write(key, tensors)
        return tensors


class Latents(_Encoded[PlacedImage]):
    """The VAE's latents of placed images, under ``<cache>/latents``."""

    def __init__(self, cache: Path, encoders: EncoderSource, memory: TensorMemory, warn: Warn) -> None:
        super().__init__(cache / "latents", encoders, memory, warn)

    def _settings_key(self, item: PlacedImage) -> str:
        """Digest of the file's content, its placement and the VAE."""
        return cache_key(
            "latents", image=item.image.digest, placement=asdict(item.placement), vae=self._encoders.vae_key
        )

    def load(self, item: PlacedImage) -> Tensor:
        """(4, H/8, W/8) in the VAE's number format, times its scaling factor. ``DatasetError`` if the file changed."""
        try:
            return self.tensors(item)["latents"]
        except UnreadableImageError as error:
            raise DatasetError(str(error), where=shown(item.image.path), hint="It was readable before.") from error

    def _encode(self, item: PlacedImage) -> Tensors:
        data = read_image_file(item.image.path)
        if hashlib.sha256(data).hexdigest() != item.image.digest:
            raise DatasetError(
                "the image was changed while the run was using it",
                where=shown(item.image.path),
                hint="Leave the images alone during a run; start again to train on what is there now.",
            )
        pixels = place_pixels(upright_picture(data), item.placement)
        with torch.no_grad():
            latents = _as_stored(self._encoders.encode_images(pixels.unsqueeze(0))[0])
        expected = (
            LATENT_CHANNELS,
            item.placement.bucket_height // PIXELS_PER_LATENT,
            item.placement.bucket_width // PIXELS_PER_LATENT,
        )
        if tuple(latents.shape) != expected:
            raise ValueError(f"the VAE gave latents of {tuple(latents.shape)} where SDXL's are {expected}")
        if not bool(torch.isfinite(latents).all()):
            raise DatasetError(
                "the VAE gave values that are not finite for this image",
                where=shown(item.image.path),
                hint="In float32, too: the VAE itself must be damaged. Try another one as model.vae.",
            )
        return {"latents": latents}


class Embeddings(_Encoded[str]):
    """Both text encoders' embeddings of captions, under ``<cache>/text``."""

    def __init__(self, cache: Path, encoders: EncoderSource, memory: TensorMemory, warn: Warn) -> None:
        super().__init__(cache / "text", encoders, memory, warn)

    def _settings_key(self, item: str) -> str:
        """Digest of the caption and the text encoders."""
        return cache_key("text", caption=item, encoders=self._encoders.text_key)

    def load(self, item: str) -> Embedding:
        """The caption's embedding in the text encoders' number format."""
        tensors = self.tensors(item)
        return Embedding(tensors["prompt_embeds"], tensors["pooled"])

    def _encode(self, item: str) -> Tensors:
        with torch.no_grad():
            prompt_embeds, pooled = self._encoders.encode_captions([item])
        return {"prompt_embeds": _as_stored(prompt_embeds[0]), "pooled": _as_stored(pooled[0])}


def place_pixels(picture: Image.Image, placement: Placement) -> Tensor:
    """An RGB picture as (3, bucket height, bucket width) float32 in [-1, 1].

    The crop is taken in the same step as the resizing (Lanczos), so that a picture much longer than its bucket does
    not become a huge one on the way.
    """
    per_x = picture.width / placement.resized_width
    per_y = picture.height / placement.resized_height
    box = (
        placement.crop_left * per_x,
        placement.crop_top * per_y,
        min((placement.crop_left + placement.bucket_width) * per_x, picture.width),
        min((placement.crop_top + placement.bucket_height) * per_y, picture.height),
    )
    placed = picture.resize((placement.bucket_width, placement.bucket_height), Image.Resampling.LANCZOS, box=box)
    pixels = (
        torch.from_numpy(np.array(placed)).permute(2, 0, 1).to(torch.float32, memory_format=torch.contiguous_format)
    )
    return pixels.div_(127.5).sub_(1.0)


def _as_stored(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu").contiguous().clone()
