"""The profile's ``[samples]``: pictures made from prompts while training."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from engine.profile.schema.section import APPLIED, Section
from engine.profile.setting import Setting


class Sampler(StrEnum):
    """How samples are denoised."""

    EULER = "euler"
    EULER_A = "euler_a"
    DDIM = "ddim"
    DPMPP_2M = "dpmpp_2m"
    DPMPP_2M_KARRAS = "dpmpp_2m_karras"
    UNIPC = "unipc"


class Samples(Section):
    """Pictures made from prompts while training."""

    prompts: Annotated[
        tuple[str, ...],
        Field(strict=False),
        Setting(
            "Prompts to draw; none turns samples off.",
            APPLIED,
            detail="A prompt may end in options of its own, as in sd-scripts' prompt files: --n negative prompt, --w width, "
            "--h height, --d seed, --s steps, --l guidance, --ss sampler.",
            aliases=("sample_prompts",),
        ),
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
    at_start: Annotated[
        bool,
        Setting(
            "Draw before the first step, too: what the base makes of the prompts.",
            APPLIED,
            aliases=("sample_at_first",),
        ),
    ] = False
    sampler: Annotated[
        Sampler,
        Field(strict=False),
        Setting(
            "How samples are denoised.",
            APPLIED,
            detail="euler, ddim, dpmpp_2m and unipc come to the same picture with enough steps; euler_a adds noise on the way. "
            "karras spaces the steps closer where there is little noise.",
            aliases=("sample_sampler", "sample_scheduler"),
        ),
    ] = Sampler.EULER
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
    guidance_rescale: Annotated[
        float,
        Field(ge=0, le=1),
        Setting(
            "Bring guided samples back to the contrast of unguided ones, by this share; 0 is off.",
            APPLIED,
            detail="0.7 for bases with zero terminal SNR (arXiv:2305.08891, section 3.4), whose samples are overexposed without.",
        ),
    ] = 0.0
    width: Annotated[int, Field(ge=64, le=4096, multiple_of=8), Setting("Width of a sample.", APPLIED, unit="px")] = (
        1024
    )
    height: Annotated[int, Field(ge=64, le=4096, multiple_of=8), Setting("Height of a sample.", APPLIED, unit="px")] = (
        1024
    )
    seed: Annotated[
        int, Field(ge=0, lt=2**63), Setting("Seed of the first prompt; the next ones count up.", APPLIED)
    ] = 42
