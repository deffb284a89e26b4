"""The frozen base model: an SDXL diffusers folder whose parts are loaded one by one, when they are asked for.

The folder is checked when the object is made (a few small files); nothing large is read before a part is asked for, and
nothing is ever fetched from elsewhere. The caller owns what it loads: each call loads anew. The libraries are imported
inside the methods and only as far as needed, because importing them takes longer than loading a small model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from engine.model.base_check import TOKENIZERS, BaseConfigs, find_weights, read_configs
from engine.model.content import folder_digest, folder_key
from engine.model.errors import ModelError
from engine.model.noise_schedule import noise_scheduler, sampling_scheduler
from engine.model.prediction import Prediction
from engine.model.vae import SeparateVae

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer


class BaseFolder:
    """An SDXL base in a diffusers folder. Raises ``ModelError`` if ``path`` is not one."""

    def __init__(self, path: Path, *, vae: SeparateVae | None = None) -> None:
        """vae: stands in for the folder's own."""
        self.path = path
        self._vae = vae
        own = read_configs(path)
        self.configs: BaseConfigs = own if vae is None else replace(own, vae=vae.config)

    @property
    def unet_config(self) -> Mapping[str, Any]:
        """``unet/config.json``."""
        return self.configs.unet

    @property
    def scheduler_config(self) -> Mapping[str, Any]:
        """``scheduler/scheduler_config.json``."""
        return self.configs.scheduler

    def unet(self, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> UNet2DConditionModel:
        """The UNet in ``dtype`` on ``device``, in evaluation mode, its weights frozen."""
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel  # noqa: PLC0415

        return self._network(UNet2DConditionModel, "unet", device, torch_dtype=dtype)

    def vae(self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> AutoencoderKL:
        """The VAE in ``dtype`` on ``device``. SDXL's own overflows in fp16: see ``vae.vae_dtype``."""
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL  # noqa: PLC0415

        if self._vae is not None:
            return self._vae.load(device, dtype)
        return self._network(AutoencoderKL, "vae", device, torch_dtype=dtype)

    def text_encoders(
        self, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> tuple[CLIPTextModel, CLIPTextModelWithProjection]:
        """Both text encoders in ``dtype`` on ``device``; the second has the pooled projection."""
        from transformers.models.clip.modeling_clip import (  # noqa: PLC0415
            CLIPTextModel,
            CLIPTextModelWithProjection,
        )

        return (
            self._network(CLIPTextModel, "text_encoder", device, dtype=dtype),
            self._network(CLIPTextModelWithProjection, "text_encoder_2", device, dtype=dtype),
        )

    def tokenizers(self) -> tuple[CLIPTokenizer, CLIPTokenizer]:
        """Both tokenizers. They share a vocabulary and differ in the padding token."""
        from transformers.models.clip.tokenization_clip import CLIPTokenizer  # noqa: PLC0415

        try:
            first, second = (
                CLIPTokenizer.from_pretrained(self.path / name, local_files_only=True) for name in TOKENIZERS
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"the tokenizers cannot be loaded: {error}", where=str(self.path)) from error
        return first, second

    @property
    def prediction(self) -> Prediction:
        """What the UNet predicts and whether its schedule ends in pure noise, as the scheduler's configuration says."""
        return self.configs.prediction

    @property
    def unet_bytes(self) -> int:
        """Size of the UNet's files."""
        return sum(file.stat().st_size for file in find_weights(self.path, "unet").files)

    def noise_scheduler(self, prediction: Prediction | None = None) -> DDPMScheduler:
        """The forward process the base was trained with. prediction: what holds instead of the base's own."""
        return noise_scheduler(self.scheduler_config, prediction or self.prediction)

    def sampling_scheduler(self, prediction: Prediction | None = None, sampler: str = "euler") -> Any:
        """Euler's method over the same process, for drawing samples. prediction: what holds instead of the base's own."""
        return sampling_scheduler(self.scheduler_config, prediction or self.prediction, sampler)

    @cached_property
    def vae_key(self) -> str:
        """Identifies the VAE: its configuration and weights (see ``fingerprint``)."""
        return self._vae.key if self._vae is not None else folder_key(self.path, ["vae"])

    @cached_property
    def text_key(self) -> str:
        """Identifies both text encoders and tokenizers: configurations, weights and vocabularies."""
        return folder_key(self.path, ["text_encoder", "text_encoder_2", *TOKENIZERS])

    @cached_property
    def digest(self) -> str:
        """Identifies the whole base, UNet and noise schedule included."""
        return folder_digest(self.path, None if self._vae is None else self._vae.key)

    def _network(self, kind: Any, name: str, device: torch.device | str, **how: Any) -> Any:
        """Load one network, frozen. A tensor that the files lack is an error, never a random one."""
        options: dict[str, Any] = {
            "use_safetensors": True,
            "local_files_only": True,
            "output_loading_info": True,
            **how,
        }
        weights = find_weights(self.path, name)
        if weights.variant is not None:
            options["variant"] = weights.variant
        try:
            with _no_progress_bars():
                network, info = kind.from_pretrained(self.path / name, **options)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise ModelError(f"{name} cannot be loaded: {error}", where=str(self.path)) from error
        missing = sorted(info.get("missing_keys", ()))
        mismatched = sorted(str(entry) for entry in info.get("mismatched_keys", ()))
        if missing or mismatched:
            raise ModelError(
                f"{name} does not fit its config.json: {len(missing)} tensors are missing and {len(mismatched)} have "
                f"another shape, first {(missing + mismatched)[0]}",
                where=str(self.path),
            )
        return network.to(device).eval().requires_grad_(False)


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """The libraries' own progress bars would fill the log; their state is put back afterwards."""
    from diffusers.utils import logging as diffusers_logging  # noqa: PLC0415
    from transformers.utils import logging as transformers_logging  # noqa: PLC0415

    changed = [logging for logging in (diffusers_logging, transformers_logging) if logging.is_progress_bar_enabled()]
    for logging in changed:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        for logging in changed:
            logging.enable_progress_bar()
