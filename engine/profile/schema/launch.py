"""The profile's ``[launch]``: where the engine runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine.profile.schema.section import APPLIED, FIXED, Section
from engine.profile.setting import Setting


class Launch(Section):
    """Where the engine runs."""

    processes: Annotated[
        int,
        Field(ge=1, le=64),
        Setting(
            "Processes that train together, one per GPU; each computes training.batch_size images per forward pass.",
            FIXED,
            detail="N processes with batches of b train exactly what one with batches of N·b trains, if there is no dropout. "
            "With launch.device cpu they share the processors.",
            aliases=("num_processes", "num_gpus", "nproc_per_node"),
        ),
    ] = 1
    device: Annotated[
        str,
        Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$"),
        Setting("auto, cpu, cuda or cuda:N; auto takes the first GPU, else the CPU.", APPLIED),
    ] = "auto"
    compile: Annotated[
        bool,
        Setting(
            "Compile the UNet's repeated blocks with torch.compile: a slower start, faster steps.",
            APPLIED,
            detail="Worth while for long trainings on a GPU: one to three minutes at the start, then often a tenth to a third "
            "faster. The last bits of results change with it. Samples and validations are computed without. DoRA, LoHa and "
            "LoKr are compiled in pieces and may gain nothing. On a CPU it needs g++, on a GPU gcc.",
            aliases=("torch_compile", "dynamo_backend", "use_compile"),
        ),
    ] = False
    cpu_threads: Annotated[
        int,
        Field(ge=0, le=1024),
        Setting("Threads of torch on the CPU; 0 takes one for a small model, else what torch chooses.", APPLIED),
    ] = 0
