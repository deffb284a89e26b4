"""The frozen base model in one ``.safetensors`` file of SDXL's original layout, its parts loaded one by one, offline.

diffusers renames the tensors; configurations and vocabulary come with the package or from the shapes. Tensors are
read one at a time into memory of their own: a part costs its own size and one tensor more, other parts are never
read, and no file stays mapped that somebody might replace during a run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from engine.demo import locate
from engine.model.architecture import has_bundled_vocabulary
from engine.model.base import BaseFolder
from engine.model.base_check import BaseConfigs
from engine.model.clip_tokenizers import clip_tokenizers
from engine.model.content import file_digest, file_text_key, file_vae_key
from engine.model.noise_schedule import noise_scheduler, sampling_scheduler
from engine.model.original_layout import TEXT_1, TEXT_2, UNET, VAE
from engine.model.original_weights import built, filled, read_tensors, text_tensors, unet_names
from engine.model.prediction import Prediction
from engine.model.single_file import read_single_file
from engine.model.vae import SeparateVae, load_vae
from engine.model.vae_file import VaeFile

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer


class BaseFile:
    """An SDXL base in a single file. Raises ``ModelError`` if the file at ``path`` is none, or is damaged."""

    def __init__(self, path: Path, *, vae: SeparateVae | None = None) -> None:
        """Only the header is read. vae: stands in for the file's own, which may then be lacking."""
        self.path = path
        self._vae = vae
        self._file = read_single_file(path, needs_vae=vae is None)

    @cached_property
    def configs(self) -> BaseConfigs:
        """The parts' configurations, worked out from the shapes."""
        own = self._file.configs
        return own if self._vae is None else replace(own, vae=self._vae.config)

    @property
    def unet_config(self) -> Mapping[str, Any]:
        """The UNet's configuration."""
        return self.configs.unet

    @property
    def prediction(self) -> Prediction:
        """What the UNet predicts, as the file's metadata or marker tensors say."""
        return self.configs.prediction

    @property
    def unet_bytes(self) -> int:
        """Size of the UNet's weights in the file."""
        return self._file.size(UNET)

    def unet(self, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> UNet2DConditionModel:
        """The UNet in ``dtype`` on ``device``, in evaluation mode, its weights frozen."""
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel  # noqa: PLC0415

        unet = built(UNet2DConditionModel, dict(self.unet_config))
        names = unet_names(self._file.header, self._file.parts[UNET], self.unet_config)
        return self._filled(unet, {names[name]: tensor for name, tensor in self._read(UNET, dtype, device)}, device)

    def vae(self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> AutoencoderKL:
        """The VAE in ``dtype`` on ``device``. SDXL's own overflows in fp16: see ``vae.vae_dtype``."""
        if self._vae is not None:
            return self._vae.load(device, dtype)
        file = VaeFile(self._file.header, self._file.parts[VAE], "original", self.configs.vae)
        return load_vae(file, device, dtype)

    def text_encoders(
        self, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> tuple[CLIPTextModel, CLIPTextModelWithProjection]:
        """Both text encoders in ``dtype`` on ``device``; the second has the pooled projection."""
        from transformers.models.clip.configuration_clip import CLIPTextConfig  # noqa: PLC0415
        from transformers.models.clip.modeling_clip import (  # noqa: PLC0415
            CLIPTextModel,
            CLIPTextModelWithProjection,
        )

        first = built(CLIPTextModel, CLIPTextConfig(**self.configs.text_encoder))
        second = built(CLIPTextModelWithProjection, CLIPTextConfig(**self.configs.text_encoder_2))
        return self._text(first, TEXT_1, dtype, device), self._text(second, TEXT_2, dtype, device)

    def tokenizers(self) -> tuple[CLIPTokenizer, CLIPTokenizer]:
        """Both tokenizers: CLIP's, or the bundled base's for a file made from it."""
        if has_bundled_vocabulary(self.configs.text_encoder):
            return _bundled().tokenizers()
        return clip_tokenizers()

    def noise_scheduler(self, prediction: Prediction | None = None) -> DDPMScheduler:
        """The forward process SDXL was trained with. prediction: what holds instead of the base's own."""
        return noise_scheduler(self.configs.scheduler, prediction or self.prediction)

    def sampling_scheduler(self, prediction: Prediction | None = None, sampler: str = "euler") -> Any:
        """Euler's method over the same process. prediction: what holds instead of the base's own."""
        return sampling_scheduler(self.configs.scheduler, prediction or self.prediction, sampler)

    @cached_property
    def vae_key(self) -> str:
        """Identifies the VAE: its configuration and weights. The same in every file that holds the same VAE."""
        return self._vae.key if self._vae is not None else file_vae_key(self._file)

    @cached_property
    def text_key(self) -> str:
        """Identifies both text encoders and tokenizers: configurations, weights and vocabulary."""
        return file_text_key(self._file)

    @cached_property
    def digest(self) -> str:
        """Identifies the whole base; the file's name and its metadata play no part."""
        return file_digest(self._file, self.text_key, self.vae_key)

    def _text(self, encoder: Any, prefix: str, dtype: torch.dtype, device: torch.device | str) -> Any:
        found: dict[str, Tensor] = {}
        for name, tensor in self._read(prefix, dtype, device):
            found |= text_tensors(encoder, name, tensor)
        return self._filled(encoder, found, device)

    def _read(self, prefix: str, dtype: torch.dtype, device: torch.device | str) -> Iterator[tuple[str, Tensor]]:
        tensors = read_tensors(self._file.header, self._file.parts[prefix])
        return ((name, tensor.to(device, dtype)) for name, tensor in tensors)

    def _filled(self, network: Any, tensors: dict[str, Tensor], device: torch.device | str) -> Any:
        return filled(network, tensors, device, where=self.path)


def _bundled() -> BaseFolder:
    return BaseFolder(locate("bundled:demo-base"))
