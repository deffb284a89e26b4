"""The profile's ``[network]``: what is trained beside the frozen base."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from engine.profile.schema.section import APPLIED, FIXED, Section
from engine.profile.setting import Setting


class NetworkKind(StrEnum):
    """What is trained beside the frozen base."""

    LORA = "lora"


class Network(Section):
    """The LoRA that is trained."""

    kind: Annotated[
        NetworkKind,
        Field(strict=False),
        Setting("Kind of adapter.", FIXED, aliases=("network_module", "type")),
    ] = NetworkKind.LORA
    rank: Annotated[
        int,
        Field(ge=1, le=1024),
        Setting(
            "Rank of the LoRA matrices: more can learn more, and costs memory and file size.",
            FIXED,
            detail="8 to 32 suits a character or a concept, 32 to 128 a style with much detail. File size grows in proportion.",
            aliases=("network_dim", "dim", "lora_rank", "linear", "r"),
        ),
    ] = 16
    alpha: Annotated[
        float,
        Field(gt=0, le=4096),
        Setting(
            "Scale of the LoRA: its output is multiplied by alpha / rank.",
            FIXED,
            detail="Usual: equal to the rank (scale 1) or half of it. Halving alpha acts much like halving the learning rate.",
            aliases=("network_alpha", "lora_alpha", "linear_alpha"),
        ),
    ] = 16.0
    dropout: Annotated[
        float,
        Field(ge=0, lt=1),
        Setting(
            "Share of the LoRA's inputs dropped in each step; 0 is off.",
            APPLIED,
            detail="0.05 to 0.3 can hold back overfitting on a small data set.",
            aliases=("network_dropout", "lora_dropout"),
        ),
    ] = 0.0
