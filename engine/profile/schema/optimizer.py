"""The profile's ``[optimizer]``: update rule and learning rate."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from engine.profile.schema.section import FIXED, RESTORED, Section
from engine.profile.setting import Setting


class OptimizerKind(StrEnum):
    """Update rule."""

    ADAMW = "adamw"


class Optimizer(Section):
    """Update rule and learning rate."""

    kind: Annotated[
        OptimizerKind,
        Field(strict=False),
        Setting("Update rule.", FIXED, aliases=("optimizer_type", "optimizer", "type")),
    ] = OptimizerKind.ADAMW
    lr: Annotated[
        float,
        Field(gt=0, le=10),
        Setting(
            "Base learning rate: the schedule's factor multiplies it.",
            RESTORED,
            detail="1e-4 is usual for AdamW on an SDXL LoRA; 3e-5 to 3e-4 is the sensible range.",
            aliases=("learning_rate", "unet_lr", "base_lr"),
        ),
    ] = 1e-4
    weight_decay: Annotated[float, Field(ge=0, le=1), Setting("Decoupled weight decay.", RESTORED)] = 0.01
    beta1: Annotated[float, Field(ge=0, lt=1), Setting("Decay of the first moment.", RESTORED, aliases=("betas",))] = (
        0.9
    )
    beta2: Annotated[float, Field(ge=0, lt=1), Setting("Decay of the second moment.", RESTORED, aliases=("betas",))] = (
        0.999
    )
    eps: Annotated[
        float,
        Field(gt=0, le=1),
        Setting("Term that keeps the division finite.", RESTORED, aliases=("epsilon",)),
    ] = 1e-8
