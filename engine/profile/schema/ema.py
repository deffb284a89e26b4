"""The profile's ``[ema]``: a running average of the trained weights, kept beside them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine.profile.schema.section import APPLIED, Section
from engine.profile.setting import Setting


class Ema(Section):
    """A running average of the trained weights (exponential moving average), kept beside them."""

    decay: Annotated[
        float | None,
        Field(gt=0, lt=1),
        Setting(
            "How much of the average stays in each step.",
            APPLIED,
            absent="off",
            detail="0.99 to 0.9999: the average looks back about 1 / (1 - decay) steps, which should be well below all of "
            "them. It evens out the last steps' noise and costs the LoRA's size in memory.",
            aliases=("ema_decay", "use_ema", "ema_power"),
        ),
    ] = None
    warmup: Annotated[
        bool,
        Setting(
            "Begin with a short memory: the decay is at most (1 + n) / (10 + n) after n steps.",
            APPLIED,
            detail="So that the weights of the start, which know nothing yet, are soon forgotten.",
        ),
    ] = True
    samples: Annotated[bool, Setting("Draw samples with the average.", APPLIED)] = True
    validation: Annotated[bool, Setting("Measure held-out images with the average.", APPLIED)] = True
    deliverable: Annotated[
        bool,
        Setting("Write the average into lora.safetensors.", APPLIED, detail="trainable.safetensors holds the weights."),
    ] = True
