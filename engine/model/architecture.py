"""From the dimensions of a file's tensors to the configurations diffusers and transformers build networks from.

Shapes tell nearly everything. What they do not tell (attention heads, groups of a normalisation, activations) is SDXL's own, as
published with it (``sdxl/*.json``), or, where all dimensions of a part are the bundled base's, that one's. A part
that fits neither is refused: guessed heads would load without an error and draw nonsense.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from engine.demo import locate
from engine.model.original_layout import NotThisLayoutError, TextDimensions, UNetDimensions, VaeDimensions

PUBLISHED: Final = Path(__file__).parent / "sdxl"
HEAD: Final = 64
"""Channels of one attention head, in every part of SDXL."""
TIME_IDS: Final = 6
CLIP_VOCABULARY: Final = 49408

Config = dict[str, Any]


def unet_config(dimensions: UNetDimensions, pooled: int) -> Config:
    """The UNet's configuration. pooled: width of the second encoder's projection. Raises ``NotThisLayoutError``."""
    bundled = _bundled("unet")
    if dimensions == _unet_dimensions(bundled):
        return bundled
    published = published_config("unet")
    _require_multiples("UNet", dimensions.channels, published["norm_num_groups"])
    _require_multiples("UNet", [c for c, d in zip(dimensions.channels, dimensions.depths, strict=True) if d], HEAD)
    down = ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in dimensions.depths]
    up = ["CrossAttnUpBlock2D" if depth else "UpBlock2D" for depth in reversed(dimensions.depths)]
    return published | {
        "in_channels": dimensions.in_channels,
        "out_channels": dimensions.out_channels,
        "block_out_channels": list(dimensions.channels),
        "layers_per_block": dimensions.blocks,
        "down_block_types": down,
        "up_block_types": up,
        "transformer_layers_per_block": [depth or 1 for depth in dimensions.depths],
        "attention_head_dim": [
            max(1, channels // HEAD) for channels in dimensions.channels
        ],  # diffusers' name for heads
        "cross_attention_dim": dimensions.context,
        "addition_time_embed_dim": (dimensions.added - pooled) // TIME_IDS,
        "projection_class_embeddings_input_dim": dimensions.added,
    }


def vae_config(dimensions: VaeDimensions) -> Config:
    """The VAE's configuration. Raises ``NotThisLayoutError``."""
    bundled = _bundled("vae")
    if dimensions == VaeDimensions(
        tuple(bundled["block_out_channels"]), bundled["layers_per_block"], bundled["latent_channels"]
    ):
        return bundled
    published = published_config("vae")
    _require_multiples("VAE", dimensions.channels, published["norm_num_groups"])
    levels = len(dimensions.channels)
    return published | {
        "block_out_channels": list(dimensions.channels),
        "layers_per_block": dimensions.blocks,
        "latent_channels": dimensions.latents,
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
    }


def text_configs(first: TextDimensions, second: TextDimensions) -> tuple[Config, Config]:
    """Both text encoders' configurations. Raises ``NotThisLayoutError``, also where no tokenizer has their vocabulary."""
    bundled = _bundled("text_encoder"), _bundled("text_encoder_2")
    if (first, second) == (_text_dimensions(bundled[0], projected=False), _text_dimensions(bundled[1], projected=True)):
        return bundled
    for dimensions in (first, second):
        if dimensions.vocabulary != CLIP_VOCABULARY:
            raise NotThisLayoutError(
                f"has a text encoder for {dimensions.vocabulary:,} tokens, but CLIP's vocabulary has {CLIP_VOCABULARY:,}"
            )
        _require_multiples("text encoder", [dimensions.width], HEAD)
    return (
        published_config("text_encoder") | _text_fields(first) | {"projection_dim": first.width},
        published_config("text_encoder_2") | _text_fields(second) | {"projection_dim": second.projection},
    )


def has_bundled_vocabulary(config: Mapping[str, Any]) -> bool:
    """Whether a text encoder's configuration is for the bundled base's tokenizers, not for CLIP's."""
    return bool(config.get("vocab_size") == _bundled("text_encoder")["vocab_size"])


def published_config(part: str) -> Config:
    """SDXL's own configuration of ``unet``, ``vae``, ``text_encoder``, ``text_encoder_2`` or ``scheduler``."""
    return dict(_read(PUBLISHED / f"{part}.json"))


def _bundled(part: str) -> Config:
    return dict(_read(locate("bundled:demo-base") / part / "config.json"))


@cache
def _read(path: Path) -> Config:
    return dict(json.loads(path.read_bytes()))


def _unet_dimensions(config: Config) -> UNetDimensions:
    attending = [kind.startswith("CrossAttn") for kind in config["down_block_types"]]
    depths = config["transformer_layers_per_block"]
    return UNetDimensions(
        tuple(config["block_out_channels"]),
        tuple(depth if attends else 0 for attends, depth in zip(attending, depths, strict=True)),
        config["layers_per_block"],
        config["cross_attention_dim"],
        config["projection_class_embeddings_input_dim"],
        config["in_channels"],
        config["out_channels"],
    )


def _text_dimensions(config: Config, *, projected: bool) -> TextDimensions:
    return TextDimensions(
        config["vocab_size"],
        config["hidden_size"],
        config["num_hidden_layers"],
        config["intermediate_size"],
        config["projection_dim"] if projected else 0,
    )


def _text_fields(dimensions: TextDimensions) -> Config:
    return {
        "vocab_size": dimensions.vocabulary,
        "hidden_size": dimensions.width,
        "intermediate_size": dimensions.inner,
        "num_hidden_layers": dimensions.layers,
        "num_attention_heads": dimensions.width // HEAD,
    }


def _require_multiples(part: str, widths: list[int] | tuple[int, ...], of: int) -> None:
    odd = [width for width in widths if width % of]
    if odd:
        raise NotThisLayoutError(
            f"has a {part} of {odd[0]} channels, no multiple of SDXL's {of}; its attention heads and groups cannot be told"
        )
