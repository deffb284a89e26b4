"""The profile's ``[training]``: length and batch of the training."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine.profile.schema.section import APPLIED, FIXED, RESTORED, Section
from engine.profile.setting import Setting


class Training(Section):
    """Length and batch of the training."""

    steps: Annotated[
        int,
        Field(ge=1, le=10_000_000),
        Setting(
            "Optimizer steps in all; the schedule ends here.",
            RESTORED,
            unit="steps",
            detail="1,500 to 3,000 is usual for a character LoRA of 20 to 50 images.",
            aliases=("max_train_steps", "total_steps", "max_steps", "num_steps"),
        ),
    ] = 1600
    batch_size: Annotated[
        int,
        Field(ge=1, le=1024),
        Setting(
            "Images per forward pass.",
            FIXED,
            unit="images",
            detail="All images of a batch come from one bucket. Raise it until memory is full; 1 to 4 fits most cards.",
            aliases=("train_batch_size", "batch"),
        ),
    ] = 1
    gradient_accumulation: Annotated[
        int,
        Field(ge=1, le=1024),
        Setting(
            "Batches whose gradients are averaged into one optimizer step.",
            FIXED,
            unit="batches",
            aliases=("gradient_accumulation_steps", "accumulation_steps"),
        ),
    ] = 1
    max_grad_norm: Annotated[
        float,
        Field(ge=0),
        Setting(
            "Gradients are scaled down to this norm; 0 is off.",
            APPLIED,
            aliases=("grad_clip", "clip_grad_norm"),
        ),
    ] = 1.0
    seed: Annotated[
        int,
        Field(ge=0, lt=2**63),
        Setting("Seed of weights, noise and data order.", RESTORED, aliases=("random_seed",)),
    ] = 0
