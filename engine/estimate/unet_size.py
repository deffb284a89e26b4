"""How large a base's UNet is, and how much there is to compute: from its configuration and the headers of its files.

No tensor is read and no torch is loaded. A base that cannot be looked at is taken to be SDXL's own size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any, Final

from engine.demo import locate
from engine.errors import UserError
from engine.model.architecture import published_config
from engine.model.base_check import find_weights
from engine.model.hub_id import base_in, cached_snapshot, parse_hub_id
from engine.model.original_layout import UNET
from engine.model.safetensors_header import read_header
from engine.model.single_file import read_single_file
from engine.profile.schema import Part
from engine.run.records import read_json_object

SDXL_VALUES: Final = 2_567_463_684
"""Of the UNet of Podell et al. 2023 (arXiv:2307.01952)."""
_TRANSFORMER: Final = re.compile(r"\.transformer_blocks\.|\.proj_(in|out)\.")
_OUTSIDE: Final = re.compile(
    r"^(conv_in|conv_out|time_embed|add_embed|label_emb|out\.|input_blocks\.0\.|conv_norm_out)"
)
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Level:
    """The blocks at one scale of the UNet."""

    scale: int
    """By how much its sides are smaller than the latents'."""
    channels: int
    transformers: int
    """Transformer blocks in all."""
    residuals: int


@dataclass(frozen=True)
class UNetSize:
    """Numbers that memory depends on."""

    weights: Mapping[str, Shape]
    """Every weight of two dimensions or more by name, with its shape; of a base that cannot be read the transformers' alone."""
    values: int
    """Of all weights."""
    levels: tuple[Level, ...]

    def shapes(self, part: Part) -> Iterator[Shape]:
        """The weights of the modules that ``part`` of [network] means."""
        for name, shape in self.weights.items():
            if part_of(name) is part:
                yield shape

    @property
    def block_values(self) -> int:
        """Of the linear layers in transformer blocks, which ``precision.base`` can keep in eight bits."""
        return sum(prod(shape) for name, shape in self.weights.items() if ".transformer_blocks." in name)


def part_of(name: str) -> Part | None:
    """What part of the UNet a weight belongs to; None for what is never adapted. Names of diffusers or the original."""
    if _TRANSFORMER.search(name):
        return Part.FEED_FORWARD if ".ff.net." in name else Part.ATTENTION
    return None if _OUTSIDE.match(name) else Part.CONVOLUTIONS


def unet_size(reference: str) -> UNetSize:
    """The size of the UNet of the base that ``model.base`` names; read once per version of its files."""
    path = locate(reference)
    return _unet_size(path, _version(path))


_CONFIGS: Final = ("", "unet", "unet/config.json", "text_encoder/config.json", "text_encoder_2/config.json")


def _version(path: Path) -> tuple[tuple[int, int] | None, ...]:
    """Another one whenever a file that sizes are read from was written or replaced."""
    found: list[tuple[int, int] | None] = []
    for name in _CONFIGS:
        try:
            status = (path / name).stat()
        except (OSError, ValueError):
            found.append(None)
        else:
            found.append((status.st_mtime_ns, status.st_size))
    return tuple(found)


@lru_cache(maxsize=8)
def _unet_size(path: Path, _version: object) -> UNetSize:
    try:
        config, weights = _file(path) if path.is_file() else _folder(path)
        return UNetSize(
            {name: shape for name, shape in weights.items() if len(shape) > 1},
            sum(prod(shape) for shape in weights.values()),
            tuple(_levels(config)),
        )
    except (UserError, OSError, ValueError, KeyError, TypeError, IndexError):
        config = published_config("unet")
        levels = tuple(_levels(config))
        return UNetSize(dict(_transformer_weights(levels, int(config["cross_attention_dim"]))), SDXL_VALUES, levels)


def unet_shapes(reference: str) -> dict[str, Shape] | None:
    """The weights of two dimensions or more of the UNet that ``model.base`` names, with their shapes.

    Named as in diffusers or in the original layout. None where the base is not on this machine or cannot be read.
    """
    path = locate(reference)
    try:
        if not path.exists():
            hub_id = parse_hub_id(reference)
            snapshot = cached_snapshot(hub_id) if hub_id else None
            found = base_in(snapshot) or snapshot if snapshot else None
            if found is None:
                return None
            path = found
        _, weights = _file(path) if path.is_file() else _folder(path)
    except (UserError, OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    return {name: shape for name, shape in weights.items() if len(shape) > 1}


def _folder(path: Path) -> tuple[Mapping[str, Any], dict[str, Shape]]:
    config = read_json_object(path / "unet" / "config.json")
    if config is None:
        raise ValueError("no configuration")
    return config, _shapes(find_weights(path, "unet").files)


def _file(path: Path) -> tuple[Mapping[str, Any], dict[str, Shape]]:
    found = read_single_file(path, needs_vae=False)
    names = found.parts[UNET]
    return found.configs.unet, {name.removeprefix(UNET): found.header.tensors[name].shape for name in names}


def _shapes(files: Sequence[Path]) -> dict[str, Shape]:
    return {name: entry.shape for file in files for name, entry in read_header(file).tensors.items()}


def _transformer_weights(levels: Sequence[Level], context: int) -> Iterator[tuple[str, Shape]]:
    """The linear layers of the transformer blocks, by their order; context: width of the text's states."""
    for number, level in enumerate(levels):
        width = level.channels
        sides = {"attn1": (width,) * 3, "attn2": (width, context, context)}
        for block in range(level.transformers):
            path = f"levels.{number}.transformer_blocks.{block}"
            for name, inputs in sides.items():
                for layer, side in zip(("to_q", "to_k", "to_v"), inputs, strict=True):
                    yield f"{path}.{name}.{layer}.weight", (width, side)
                yield f"{path}.{name}.to_out.0.weight", (width, width)
            yield f"{path}.ff.net.0.proj.weight", (8 * width, width)
            yield f"{path}.ff.net.2.weight", (width, 4 * width)


def _levels(config: Mapping[str, Any]) -> Iterator[Level]:
    """Per scale its blocks on the way down and up, and on the last one the middle's (diffusers' UNet2DConditionModel)."""
    channels = list(config["block_out_channels"])
    depths = config.get("transformer_layers_per_block", 1)
    depths = [depths] * len(channels) if isinstance(depths, int) else list(depths)
    layers = int(config.get("layers_per_block", 2))
    for index, (width, depth, kind) in enumerate(zip(channels, depths, config["down_block_types"], strict=True)):
        is_last = index == len(channels) - 1
        blocks = (2 * layers + 1 + is_last) * depth if "CrossAttn" in kind else is_last * depth
        yield Level(2**index, int(width), blocks, 2 * layers + 1 + 2 * is_last)


def text_encoder_sizes(reference: str) -> list[tuple[int, int]]:
    """Layers and width of both text encoders; read once per version of their files."""
    path = locate(reference)
    return list(_text_encoder_sizes(path, _version(path)))


@lru_cache(maxsize=8)
def _text_encoder_sizes(path: Path, _version: object) -> tuple[tuple[int, int], ...]:
    found = []
    if path.is_file():
        try:
            configs = read_single_file(path, needs_vae=False).configs
        except (UserError, OSError):
            pass  # what is wrong with it is said elsewhere; it is taken to be of SDXL's own sizes
        else:
            parts = (configs.text_encoder, configs.text_encoder_2)
            return tuple((int(config["num_hidden_layers"]), int(config["hidden_size"])) for config in parts)
    for name in ("text_encoder", "text_encoder_2"):
        config = published_config(name) | (read_json_object(path / name / "config.json") or {})
        found.append((int(config["num_hidden_layers"]), int(config["hidden_size"])))
    return tuple(found)
