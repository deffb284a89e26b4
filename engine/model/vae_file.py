"""Looks at what a profile names as a separate VAE: a file or a folder, in diffusers' or the original layout, or a whole base.

JSON and a header are read, nothing else, and no torch is needed. Loading is ``vae.py``'s business.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from engine.model.architecture import published_config, vae_config
from engine.model.errors import ModelError
from engine.model.original_layout import VAE, NotThisLayoutError, VaeDimensions, differences
from engine.model.safetensors_header import Header, read_header

WANTED: Final = "Name a VAE of SDXL: a .safetensors file, or a diffusers folder with its config.json."
STEM: Final = "diffusion_pytorch_model"
LEVELS: Final = 4
"""Of SDXL's VAE: three halvings, 8 px to a latent."""

Layout = Literal["original", "diffusers"]


@dataclass(frozen=True)
class VaeFile:
    """A VAE in one file: its own, or a whole base's."""

    header: Header
    names: tuple[str, ...]
    """Its tensors in the file."""
    layout: Layout
    config: Mapping[str, Any]


def read_vae(path: Path) -> VaeFile:
    """The VAE in the file or folder at ``path``. Raises ``ModelError`` with what it is instead, or what it lacks.

    A folder is a VAE's own or a whole pipeline's. A file beside a ``config.json`` is read with it; the shapes of any other
    tell its configuration, and it counts as SDXL's stock VAE, which overflows in fp16.
    """
    file = _file_in(path) if path.is_dir() else path
    header = read_header(file)
    config = _config_beside(file)
    try:
        found = _original(header) or _diffusers(header, config)
        if found is None:
            raise NotThisLayoutError("has no encoder and decoder")
        _require_sdxl(found)
    except NotThisLayoutError as error:
        raise ModelError(f"this is no VAE of SDXL: it {error}", where=str(file), hint=WANTED) from None
    return found


def _file_in(folder: Path) -> Path:
    for place in (folder, folder / "vae"):
        for name in (f"{STEM}.safetensors", f"{STEM}.fp16.safetensors"):
            if (place / name).is_file():
                return place / name
    raise ModelError(f"the folder has no {STEM}.safetensors, nor a vae/ that has", where=str(folder), hint=WANTED)


def _config_beside(file: Path) -> dict[str, Any] | None:
    try:
        config = json.loads((file.parent / "config.json").read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"config.json beside it is not readable: {error}", where=str(file)) from error
    is_vae = isinstance(config, dict) and config.get("_class_name") == "AutoencoderKL"
    return config if is_vae else None


def _original(header: Header) -> VaeFile | None:
    prefix = VAE if any(name.startswith(VAE) for name in header.tensors) else ""
    shapes = {name.removeprefix(prefix): e.shape for name, e in header.tensors.items() if name.startswith(prefix)}
    if not any(name.startswith("encoder.down.") for name in shapes):
        return None
    dimensions = VaeDimensions.of(shapes)
    expected = dimensions.tensors()
    wrong = list(differences(shapes, expected))
    if wrong:
        raise NotThisLayoutError(f"is of another architecture: {wrong[0]}")
    return VaeFile(header, tuple(prefix + name for name in expected), "original", vae_config(dimensions))


def _diffusers(header: Header, config: dict[str, Any] | None) -> VaeFile | None:
    entries = {name: entry.shape for name, entry in header.tensors.items()}
    channels: list[int] = []
    while (shape := entries.get(f"encoder.down_blocks.{len(channels)}.resnets.0.conv1.weight")) is not None:
        channels.append(shape[0])
    if not channels:
        return None
    if config is None:
        blocks = sum(
            f"encoder.down_blocks.0.resnets.{number}.conv1.weight" in entries for number in range(len(entries))
        )
        latents = entries.get("decoder.conv_in.weight", (0, 0))[1]
        config = vae_config(VaeDimensions(tuple(channels), blocks, latents))
    return VaeFile(header, tuple(entries), "diffusers", config)


def _require_sdxl(vae: VaeFile) -> None:
    config = vae.config
    latents, levels = config.get("latent_channels"), len(config.get("block_out_channels", ()))
    if latents != published_config("vae")["latent_channels"]:
        raise NotThisLayoutError(f"has {latents} latent channels; SDXL's has 4")
    if levels != LEVELS:
        raise NotThisLayoutError(f"makes one latent of {2 ** max(0, levels - 1)} px; SDXL's of 8")
    if config.get("scaling_factor") is None:
        raise NotThisLayoutError("has no scaling_factor in its config.json")
