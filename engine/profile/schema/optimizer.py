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
            aliases=("learning_rate", "base_lr"),
        ),
    ] = 1e-4
    unet_lr: Annotated[
        float | None,
        Field(gt=0, le=10),
        Setting("Base learning rate of the UNet's modules.", RESTORED, absent="optimizer.lr"),
    ] = None
    text_encoder_lr: Annotated[
        float | None,
        Field(gt=0, le=10),
        Setting(
            "Base learning rate of the text encoders.",
            RESTORED,
            absent="optimizer.lr",
            detail="Usual: a tenth to half of the UNet's. The schedule's factor multiplies it, too.",
            aliases=("text_encoder_lr1", "text_encoder1_lr", "te_lr", "learning_rate_te", "learning_rate_te1"),
        ),
    ] = None
    text_encoder_2_lr: Annotated[
        float | None,
        Field(gt=0, le=10),
        Setting(
            "Base learning rate of the second text encoder.",
            RESTORED,
            absent="optimizer.text_encoder_lr",
            aliases=("text_encoder_lr2", "text_encoder2_lr", "learning_rate_te2"),
        ),
    ] = None
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

    def lr_of(self, group: str) -> float:
        """The base rate of an optimizer group: ``unet``, ``text_encoder_1`` or ``text_encoder_2``."""
        text = self.lr if self.text_encoder_lr is None else self.text_encoder_lr
        own = {
            "unet": self.unet_lr,
            "text_encoder_1": text,
            "text_encoder_2": text if self.text_encoder_2_lr is None else self.text_encoder_2_lr,
        }.get(group)
        return self.lr if own is None else own
