"""Encoded things by what they are made of: from memory, else from the cache, else made now. Here latents and masks of views.

The encoders are touched only when a file is missing or damaged, in the preparation or, if somebody clears the cache
under a live run, in the middle of training. Every image and caption is encoded by itself: the numbers then depend
on nothing but their key, however often the work was interrupted, and at SDXL's sizes one image fills a device.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Final, Generic, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from engine.data.cache import CacheMissError, TensorFiles, TensorMemory, Tensors, cache_key
from engine.data.encoders import EncoderSource
from engine.data.errors import DatasetError, shown
from engine.data.image import UnreadableImageError, read_image_file, upright_alpha, upright_grey, upright_picture
from engine.data.pixels import place_mask, place_pixels
from engine.data.progress import Warn
from engine.data.views import View

LATENT_CHANNELS: Final = 4
PIXELS_PER_LATENT: Final = 8

Item = TypeVar("Item")


class Encoded(ABC, Generic[Item]):
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


class Latents(Encoded[View]):
    """The VAE's latents of views, under ``<cache>/latents``."""

    def __init__(
        self, cache: Path, encoders: EncoderSource, memory: TensorMemory, warn: Warn, background: str = "white"
    ) -> None:
        """background: a key of ``image.BACKGROUNDS``, what shows where an image is transparent."""
        super().__init__(cache / "latents", encoders, memory, warn)
        self._background = background

    def _settings_key(self, item: View) -> str:
        """Digest of the file's content, its placement and side, the background where that shows, and the VAE."""
        return cache_key(
            "latents",
            image=item.image.digest,
            placement=asdict(item.placement),
            flipped=item.flipped,
            background=self._background if item.image.is_transparent else None,
            vae=self._encoders.vae_key,
        )

    def load(self, item: View) -> Tensor:
        """(4, H/8, W/8) in the VAE's number format, times its scaling factor. ``DatasetError`` if the file changed."""
        try:
            return self.tensors(item)["latents"]
        except UnreadableImageError as error:
            raise DatasetError(str(error), where=shown(item.image.path), hint="It was readable before.") from error

    def _encode(self, item: View) -> Tensors:
        data = _unchanged(item.image.path, item.image.digest)
        pixels = place_pixels(upright_picture(data, self._background), item.placement)
        if item.flipped:
            pixels = pixels.flip(-1)
        with torch.no_grad():
            latents = as_stored(self._encoders.encode_images(pixels.unsqueeze(0))[0])
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


class Masks(Encoded[View]):
    """How much each place of a view counts, under ``<cache>/masks``; only for images that have a mask."""

    def __init__(self, cache: Path, encoders: EncoderSource, memory: TensorMemory, warn: Warn) -> None:
        super().__init__(cache / "masks", encoders, memory, warn)

    def _settings_key(self, item: View) -> str:
        """Digest of where the mask comes from, the placement and the side."""
        image = item.image
        return cache_key(
            "mask",
            alpha=image.digest if image.alpha_mask else None,
            file=image.mask_file.digest if image.mask_file else None,
            placement=asdict(item.placement),
            flipped=item.flipped,
        )

    def load(self, item: View) -> Tensor:
        """(1, H/8, W/8) float32 in [0, 1], the mean over the 8 × 8 pixels of each latent. ``DatasetError`` if a file changed."""
        try:
            return self.tensors(item)["mask"]
        except UnreadableImageError as error:
            raise DatasetError(str(error), where=shown(item.image.path), hint="It was readable before.") from error

    def _encode(self, item: View) -> Tensors:
        image = item.image
        whole = torch.ones(1, item.placement.bucket_height, item.placement.bucket_width)
        if image.alpha_mask:
            whole = whole * place_mask(upright_alpha(_unchanged(image.path, image.digest)), item.placement)
        if image.mask_file is not None:
            try:
                grey = upright_grey(_unchanged(image.mask_file.path, image.mask_file.digest))
            except UnreadableImageError as error:
                raise UnreadableImageError(f"its mask {shown(image.mask_file.path)}: {error}") from error
            whole = whole * place_mask(grey, item.placement)
        if item.flipped:
            whole = whole.flip(-1)
        return {"mask": as_stored(avg_pool2d(whole, PIXELS_PER_LATENT))}


def _unchanged(path: Path, digest: str) -> bytes:
    """The file's content. ``DatasetError`` if it is no longer what was scanned."""
    data = read_image_file(path)
    if hashlib.sha256(data).hexdigest() != digest:
        raise DatasetError(
            "the image was changed while the run was using it",
            where=shown(path),
            hint="Leave the images alone during a run; start again to train on what is there now.",
        )
    return data


def as_stored(tensor: Tensor) -> Tensor:
    """A copy of ``tensor`` that can be written to a file."""
    return tensor.detach().to("cpu").contiguous().clone()
