"""The VAE: loading a separate one, and the number format it is safe to run in.

SDXL's stock VAE overflows in fp16: some of its activations grow beyond 65,504, and the picture comes out black. Versions
mended for fp16 (same latents, smaller activations) say so with ``force_upcast: false`` in their configuration. bf16 does not
overflow, but its 8 bits are too coarse for pictures, so a VAE runs in float32, or in float16 where it is mended for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from engine.model.content import vae_key
from engine.model.original_weights import built, filled, read_tensors, vae_tensors
from engine.model.vae_file import VaeFile, read_vae

# What diffusers called the middle's attention before it was like every other one.
_OLD_NAMES: Final = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


class SeparateVae:
    """A VAE beside the base's own. Raises ``ModelError`` if there is none at ``path``, or if it is not SDXL's."""

    def __init__(self, path: Path) -> None:
        """Only a header and a configuration are read."""
        self._file: VaeFile = read_vae(path)

    @property
    def config(self) -> Mapping[str, Any]:
        """Its configuration."""
        return self._file.config

    @cached_property
    def key(self) -> str:
        """Identifies configuration and weights, not the file."""
        return vae_key(self._file)

    def load(self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Any:
        """The ``AutoencoderKL`` in ``dtype`` on ``device``, in evaluation mode, frozen."""
        return load_vae(self._file, device, dtype)


def load_vae(file: VaeFile, device: torch.device | str, dtype: torch.dtype) -> Any:
    """The ``AutoencoderKL`` in ``file``, frozen. Raises ``ModelError`` if its weights do not fit its configuration."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL  # noqa: PLC0415

    vae = built(AutoencoderKL, dict(file.config))
    stored = {name: tensor.to(device, dtype) for name, tensor in read_tensors(file.header, file.names)}
    tensors = vae_tensors(stored, file.config) if file.layout == "original" else _with_new_names(stored)
    return filled(vae, tensors, device, where=file.header.path)


def vae_dtype(config: Mapping[str, Any], compute: torch.dtype, device: torch.device | str) -> torch.dtype:
    """The number format a VAE of ``config`` runs in beside a base in ``compute`` on ``device``.

    float16 where a base in half precision on a GPU has a VAE mended for it; otherwise float32.
    """
    half = compute != torch.float32 and torch.device(device).type != "cpu"
    return torch.float16 if half and not config.get("force_upcast", True) else torch.float32


def vae_format_explained(config: Mapping[str, Any], compute: torch.dtype, device: torch.device | str) -> str | None:
    """A line for the log where a VAE's number format is not the base's, or may surprise; None where it is no news."""
    if compute == torch.float32 or torch.device(device).type == "cpu":
        return None
    if vae_dtype(config, compute, device) == torch.float16:
        return "the VAE runs in float16: it is mended for it (force_upcast false)"
    return (
        "the VAE runs in float32, since SDXL's own overflows in fp16; one mended for fp16 as model.vae (a diffusers folder whose "
        "config.json says force_upcast false) would run in float16, which is faster"
    )


def _with_new_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Diffusers' tensors under today's names, the attention's weights as linear layers."""
    found = {}
    for name, tensor in tensors.items():
        for before, after in _OLD_NAMES.items():
            name = name.replace(before, after)  # noqa: PLW2901
        linear = "attentions.0.to_" in name and tensor.ndim == 4
        found[name] = tensor[:, :, 0, 0] if linear else tensor
    return found
