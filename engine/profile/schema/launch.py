"""The profile's ``[launch]``: where the engine runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine.profile.schema.section import APPLIED, Section
from engine.profile.setting import Setting


class Launch(Section):
    """Where the engine runs."""

    device: Annotated[
        str,
        Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$"),
        Setting("auto, cpu, cuda or cuda:N; auto takes the first GPU, else the CPU.", APPLIED),
    ] = "auto"
    cpu_threads: Annotated[
        int,
        Field(ge=0, le=1024),
        Setting("Threads of torch on the CPU; 0 takes one for a small model, else what torch chooses.", APPLIED),
    ] = 0
