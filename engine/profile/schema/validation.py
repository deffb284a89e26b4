"""The profile's ``[validation]``: the loss on images that are not trained, always at the same noise and timesteps."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine.profile.schema.section import APPLIED, FIXED, Section
from engine.profile.setting import Setting


class Validation(Section):
    """The loss on images that are not trained, always at the same noise and timesteps."""

    folders: Annotated[
        tuple[str, ...],
        Field(strict=False),
        Setting(
            "Folders of images, with captions, that are only measured, never trained.",
            APPLIED,
            detail="Four to twenty pictures of the subject are enough. They are placed in buckets like those of the data set.",
            aliases=("validation_data_dir", "val_data_dir", "validation_dir"),
            leads_to=("/",),
        ),
    ] = ()
    share: Annotated[
        float,
        Field(ge=0, le=0.9),
        Setting(
            "Share of each source's images that is held out of the training to be measured; 0 is off.",
            FIXED,
            detail="0.05 to 0.2. Which images these are depends on their content and the seed alone.",
            aliases=("validation_split", "val_split"),
        ),
    ] = 0.0
    every_steps: Annotated[
        int,
        Field(ge=0),
        Setting(
            "Measure every so many steps; 0 measures only at the start and the end.",
            APPLIED,
            unit="steps",
            aliases=("validate_every_n_steps", "validation_steps", "val_every"),
        ),
    ] = 250
    at_start: Annotated[
        bool,
        Setting("Measure before the first step: what the base scores, to compare with.", APPLIED),
    ] = True
    timesteps: Annotated[
        int,
        Field(ge=1, le=100),
        Setting(
            "At how many timesteps each image is measured, evenly spread over all.",
            APPLIED,
            detail="Time and steadiness grow with it: a validation takes images × timesteps forward passes.",
        ),
    ] = 4
    seed: Annotated[
        int,
        Field(ge=0, lt=2**63),
        Setting(
            "Seed of the noise and of the choice of held-out images.",
            FIXED,
            detail="Runs with the same seed and images are comparable, whatever else they are set to.",
            aliases=("validation_seed",),
        ),
    ] = 0
