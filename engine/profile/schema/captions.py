"""The profile's ``[captions]``: what becomes of the captions at each visit of an image, and how they are read."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine.profile.schema.section import FIXED, Section
from engine.profile.setting import Setting


class Captions(Section):
    """What becomes of the captions at each visit, and how they are read."""

    shuffle: Annotated[
        bool,
        Setting(
            "Put the tags into a new order at each visit of an image.",
            FIXED,
            detail="For captions that are lists of tags. The text encoders then stay in memory, because the captions cannot "
            "be encoded ahead.",
            aliases=("shuffle_caption", "shuffle_tags"),
        ),
    ] = False
    separator: Annotated[
        str,
        Field(min_length=1, max_length=8),
        Setting("What stands between tags.", FIXED, aliases=("caption_separator", "tag_separator")),
    ] = ","
    keep_tokens: Annotated[
        int,
        Field(ge=0, le=1000),
        Setting(
            "Tags at the beginning that keep their place and are never dropped.",
            FIXED,
            detail="Where a caption holds captions.keep_separator, that decides instead.",
            aliases=("keep_tags", "keep_tags_count"),
        ),
    ] = 0
    keep_separator: Annotated[
        str,
        Field(max_length=16),
        Setting(
            "Mark in a caption: the tags before it keep their place; empty: there is none.",
            FIXED,
            detail="A second one begins the tags at the end that keep theirs. The marks themselves are taken out of every "
            "caption.",
            aliases=("keep_tokens_separator",),
        ),
    ] = "|||"
    tag_dropout: Annotated[
        float,
        Field(ge=0, le=1),
        Setting(
            "Chance of each tag to be left out at a visit.",
            FIXED,
            detail="0.1 or so makes the LoRA less dependent on single tags. The text encoders then stay in memory.",
            aliases=("caption_tag_dropout_rate", "tag_dropout_rate"),
        ),
    ] = 0.0
    caption_dropout: Annotated[
        float,
        Field(ge=0, le=1),
        Setting(
            "Chance of a caption to be left out as a whole at a visit: the image is trained with an empty one.",
            FIXED,
            detail="0.05 to 0.1 trains classifier-free guidance along (Ho & Salimans 2022, arXiv:2207.12598). Trigger, prefix "
            "and suffix are dropped, too.",
            aliases=("caption_dropout_rate", "cfg_dropout"),
        ),
    ] = 0.0
    wildcards: Annotated[
        bool,
        Setting(
            "Choices in braces become one of them at each visit, and of several lines one is taken.",
            FIXED,
            detail="Written {red|blue|green}; {{ and }} are plain braces. If off, braces are text and lines are joined to one. "
            "The text encoders stay in memory if any caption has a choice.",
            aliases=("enable_wildcard", "dynamic_prompts"),
        ),
    ] = False
    weights: Annotated[
        bool,
        Setting(
            "(word:1.2), (word) and [word] weight words, as in AUTOMATIC1111's web UI; a backslash makes a bracket text.",
            FIXED,
            detail="In captions and in the prompts of samples. If off, brackets are text, as in tags like miku (vocaloid).",
            aliases=("weighted_captions",),
        ),
    ] = False
    max_tokens: Annotated[
        int,
        Field(ge=75, le=225, multiple_of=75),
        Setting(
            "Longest caption: 75, 150 or 225; what is beyond is cut.",
            FIXED,
            unit="tokens",
            detail="Beyond 75 tokens a caption is encoded in chunks of 75, side by side. Also holds for the prompts of samples.",
            aliases=("max_token_length",),
        ),
    ] = 75
