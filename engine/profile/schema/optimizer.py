"""The profile's ``[optimizer]``: update rule and learning rate.

A hyperparameter that is not set is what fits the kind (``engine.profile.optimizer_kinds``).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine.profile.optimizer_kinds import HYPERPARAMETERS, OptimizerKind, settled
from engine.profile.schema.section import FIXED, RESTORED, Section
from engine.profile.setting import Setting


class Optimizer(Section):
    """Update rule and learning rate."""

    kind: Annotated[
        OptimizerKind,
        Field(strict=False),
        Setting(
            "Update rule.",
            FIXED,
            detail="adamw is the usual one; adamw_8bit keeps its moments in 8 bits; adafactor and came keep them factored; lion "
            "moves by the sign of its momentum; prodigy and dadapt_adam find the rate themselves (LR 1); schedule_free_adamw "
            "averages its weights instead of lowering the rate. All but adamw and adafactor need "
            "pip install 'sdxl-tui[optimizers]'.",
            aliases=("optimizer_type", "optimizer", "type"),
        ),
    ] = OptimizerKind.ADAMW
    lr: Annotated[
        float,
        Field(gt=0, le=10),
        Setting(
            "Base learning rate: the schedule's factor multiplies it.",
            RESTORED,
            detail="1e-4 is usual for AdamW on an SDXL LoRA; 3e-5 to 3e-4 is the sensible range. Lion wants a third to a tenth "
            "of it; prodigy and dadapt_adam want 1.0, which multiplies the rate they find.",
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
    weight_decay: Annotated[
        float | None,
        Field(ge=0, le=1),
        Setting(
            "Decoupled weight decay.",
            RESTORED,
            absent="0.01; 0.1 with lion, 0 with adafactor",
        ),
    ] = None
    beta1: Annotated[
        float | None,
        Field(ge=0, lt=1),
        Setting(
            "Decay of the first moment.",
            RESTORED,
            absent="0.9; 0 with adafactor, which then keeps none",
            aliases=("betas",),
        ),
    ] = None
    beta2: Annotated[
        float | None,
        Field(ge=0, lt=1),
        Setting(
            "Decay of the second moment.",
            RESTORED,
            absent="0.999; 0.99 with lion",
            detail="Of all but adafactor.",
            aliases=("betas",),
        ),
    ] = None
    beta3: Annotated[
        float | None,
        Field(ge=0, lt=1),
        Setting(
            "Decay of the estimate of d. Of prodigy; of came the decay of the instability.",
            RESTORED,
            absent="the root of beta2; 0.9999 with came",
        ),
    ] = None
    eps: Annotated[
        float | None,
        Field(gt=0, le=1),
        Setting(
            "Term that keeps the division finite.",
            RESTORED,
            absent="1e-8; 1e-30 with adafactor and came",
            detail="Of all but lion.",
            aliases=("epsilon",),
        ),
    ] = None
    eps2: Annotated[
        float | None,
        Field(gt=0, le=1),
        Setting(
            "Term added to the instability. Of came.",
            RESTORED,
            absent="1e-16",
        ),
    ] = None
    clip_threshold: Annotated[
        float | None,
        Field(gt=0, le=1000),
        Setting(
            "Root mean square above which an update is scaled down. Of adafactor and came.",
            RESTORED,
            absent="1",
        ),
    ] = None
    decay_rate: Annotated[
        float | None,
        Field(gt=0, le=1),
        Setting(
            "Exponent of the growing memory of the second moment. Of adafactor.",
            RESTORED,
            absent="0.8",
        ),
    ] = None
    d0: Annotated[
        float | None,
        Field(gt=0, le=1),
        Setting(
            "First estimate of d. Of prodigy and dadapt_adam.",
            RESTORED,
            absent="1e-6",
            detail="A larger one, 1e-5 to 1e-4, starts faster.",
        ),
    ] = None
    d_coef: Annotated[
        float | None,
        Field(gt=0, le=100),
        Setting(
            "Factor of the estimate of d. Of prodigy.",
            RESTORED,
            absent="1",
            detail="0.5 to 2; the better knob than the LR.",
        ),
    ] = None
    growth_rate: Annotated[
        float | None,
        Field(gt=1, le=1000000),
        Setting(
            "Most that d may grow in a step, as a factor. Of prodigy and dadapt_adam.",
            RESTORED,
            absent="no limit",
            detail="1.02 acts like a warmup.",
        ),
    ] = None
    bias_correction: Annotated[
        bool,
        Setting(
            "Adam's correction of the first steps. Of prodigy and dadapt_adam.",
            RESTORED,
            detail="Usually on for prodigy.",
            aliases=("use_bias_correction",),
        ),
    ] = False
    safeguard_warmup: Annotated[
        bool,
        Setting("Keep a warmup from raising d too far. Of prodigy.", RESTORED, detail="On with a warmup."),
    ] = False

    def hyperparameters(self) -> dict[str, float]:
        """Every hyperparameter of the kind, those that are not set at what fits it; flags are 0 or 1."""
        return settled(self.kind, {name: getattr(self, name) for name in HYPERPARAMETERS})

    def lr_of(self, group: str) -> float:
        """The base rate of an optimizer group: ``unet``, ``text_encoder_1`` or ``text_encoder_2``."""
        text = self.lr if self.text_encoder_lr is None else self.text_encoder_lr
        own = {
            "unet": self.unet_lr,
            "text_encoder_1": text,
            "text_encoder_2": text if self.text_encoder_2_lr is None else self.text_encoder_2_lr,
        }.get(group)
        return self.lr if own is None else own
