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
            "Base model: a diffusers folder with the SDXL architecture.",
            FIXED,
            detail="The folder that holds model_index.json, unet/, vae/, text_encoder/ and text_encoder_2/. "
            "A relative path is taken from the profile's own folder. "
            "bundled:demo-base is the small model shipped with the package.",
            aliases=("pretrained_model_name_or_path", "base_model", "checkpoint", "model", "name_or_path"),
        ),
    ]
