"""Writes a diffusers folder as a single file in SDXL's original layout, by renaming rules of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.model.base import BaseFolder

UNET_ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
UNET_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def original_unet_name(name: str, config: Any) -> str:
    """The UNet tensor that diffusers calls ``name``, without prefix."""
    module, _, kind = name.rpartition(".")
    if module in UNET_ENDS:
        return f"{UNET_ENDS[module]}.{kind}"
    layers = config["layers_per_block"]
    direction, *rest = name.split(".")
    block = int(rest.pop(0)) if direction != "mid_block" else 0
    part, index = rest[0], int(rest[1])
    inner = ".".join(rest[2:])
    if part == "resnets":
        layer, _, kind = inner.partition(".")
        inner = f"{UNET_RESNET[layer]}.{kind}"
    if direction == "mid_block":
        return f"middle_block.{1 if part == 'attentions' else 2 * index}.{inner}"
    if part == "downsamplers":
        return f"input_blocks.{(block + 1) * (layers + 1)}.0.op.{inner.removeprefix('conv.')}"
    if part == "upsamplers":
        attends = config["up_block_types"][block].startswith("CrossAttn")
        return f"output_blocks.{block * (layers + 1) + layers}.{2 if attends else 1}.{inner}"
    place = 1 if part == "attentions" else 0
    if direction == "down_blocks":
        return f"input_blocks.{block * (layers + 1) + index + 1}.{place}.{inner}"
    return f"output_blocks.{block * (layers + 1) + index}.{place}.{inner}"


def original_vae(tensors: dict[str, Tensor], config: Any) -> dict[str, Tensor]:
    """A VAE's tensors under their original names, without prefix."""
    last = len(config["block_out_channels"]) - 1
    found = {}
    for name, tensor in tensors.items():
        new = re.sub(r"encoder\.down_blocks\.(\d+)\.resnets\.", r"encoder.down.\1.block.", name)
        new = re.sub(r"encoder\.down_blocks\.(\d+)\.downsamplers\.0\.", r"encoder.down.\1.downsample.", new)
        new = re.sub(r"decoder\.up_blocks\.(\d+)\.resnets\.", lambda m: f"decoder.up.{last - int(m[1])}.block.", new)
        new = re.sub(
            r"decoder\.up_blocks\.(\d+)\.upsamplers\.0\.", lambda m: f"decoder.up.{last - int(m[1])}.upsample.", new
        )
        new = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", new)
        new = new.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        if "mid_block.attentions.0." in new:
            new = new.replace("mid_block.attentions.0.", "mid.attn_1.").replace("group_norm", "norm")
            for theirs, ours in (("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")):
                new = new.replace(f"attn_1.{theirs}.", f"attn_1.{ours}.")
            if tensor.ndim == 2:
                tensor = tensor[:, :, None, None]  # noqa: PLW2901 - stored as 1x1 convolutions
        found[new] = tensor
    return found


def original_second_encoder(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """OpenCLIP's names: query, key and value in one, the projection transposed."""
    found = {
        "token_embedding.weight": tensors["text_model.embeddings.token_embedding.weight"],
        "positional_embedding": tensors["text_model.embeddings.position_embedding.weight"],
        "text_projection": tensors["text_projection.weight"].T,
        "ln_final.weight": tensors["text_model.final_layer_norm.weight"],
        "ln_final.bias": tensors["text_model.final_layer_norm.bias"],
        "logit_scale": torch.tensor(4.6),
    }
    names = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
    names["self_attn.out_proj"] = "attn.out_proj"
    layers = {int(m[1]) for name in tensors if (m := re.match(r"text_model\.encoder\.layers\.(\d+)\.", name))}
    for layer in layers:
        theirs, ours = f"text_model.encoder.layers.{layer}", f"transformer.resblocks.{layer}"
        for kind in ("weight", "bias"):
            joined = [tensors[f"{theirs}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
            found[f"{ours}.attn.in_proj_{kind}"] = torch.cat(joined)
            for before, after in names.items():
                found[f"{ours}.{after}.{kind}"] = tensors[f"{theirs}.{before}.{kind}"]
    return found


def original_tensors(base: BaseFolder) -> dict[str, Tensor]:
    """Everything of ``base`` under its original names, in the types it is stored in."""

    def stored(part: str) -> dict[str, Tensor]:
        (file,) = (base.path / part).glob("*.safetensors")
        tensors: dict[str, Tensor] = load_file(file)
        return tensors

    unet = {original_unet_name(name, base.unet_config): tensor for name, tensor in stored("unet").items()}
    positions = {"conditioner.embedders.0.transformer.text_model.embeddings.position_ids": torch.arange(77)[None]}
    found = {
        **{f"model.diffusion_model.{name}": tensor for name, tensor in unet.items()},
        **{f"first_stage_model.{name}": t for name, t in original_vae(stored("vae"), base.configs.vae).items()},
        **{f"conditioner.embedders.0.transformer.{name}": t for name, t in stored("text_encoder").items()},
        **{
            f"conditioner.embedders.1.model.{n}": t
            for n, t in original_second_encoder(stored("text_encoder_2")).items()
        },
        **positions,
    }
    return {name: tensor.contiguous() for name, tensor in found.items()}


def write_original(
    base: BaseFolder,
    path: Path,
    changes: Mapping[str, Tensor | None] | None = None,
    *,
    metadata: dict[str, str] | None = None,
) -> Path:
    """``base`` as a single file. changes: tensors by name to add or replace, None to leave one out."""
    tensors: dict[str, Tensor | None] = {**original_tensors(base), **(changes or {})}
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path, metadata=metadata)
    return path
