"""The profile's ``[samples]``: pictures made from prompts while training."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine.profile.schema.section import APPLIED, Section
from engine.profile.setting import Setting


class Samples(Section):
    """Pictures made from prompts while training."""

    prompts: Annotated[
        tuple[str, ...],
        Field(strict=False),
        Setting("Prompts to draw; none turns samples off.", APPLIED, aliases=("sample_prompts",)),
    ] = ()
    negative: Annotated[str, Setting("Negative prompt.", APPLIED, aliases=("negative_prompt",))] = ""
    every_steps: Annotated[
        int,
        Field(ge=0),
        Setting(
            "Draw samples every so many steps; 0 draws only the last ones.",
            APPLIED,
            unit="steps",
            aliases=("sample_every_n_steps", "sample_every"),
        ),
    ] = 250
    steps: Annotated[
        int,
        Field(ge=1, le=200),
        Setting("Denoising steps of a sample.", APPLIED, unit="steps", aliases=("sample_steps",)),
    ] = 25
    guidance: Annotated[
        float,
        Field(ge=0, le=50),
        Setting("Classifier-free guidance scale.", APPLIED, aliases=("guidance_scale", "cfg_scale")),
    ] = 6.0
    width: Annotated[int, Field(ge=64, le=4096, multiple_of=8), Setting("Width of a sample.", APPLIED, unit="px")] = (
        1024
    )
    height: Annotated[int, Field(ge=64, le=4096, multiple_of=8), Setting("Height of a sample.", APPLIED, unit="px")] = (
        1024
    )
    seed: Annotated[
        int, Field(ge=0, lt=2**63), Setting("Seed of the first prompt; the next ones count up.", APPLIED)
    ] = 42
