"""The profile's ``[network]``: what is trained beside the frozen base, and how strongly each part of it.

A *part* is a kind of module (the attention of the UNet, a text encoder); every part has a rank and an alpha, its own where they
are set. Which modules belong to a part is ``engine.model.targets``' business.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from engine.profile.schema.section import APPLIED, FIXED, RESTORED, Section
from engine.profile.setting import Setting


class NetworkKind(StrEnum):
    """What is trained beside the frozen base."""

    LORA = "lora"
    LOHA = "loha"
    LOKR = "lokr"


class Part(StrEnum):
    """A part of the model that can be trained; the name of its switch in ``[network]``."""

    ATTENTION = "attention"
    FEED_FORWARD = "feed_forward"
    CONVOLUTIONS = "convolutions"
    TEXT_ENCODER = "text_encoder"
    TEXT_ENCODER_2 = "text_encoder_2"


GROUP_OF: Final = {
    Part.ATTENTION: "unet",
    Part.FEED_FORWARD: "unet",
    Part.CONVOLUTIONS: "unet",
    Part.TEXT_ENCODER: "text_encoder_1",
    Part.TEXT_ENCODER_2: "text_encoder_2",
}
"""The optimizer's group that a part belongs to."""
_FOLLOWS: Final = {Part.TEXT_ENCODER_2: Part.TEXT_ENCODER}
"""Whose rank and alpha a part takes where its own are not set; ``rank`` and ``alpha`` themselves for all others."""


class Network(Section):
    """The adapter that is trained: its kind, the parts of the model it sits on, and what holds it back."""

    kind: Annotated[
        NetworkKind,
        Field(strict=False),
        Setting(
            "Kind of adapter.",
            FIXED,
            detail="lora is what every program loads. loha (Hadamard product of two low-rank matrices) and lokr (Kronecker "
            "product) are LyCORIS' formats, which ComfyUI and Forge load; they learn more per byte and train slower.",
            aliases=("network_module", "type", "algo"),
        ),
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
    rank_stabilized: Annotated[
        bool,
        Setting(
            "Multiply by alpha / √rank instead of alpha / rank.",
            FIXED,
            detail="Keeps the size of the updates the same for every rank (arXiv:2312.03732); with it a high rank pays off. "
            "Lower alpha at the same time: alpha / √rank is larger.",
            aliases=("rslora", "rs_lora", "use_rslora"),
        ),
    ] = False
    dora: Annotated[
        bool,
        Setting(
            "DoRA: train the size and the direction of each weight apart.",
            FIXED,
            detail="Closer to full fine-tuning at low ranks (arXiv:2402.09353), at up to twice the time and more memory. "
            "A LoRA with it has an additional dora_scale per module.",
            aliases=("weight_decompose", "use_dora", "dora_wd"),
        ),
    ] = False
    attention: Annotated[
        bool,
        Setting(
            "Train the UNet's attention: queries, keys, values, outputs and the projections around them.",
            FIXED,
            aliases=("train_unet",),
        ),
    ] = True
    feed_forward: Annotated[
        bool,
        Setting("Train the feed-forward layers of the UNet's transformer blocks.", FIXED, aliases=("ff",)),
    ] = True
    feed_forward_rank: Annotated[
        int | None,
        Field(ge=1, le=1024),
        Setting("Rank in the feed-forward layers.", FIXED, absent="network.rank"),
    ] = None
    feed_forward_alpha: Annotated[
        float | None,
        Field(gt=0, le=4096),
        Setting("Alpha in the feed-forward layers.", FIXED, absent="the same alpha / rank as network.alpha"),
    ] = None
    convolutions: Annotated[
        bool,
        Setting(
            "Train the UNet's residual blocks, downsamplers and upsamplers, as LoCon does.",
            FIXED,
            detail="Helps with styles and textures. conv_rank is the rank of the 3×3 convolutions; the shortcuts and time "
            "projections of the blocks, which are 1×1, have network.rank, as in sd-scripts.",
            aliases=("locon", "conv"),
        ),
    ] = False
    conv_rank: Annotated[
        int | None,
        Field(ge=1, le=1024),
        Setting(
            "Rank of the 3×3 convolutions.",
            FIXED,
            absent="network.rank",
            detail="Usual: a quarter to half of network.rank, since a 3×3 convolution has nine times the inputs.",
            aliases=("conv_dim", "conv_lora_dim"),
        ),
    ] = None
    conv_alpha: Annotated[
        float | None,
        Field(gt=0, le=4096),
        Setting("Alpha of the 3×3 convolutions.", FIXED, absent="the same alpha / rank as network.alpha"),
    ] = None
    text_encoder: Annotated[
        bool,
        Setting(
            "Train the first text encoder (CLIP ViT-L), too.",
            FIXED,
            detail="Helps to learn a new word, and unlearns others sooner: give it a lower optimizer.text_encoder_lr. "
            "Captions are then encoded in every step, which costs time and memory.",
            aliases=("train_text_encoder", "train_text_encoder_1", "text_encoder_1"),
        ),
    ] = False
    text_encoder_2: Annotated[
        bool,
        Setting("Train the second text encoder (OpenCLIP ViT-bigG), too.", FIXED, aliases=("train_text_encoder_2",)),
    ] = False
    text_encoder_rank: Annotated[
        int | None,
        Field(ge=1, le=1024),
        Setting("Rank in the text encoders.", FIXED, absent="network.rank"),
    ] = None
    text_encoder_alpha: Annotated[
        float | None,
        Field(gt=0, le=4096),
        Setting("Alpha in the text encoders.", FIXED, absent="the same alpha / rank as network.alpha"),
    ] = None
    text_encoder_2_rank: Annotated[
        int | None,
        Field(ge=1, le=1024),
        Setting("Rank in the second text encoder.", FIXED, absent="network.text_encoder_rank"),
    ] = None
    text_encoder_2_alpha: Annotated[
        float | None,
        Field(gt=0, le=4096),
        Setting("Alpha in the second text encoder.", FIXED, absent="the same alpha / rank as the first one's"),
    ] = None
    lokr_factor: Annotated[
        int | None,
        Field(ge=2, le=1024),
        Setting(
            "Size of the smaller factor of a LoKr; higher is smaller and weaker.",
            FIXED,
            absent="near the square root of each width",
            detail="4 to 16 is usual. Only for kind lokr.",
            aliases=("factor", "decompose_factor"),
        ),
    ] = None
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
    rank_dropout: Annotated[
        float,
        Field(ge=0, le=0.5),
        Setting(
            "Share of the ranks dropped for each image in each step; 0 is off.",
            APPLIED,
            detail="0.1 to 0.3; the rest is scaled up. In loha and lokr it drops output channels, as LyCORIS does.",
        ),
    ] = 0.0
    module_dropout: Annotated[
        float,
        Field(ge=0, le=0.9),
        Setting(
            "Share of the modules whose adapter is left out of a step; 0 is off.",
            APPLIED,
            detail="0.1 to 0.3 is usual.",
        ),
    ] = 0.0
    scale_weight_norms: Annotated[
        float | None,
        Field(gt=0, le=1000),
        Setting(
            "Largest norm of what the adapter adds to a module; a larger one is scaled down after each step.",
            APPLIED,
            absent="no limit",
            detail="1 is usual. Holds back overtraining and helps LoRAs to work beside each other. With ema.decay what is drawn "
            "with, measured and handed out of the average keeps it, too.",
            aliases=("max_norm", "max_weight_norm"),
        ),
    ] = None
    start_from: Annotated[
        str | None,
        Field(min_length=1, max_length=4096),
        Setting(
            "A LoRA file whose weights the training starts from.",
            RESTORED,
            absent="a fresh start",
            detail="Ours, sd-scripts', diffusers' or peft's, of the same ranks (sdxl-tui resize changes them). Modules it does "
            "not have start afresh; the strength it has is kept, whatever alpha is here.",
            aliases=("network_weights", "lora_model_name", "resume_lora"),
            leads_to=(".safetensors",),
        ),
    ] = None

    def trains(self, part: Part) -> bool:
        """Whether ``part`` is switched on."""
        return bool(getattr(self, part.value))

    @property
    def trains_text(self) -> bool:
        """Whether any text encoder is trained, so that captions have to be encoded in every step."""
        return self.text_encoder or self.text_encoder_2

    def rank_of(self, part: Part) -> int:
        """The rank of ``part``'s modules."""
        own: int | None = getattr(self, f"{_FIELDS[part]}_rank", None)
        if own is not None:
            return own
        followed = _FOLLOWS.get(part)
        return self.rank if followed is None else self.rank_of(followed)

    def alpha_of(self, part: Part) -> float:
        """The alpha of ``part``'s modules; where it is not set, alpha / rank is that of the part it follows."""
        own: float | None = getattr(self, f"{_FIELDS[part]}_alpha", None)
        if own is not None:
            return own
        followed = _FOLLOWS.get(part)
        alpha, rank = (self.alpha, self.rank) if followed is None else (self.alpha_of(followed), self.rank_of(followed))
        return alpha * self.rank_of(part) / rank


_FIELDS: Final = {part: "conv" if part is Part.CONVOLUTIONS else part.value for part in Part}
"""How the fields of a part's rank and alpha begin."""
