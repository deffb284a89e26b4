"""The profile's ``[precision]``: number formats."""

from __future__ import annotations

from typing import Annotated, Literal

from engine.profile.schema.section import APPLIED, FIXED, Section
from engine.profile.setting import Setting


class Precision(Section):
    """Number formats."""

    compute: Annotated[
        Literal["fp32", "bf16", "fp16"],
        Setting(
            "Format of the forward pass; LoRA weights and optimizer stay in fp32.",
            FIXED,
            detail="bf16 on an RTX 30 series or newer, fp16 on older cards, fp32 on a CPU.",
            aliases=("mixed_precision", "dtype", "train_dtype"),
        ),
    ] = "bf16"
    save: Annotated[
        Literal["fp32", "bf16", "fp16"],
        Setting("Format of lora.safetensors.", APPLIED, aliases=("save_precision", "save_dtype")),
    ] = "fp32"
