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
    base: Annotated[
        Literal["as compute", "fp32", "bf16", "fp16", "fp8", "int8"],
        Setting(
            "Format in which the frozen UNet's weights are kept in memory.",
            FIXED,
            detail="fp8 and int8 keep the linear layers of the transformer blocks in eight bits, with a scale per row, and "
            "compute in precision.compute: about 2 GB less than bf16, a few percent slower. int8 is the more exact one.",
            aliases=("fp8_base", "base_precision", "quantize", "weight_dtype", "unet_weight_dtype"),
        ),
    ] = "as compute"
    save: Annotated[
        Literal["fp32", "bf16", "fp16"],
        Setting("Format of lora.safetensors.", APPLIED, aliases=("save_precision", "save_dtype")),
    ] = "fp32"
