"""The profile's ``[dataset]``: images, their sizes and how they are batched."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine.profile.schema.section import FIXED, Section
from engine.profile.setting import Setting


class Source(Section):
    """A folder of images with captions in .txt files of the same name."""

    path: Annotated[
        str,
        Field(min_length=1),
        Setting(
            "Folder of images; each may have a caption in a .txt file of the same name.",
            FIXED,
            aliases=("image_dir", "train_data_dir", "folder_path", "dir"),
        ),
    ]
    repeats: Annotated[
        int,
        Field(ge=1, le=10_000),
        Setting(
            "How often each image of this folder is seen per epoch.",
            FIXED,
            detail="Balances folders of different sizes: 10 images × 10 repeats weigh as much as 100 × 1.",
            aliases=("num_repeats", "repeat"),
        ),
    ] = 1


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
