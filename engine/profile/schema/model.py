"""The profile's ``[model]``: the frozen base model."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine.profile.schema.section import FIXED, Section
from engine.profile.setting import Setting


class Model(Section):
    """The frozen base model."""

    base: Annotated[
        str,
        Field(min_length=1),
        Setting(
            "Base model of the SDXL architecture: a .safetensors file, a diffusers folder, or a hub id.",
            FIXED,
            detail="A single file in SDXL's original layout, as checkpoints are handed round; nothing else is needed. "
            "A diffusers folder holds model_index.json, unet/, vae/, text_encoder/ and text_encoder_2/. "
            "A relative path is taken from the profile's own folder. "
            "bundled:demo-base is the small model shipped with the package.",
            aliases=("pretrained_model_name_or_path", "base_model", "checkpoint", "model", "name_or_path"),
            leads_to=("/", ".safetensors"),
        ),
    ]
    vae: Annotated[
        str | None,
        Field(min_length=1),
        Setting(
            "VAE instead of the base's own: a .safetensors file, a diffusers folder, or a hub id.",
            FIXED,
            absent="the base's own",
            detail="A file in the original or diffusers' layout. The VAE runs in float32, since SDXL's overflows in fp16; "
            "one mended for fp16 (a folder whose config.json says force_upcast false) runs in float16 on a GPU, which is faster.",
            aliases=("vae_path", "vae_model", "vae_override", "pretrained_vae_model_name_or_path"),
            leads_to=("/", ".safetensors"),
        ),
    ] = None
