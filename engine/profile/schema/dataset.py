"""The profile's ``[dataset]``: images, their sizes and how they are batched."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from engine.profile.schema.section import FIXED, Section
from engine.profile.schema.source import Source
from engine.profile.setting import Setting


class Dataset(Section):
    """Images, their sizes and how they are batched."""

    sources: Annotated[
        tuple[Source, ...],
        Field(min_length=1, strict=False),
        Setting("Folders of images.", FIXED, aliases=("subsets",)),
    ]
    resolution: Annotated[
        int,
        Field(ge=64, le=4096, multiple_of=8),
        Setting(
            "Side of the square whose area the buckets keep.",
            FIXED,
            unit="px",
            detail="SDXL was made for 1024. Lower saves memory and time and loses detail.",
            aliases=("size", "max_resolution"),
        ),
    ] = 1024
    buckets: Annotated[
        bool,
        Setting(
            "Group images by aspect ratio instead of cropping all to a square.",
            FIXED,
            aliases=("enable_bucket", "aspect_ratio_bucketing"),
        ),
    ] = True
    bucket_min: Annotated[
        int,
        Field(ge=64, le=4096, multiple_of=8),
        Setting("Shortest side of a bucket.", FIXED, unit="px", aliases=("min_bucket_reso",)),
    ] = 256
    bucket_max: Annotated[
        int,
        Field(ge=64, le=8192, multiple_of=8),
        Setting("Longest side of a bucket.", FIXED, unit="px", aliases=("max_bucket_reso",)),
    ] = 2048
    bucket_step: Annotated[
        int,
        Field(ge=8, le=512, multiple_of=8),
        Setting(
            "Bucket sides are multiples of this.",
            FIXED,
            unit="px",
            detail="64 is usual; 32 crops less and makes more buckets.",
            aliases=("bucket_reso_steps",),
        ),
    ] = 64
    upscale: Annotated[
        bool,
        Setting(
            "Enlarge images that are smaller than their bucket; if off, they get smaller buckets.",
            FIXED,
            aliases=("bucket_no_upscale",),
        ),
    ] = True
    flip: Annotated[
        bool,
        Setting(
            "Half of the visits see the mirrored image.",
            FIXED,
            detail="Doubles the images' variety and the latents in the cache: the mirrored picture is encoded, not its "
            "latents mirrored. Not for faces and objects that are not symmetric, nor for writing.",
            aliases=("flip_aug", "random_flip", "flip_x"),
        ),
    ] = False
    random_crops: Annotated[
        int,
        Field(ge=0, le=64),
        Setting(
            "Crops per image, each at a random place of its own; 0 crops around the centre.",
            FIXED,
            detail="One of them is drawn at each visit. Each is encoded and cached; where a picture fills its bucket exactly, "
            "all are the same. The places follow from the image's content, so they are the same in every run.",
            aliases=("random_crop",),
        ),
    ] = 0
    smallest_image: Annotated[
        int,
        Field(ge=0, le=8192),
        Setting(
            "Leave out images whose shorter side is below this; 0 takes all.",
            FIXED,
            unit="px",
            aliases=("skip_image_resolution", "min_size"),
        ),
    ] = 0
    background: Annotated[
        Literal["white", "grey", "black"],
        Setting(
            "What shows where an image is transparent, with or without alpha_mask.",
            FIXED,
            aliases=("alpha_background",),
        ),
    ] = "white"
