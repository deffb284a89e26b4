"""The profile's ``[training]``: length and batch of the training."""

from __future__ import annotations

from typing import Annotated, Literal

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
    gradient_checkpointing: Annotated[
        bool,
        Setting(
            "Compute activations again in the backward pass instead of keeping them.",
            APPLIED,
            detail="Needs less than half the memory at 1024 px and about a third more time. The results are the same.",
        ),
    ] = False
    on_nonfinite: Annotated[
        Literal["stop", "skip"],
        Setting(
            "What a loss or gradient that is NaN or infinite does: stop the run, or drop that step.",
            APPLIED,
            detail="A dropped step changes neither weights nor optimizer. To know in time, skip waits for the GPU once a "
            "step. In fp16 the loss scaler drops steps with infinite gradients in any case.",
        ),
    ] = "stop"
    nonfinite_limit: Annotated[
        int,
        Field(ge=1, le=10_000),
        Setting("With skip: stop after so many dropped steps in a row.", APPLIED, unit="steps"),
    ] = 10
    seed: Annotated[
        int,
        Field(ge=0, lt=2**63),
        Setting("Seed of weights, noise and data order.", RESTORED, aliases=("random_seed",)),
    ] = 0
