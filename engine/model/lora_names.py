"""Two names for each LoRA module: ``down_blocks.1.attentions.0.proj_in`` is ``lora_unet_input_blocks_4_1_proj_in`` elsewhere.

The first is diffusers', the second that of sd-scripts, ComfyUI and Forge, which follow Stability's own code, where the
blocks are numbered through. The numbers come from the UNet's configuration: ``input_blocks`` is the first convolution
(0), then per level its layers and its downsampler; ``output_blocks`` are the layers going up; an entry holds a resnet
(0) and a transformer (1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

PREFIX: Final = "lora_unet_"
_ATTENTION: Final = ("to_q", "to_k", "to_v", "to_out.0")
_BLOCK: Final = (
    *(f"attn1.{name}" for name in _ATTENTION),
    *(f"attn2.{name}" for name in _ATTENTION),
    "ff.net.0.proj",
    "ff.net.2",
)


def sd_scripts_names(unet_config: Mapping[str, Any]) -> dict[str, str]:
    """Every LoRA module of the UNet that ``unet_config`` describes: diffusers' name to sd-scripts'."""
    return {
        f"{ours}.{inside}": PREFIX + f"{original}.{inside}".replace(".", "_")
        for ours, original, depth in _transformers(unet_config)
        for inside in _inside(depth)
    }


def _inside(depth: int) -> Iterator[str]:
    """The modules of a transformer of ``depth`` blocks; both layouts name them alike."""
    yield "proj_in"
    for block in range(depth):
        for name in _BLOCK:
            yield f"transformer_blocks.{block}.{name}"
    yield "proj_out"


def _transformers(config: Mapping[str, Any]) -> Iterator[tuple[str, str, int]]:
    """Each transformer: its name in diffusers, in the original layout, and its depth in blocks."""
    down, up = config["down_block_types"], config["up_block_types"]
    layers = _each(config.get("layers_per_block", 2), len(down))
    depths = _each(config.get("transformer_layers_per_block", 1), len(down))
    up_depths = _each(config.get("reverse_transformer_layers_per_block") or depths[::-1], len(up))

    entry = 1  # 0 is the first convolution
    for level, kind in enumerate(down):
        if "CrossAttn" in kind:
            for layer, depth in enumerate(_each(depths[level], layers[level])):
                yield f"down_blocks.{level}.attentions.{layer}", f"input_blocks.{entry + layer}.1", depth
        entry += layers[level] + 1  # the downsampler is an entry of its own
    if "CrossAttn" in (config.get("mid_block_type", "UNetMidBlock2DCrossAttn") or ""):
        yield "mid_block.attentions.0", "middle_block.1", _each(depths[-1], 1)[0]
    entry = 0
    for level, kind in enumerate(up):
        entries = layers[-1 - level] + 1  # the upsampler belongs to the last one
        if "CrossAttn" in kind:
            for layer, depth in enumerate(_each(up_depths[level], entries)):
                yield f"up_blocks.{level}.attentions.{layer}", f"output_blocks.{entry + layer}.1", depth
        entry += entries


def _each(value: Any, count: int) -> list[Any]:
    """A setting that is given once for all levels (or layers) or once for each."""
    return [value] * count if isinstance(value, int) else list(value)
