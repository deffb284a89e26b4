"""Two names for each adapted module: ``down_blocks.1.attentions.0.proj_in`` is ``lora_unet_input_blocks_4_1_proj_in``.

The first is diffusers', the second that of sd-scripts, ComfyUI and Forge, which follow Stability's own code, where the
blocks are numbered through. The numbers come from the UNet's configuration: ``input_blocks`` is the first convolution
(0), then per level its layers and its downsampler; ``output_blocks`` are the layers going up; an entry holds a resnet
(0), a transformer (1) and on the way up, last, an upsampler. Modules of a text encoder have the same name in both, behind a
prefix: ``text_encoder_1.text_model.encoder.layers.0.mlp.fc1``, ``lora_te1_text_model_encoder_layers_0_mlp_fc1``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

PREFIX: Final = "lora_unet_"
TEXT_PREFIXES: Final = {"text_encoder_1": "lora_te1_", "text_encoder_2": "lora_te2_"}
"""By optimizer group, in the order of the encoders."""
SDXL_UNET: Final[Mapping[str, Any]] = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 2,
    "transformer_layers_per_block": (1, 2, 10),
}
"""What of SDXL's UNet configuration the names depend on."""
SDXL_TEXT_LAYERS: Final = (12, 32)
"""Hidden layers of SDXL's text encoders."""

_ATTENTION: Final = ("to_q", "to_k", "to_v", "to_out.0")
_BLOCK: Final = (
    *(f"attn1.{name}" for name in _ATTENTION),
    *(f"attn2.{name}" for name in _ATTENTION),
    "ff.net.0.proj",
    "ff.net.2",
)
_RESNET: Final = {
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_TEXT_LAYER: Final = (
    *(f"self_attn.{name}" for name in ("k_proj", "v_proj", "q_proj", "out_proj")),
    "mlp.fc1",
    "mlp.fc2",
)


def sd_scripts_names(unet_config: Mapping[str, Any], text_layers: Sequence[int] = ()) -> dict[str, str]:
    """Every module that can be adapted: the adapter's name to sd-scripts'.

    unet_config: describes the UNet. A resnet's shortcut is named whether or not it has one. text_layers: hidden layers of the
    text encoders, in order.
    """
    names = {}
    for ours, original in _unet_modules(unet_config):
        names[ours] = PREFIX + original.replace(".", "_")
    for (group, prefix), layers in zip(TEXT_PREFIXES.items(), text_layers, strict=False):
        for inside in _text_modules(layers):
            names[f"{group}.{inside}"] = prefix + inside.replace(".", "_")
    return names


def names_in(keys: Iterable[str]) -> dict[str, str]:
    """The names of an SDXL of any depth that covers all of ``keys`` (sd-scripts' or ours), for files without their base."""
    depth, layers = 1, 1
    for key in keys:
        for found in re.finditer(r"transformer_blocks[._](\d{1,3})[._]", key):
            depth = max(depth, int(found[1]) + 1)
        for found in re.finditer(r"encoder[._]layers[._](\d{1,3})[._]", key):
            layers = max(layers, int(found[1]) + 1)
    return sd_scripts_names({**SDXL_UNET, "transformer_layers_per_block": depth}, (layers, layers))


def modules_by_file_name(names: Mapping[str, str]) -> dict[str, str]:
    """The adapter's name of a module by what stands before the first dot of a key in sd-scripts' format.

    names: as of ``sd_scripts_names``. Blocks of the UNet may be numbered as in diffusers.
    """
    found = {theirs: ours for ours, theirs in names.items()}
    return found | {
        PREFIX + ours.replace(".", "_"): ours for ours, theirs in names.items() if theirs.startswith(PREFIX)
    }


def _unet_modules(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for ours, original, depth in _transformers(config):
        for inside in _inside(depth):
            yield f"{ours}.{inside}", f"{original}.{inside}"
    for ours, original in _resnets(config):
        for inside, theirs in _RESNET.items():
            yield f"{ours}.{inside}", f"{original}.{theirs}"
    yield from _resamplers(config)


def _inside(depth: int) -> Iterator[str]:
    """The modules of a transformer of ``depth`` blocks; both layouts name them alike."""
    yield "proj_in"
    for block in range(depth):
        for name in _BLOCK:
            yield f"transformer_blocks.{block}.{name}"
    yield "proj_out"


def _text_modules(layers: int) -> Iterator[str]:
    for layer in range(layers):
        for name in _TEXT_LAYER:
            yield f"text_model.encoder.layers.{layer}.{name}"


def _transformers(config: Mapping[str, Any]) -> Iterator[tuple[str, str, int]]:
    """Each transformer: its name in diffusers, in the original layout, and its depth in blocks."""
    down, up = config["down_block_types"], config["up_block_types"]
    depths = _each(config.get("transformer_layers_per_block", 1), len(down))
    up_depths = _each(config.get("reverse_transformer_layers_per_block") or depths[::-1], len(up))
    for level, entry, layers in _down_levels(config):
        if "CrossAttn" in down[level]:
            for layer, depth in enumerate(_each(depths[level], layers)):
                yield f"down_blocks.{level}.attentions.{layer}", f"input_blocks.{entry + layer}.1", depth
    if _middle_attends(config):
        yield "mid_block.attentions.0", "middle_block.1", _each(depths[-1], 1)[0]
    for level, entry, layers in _up_levels(config):
        if "CrossAttn" in up[level]:
            for layer, depth in enumerate(_each(up_depths[level], layers)):
                yield f"up_blocks.{level}.attentions.{layer}", f"output_blocks.{entry + layer}.1", depth


def _resnets(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for level, entry, layers in _down_levels(config):
        for layer in range(layers):
            yield f"down_blocks.{level}.resnets.{layer}", f"input_blocks.{entry + layer}.0"
    if config.get("mid_block_type", "UNetMidBlock2DCrossAttn"):
        yield "mid_block.resnets.0", "middle_block.0"
        yield "mid_block.resnets.1", "middle_block.2" if _middle_attends(config) else "middle_block.1"
    for level, entry, layers in _up_levels(config):
        for layer in range(layers):
            yield f"up_blocks.{level}.resnets.{layer}", f"output_blocks.{entry + layer}.0"


def _resamplers(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    levels = len(config["down_block_types"])
    for level, entry, layers in _down_levels(config):
        if level + 1 < levels:
            yield f"down_blocks.{level}.downsamplers.0.conv", f"input_blocks.{entry + layers}.0.op"
    for level, entry, layers in _up_levels(config):
        if level + 1 < levels:
            place = 2 if "CrossAttn" in config["up_block_types"][level] else 1
            yield f"up_blocks.{level}.upsamplers.0.conv", f"output_blocks.{entry + layers - 1}.{place}.conv"


def _down_levels(config: Mapping[str, Any]) -> Iterator[tuple[int, int, int]]:
    """Each level going down: its number, its first entry of ``input_blocks``, and its layers."""
    entry = 1  # 0 is the first convolution
    for level, layers in enumerate(_layers(config)):
        yield level, entry, layers
        entry += layers + 1  # the downsampler is an entry of its own


def _up_levels(config: Mapping[str, Any]) -> Iterator[tuple[int, int, int]]:
    """Each level going up: its number, its first entry of ``output_blocks``, and its layers."""
    entry = 0
    for level, layers in enumerate(reversed(_layers(config))):
        yield level, entry, layers + 1
        entry += layers + 1  # the upsampler belongs to the last one


def _layers(config: Mapping[str, Any]) -> list[int]:
    return _each(config.get("layers_per_block", 2), len(config["down_block_types"]))


def _middle_attends(config: Mapping[str, Any]) -> bool:
    return "CrossAttn" in (config.get("mid_block_type", "UNetMidBlock2DCrossAttn") or "")


def _each(value: Any, count: int) -> list[Any]:
    """A setting that is given once for all levels (or layers) or once for each."""
    return [value] * count if isinstance(value, int) else list(value)
