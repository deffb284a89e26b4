"""The profile's ``[[dataset.sources]]``: folders of images, and what holds for the images of each."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine.profile.schema.section import FIXED, Section
from engine.profile.setting import Setting


class Source(Section):
    """A folder of images, and how its captions, masks and weight are found."""

    path: Annotated[
        str,
        Field(min_length=1),
        Setting(
            "Folder of images; each may have a caption in a text file of the same name.",
            FIXED,
            aliases=("image_dir", "train_data_dir", "folder_path", "dir"),
            leads_to=("/",),
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
    recursive: Annotated[
        bool,
        Setting(
            "Search the folders inside, too.",
            FIXED,
            detail="Hidden folders, links to folders and the mask folder are left out.",
            aliases=("include_subdirectories",),
        ),
    ] = False
    caption_extension: Annotated[
        str,
        Field(pattern=r"^\.[A-Za-z0-9_-]+$"),
        Setting(
            "Ending of the caption files: .txt or .caption.",
            FIXED,
            aliases=("caption_ext", "caption_extention"),
        ),
    ] = ".txt"
    metadata: Annotated[
        str | None,
        Field(min_length=1),
        Setting(
            "JSON or JSONL file that holds the captions of this folder.",
            FIXED,
            absent="caption files only",
            detail="Read as sd-scripts' metadata (an object by path or stem, with caption and tags) and as Hugging Face's "
            "metadata.jsonl (file_name and text). What it says goes before a caption file; an image it does not name "
            "has its caption file.",
            aliases=("metadata_file", "in_json", "jsonl", "metadata_path"),
            leads_to=(".json", ".jsonl"),
        ),
    ] = None
    trigger: Annotated[
        str,
        Setting(
            "Words put before every caption that does not have them; they stay in front.",
            FIXED,
            detail="Tag dropout does not touch a tag that holds them. Caption dropout drops them with the rest.",
            aliases=("trigger_word", "trigger_words", "class_tokens", "instance_prompt"),
        ),
    ] = ""
    prefix: Annotated[
        str,
        Setting(
            "Text put before every caption and its trigger, as it stands; it is never shuffled.",
            FIXED,
            aliases=("caption_prefix",),
        ),
    ] = ""
    suffix: Annotated[
        str,
        Setting(
            "Text put behind every caption, as it stands; it is never shuffled.", FIXED, aliases=("caption_suffix",)
        ),
    ] = ""
    regularisation: Annotated[
        bool,
        Setting(
            "These are regularisation images: what the base must go on drawing as it does.",
            FIXED,
            detail="Prior preservation (Ruiz et al. 2023, arXiv:2208.12242): their loss counts prior_weight times. Balance "
            "them with repeats; sdxl-tui dataset shows how often each kind is seen. Nothing is repeated by itself.",
            aliases=("is_reg", "regularization", "reg"),
        ),
    ] = False
    prior_weight: Annotated[
        float,
        Field(ge=0, le=100),
        Setting(
            "How much the loss of a regularisation image counts.", FIXED, aliases=("prior_loss_weight", "reg_weight")
        ),
    ] = 1.0
    alpha_mask: Annotated[
        bool,
        Setting(
            "The transparency of the images is their mask: what is transparent does not count in the loss.",
            FIXED,
            detail="An image without transparency is trained whole. With a mask folder, too, both masks are multiplied.",
            aliases=("masked_loss", "use_alpha_mask"),
        ),
    ] = False
    mask_folder: Annotated[
        str | None,
        Field(min_length=1),
        Setting(
            "Folder of grey pictures with the images' names: white counts in the loss, black does not.",
            FIXED,
            absent="no masks",
            detail="A mask has the shape of its image, in any size. An image without one is trained whole.",
            aliases=("conditioning_data_dir", "mask_dir", "mask_path", "masks"),
            leads_to=("/",),
        ),
    ] = None
    flip: Annotated[
        bool | None,
        Setting("Whether half of the visits see the mirrored image.", FIXED, absent="as dataset.flip"),
    ] = None
    random_crops: Annotated[
        int | None,
        Field(ge=0, le=64),
        Setting("Crops at random places per image.", FIXED, absent="as dataset.random_crops"),
    ] = None
    shuffle: Annotated[
        bool | None,
        Setting("Put the tags into a new order at each visit.", FIXED, absent="as captions.shuffle"),
    ] = None
    keep_tokens: Annotated[
        int | None,
        Field(ge=0, le=1000),
        Setting("Tags at the beginning that keep their place.", FIXED, absent="as captions.keep_tokens"),
    ] = None
    tag_dropout: Annotated[
        float | None,
        Field(ge=0, le=1),
        Setting("Chance of each tag to be left out.", FIXED, absent="as captions.tag_dropout"),
    ] = None
    caption_dropout: Annotated[
        float | None,
        Field(ge=0, le=1),
        Setting("Chance of a caption to be left out as a whole.", FIXED, absent="as captions.caption_dropout"),
    ] = None
