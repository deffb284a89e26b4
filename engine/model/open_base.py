"""What the engine needs of a base, whatever it is kept in, and the one place that decides what a reference stands for.

The kinds of base implement ``Base``; whoever trains, encodes or draws knows only that.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch

from engine.demo import locate
from engine.model.base import BaseFolder
from engine.model.base_check import BaseConfigs
from engine.model.base_file import BaseFile
from engine.model.hub_id import parse_hub_id
from engine.model.lora_names import sd_scripts_names
from engine.model.prediction import Prediction
from engine.model.vae import SeparateVae

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer


class Base(Protocol):
    """An SDXL base whose parts are loaded one by one, when they are asked for; each call loads anew."""

    @property
    def configs(self) -> BaseConfigs:
        """The parts' configurations, with diffusers' and transformers' names."""

    @property
    def unet_config(self) -> Mapping[str, Any]:
        """The UNet's configuration."""

    @property
    def prediction(self) -> Prediction:
        """What the UNet predicts and whether its schedule ends in pure noise."""

    @property
    def unet_bytes(self) -> int:
        """Size of the UNet's weights as they are stored."""

    @property
    def vae_key(self) -> str:
        """Identifies the VAE: its configuration and weights."""

    @property
    def text_key(self) -> str:
        """Identifies both text encoders and tokenizers: configurations, weights and vocabularies."""

    @property
    def digest(self) -> str:
        """Identifies the whole base, UNet and noise schedule included."""

    def unet(self, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> UNet2DConditionModel:
        """The UNet in ``dtype`` on ``device``, in evaluation mode, its weights frozen."""

    def vae(self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> AutoencoderKL:
        """The VAE in ``dtype`` on ``device``, frozen. SDXL's own overflows in fp16: see ``vae.vae_dtype``."""

    def text_encoders(
        self, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> tuple[CLIPTextModel, CLIPTextModelWithProjection]:
        """Both text encoders in ``dtype`` on ``device``, frozen; the second has the pooled projection."""

    def tokenizers(self) -> tuple[CLIPTokenizer, CLIPTokenizer]:
        """Both tokenizers. They share a vocabulary and differ in the padding token."""

    def noise_scheduler(self, prediction: Prediction | None = None) -> DDPMScheduler:
        """The forward process the base was trained with. prediction: what holds instead of the base's own."""

    def sampling_scheduler(self, prediction: Prediction | None = None, sampler: str = "euler") -> Any:
        """Euler's method over the same process. prediction: what holds instead of the base's own."""


def open_base(reference: str, vae: str | None = None) -> Base:
    """The base that a profile's ``model.base`` names, with the VAE that its ``model.vae`` names instead of its own.

    Each is a file, a folder, a ``bundled:`` name or a hub id (``owner/name@revision``), which is fetched at its first use.
    Raises ``ModelError`` if there is none, or if it is not SDXL.
    """
    path = _located(reference, "base")
    separate = None if vae is None else SeparateVae(_located(vae, "vae"))
    return BaseFile(path, vae=separate) if path.is_file() else BaseFolder(path, vae=separate)


def _located(reference: str, what: Literal["base", "vae"]) -> Path:
    """Where it lies: a path, or what has been fetched of a hub id (now, if need be)."""
    hub_id = parse_hub_id(reference)
    path = locate(reference)
    if hub_id is None or path.exists():
        return path
    from engine.model.hub import hub_base, hub_vae  # noqa: PLC0415 - only where one is named

    return hub_base(hub_id) if what == "base" else hub_vae(hub_id)


def names_of(base: Base) -> dict[str, str]:
    """sd-scripts' name of every module of ``base`` that can be adapted, by the adapter's."""
    encoders = (base.configs.text_encoder, base.configs.text_encoder_2)
    return sd_scripts_names(base.unet_config, [int(encoder["num_hidden_layers"]) for encoder in encoders])
