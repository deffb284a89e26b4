"""The training profile: every section and field with its type, range, default, help and effect at resume.

This is the single source for all of them. Values here are what a profile may say, not what a run makes of it: paths are
kept as written and resolved by ``load.py``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.profile.rules import RULES
from engine.profile.setting import AtResume, Setting
from engine.schedule import Kind as ScheduleKind

APPLIED, RESTORED, FIXED = AtResume.APPLIED, AtResume.RESTORED, AtResume.FIXED

SCHEMA_VERSION: Final = 1


class Section(BaseModel):
    """A table of the profile. Unknown keys are errors; numbers are not made from text or booleans."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class OptimizerKind(StrEnum):
    """Update rule."""

    ADAMW = "adamw"


class NetworkKind(StrEnum):
    """What is trained beside the frozen base."""

    LORA = "lora"


class Model(Section):
    """The frozen base model."""

    base: Annotated[
        str,
        Field(min_length=1),
        Setting(
            "Base model: a diffusers folder with the SDXL architecture.",
            FIXED,
            detail="The folder that holds model_index.json, unet/, vae/, text_encoder/ and text_encoder_2/. "
            "A relative path is taken from the profile's own folder. "
            "bundled:demo-base is the small model shipped with the package.",
            aliases=("pretrained_model_name_or_path", "base_model", "checkpoint", "model", "name_or_path"),
        ),
    ]


class Network(Section):
    """The LoRA that is trained."""

    kind: Annotated[
        NetworkKind,
        Field(strict=False),
        Setting("Kind of adapter.", FIXED, aliases=("network_module", "type")),
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


class Training(Section):
    """Length and batch of the training."""

    steps: Annotated[
        int,
        Field(ge=1, le=10_000_000),
        Setting(
            "Optimizer steps in all; the schedule ends here.",
            RESTORED,
            unit="steps",
            detail="1,500 to 3,000 is usual for a character LoRA of 20 to 50 images.",
            aliases=("max_train_steps", "total_steps", "max_steps", "num_steps"),
        ),
    ] = 1600
    batch_size: Annotated[
        int,
        Field(ge=1, le=1024),
        Setting(
            "Images per forward pass.",
            FIXED,
            unit="images",
            detail="All images of a batch come from one bucket. Raise it until memory is full; 1 to 4 fits most cards.",
            aliases=("train_batch_size", "batch"),
        ),
    ] = 1
    gradient_accumulation: Annotated[
        int,
        Field(ge=1, le=1024),
        Setting(
            "Batches whose gradients are averaged into one optimizer step.",
            FIXED,
            unit="batches",
            aliases=("gradient_accumulation_steps", "accumulation_steps"),
        ),
    ] = 1
    max_grad_norm: Annotated[
        float,
        Field(ge=0),
        Setting(
            "Gradients are scaled down to this norm; 0 is off.",
            APPLIED,
            aliases=("grad_clip", "clip_grad_norm"),
        ),
    ] = 1.0
    seed: Annotated[
        int,
        Field(ge=0, lt=2**63),
        Setting("Seed of weights, noise and data order.", RESTORED, aliases=("random_seed",)),
    ] = 0


class Optimizer(Section):
    """Update rule and learning rate."""

    kind: Annotated[
        OptimizerKind,
        Field(strict=False),
        Setting("Update rule.", FIXED, aliases=("optimizer_type", "optimizer", "type")),
    ] = OptimizerKind.ADAMW
    lr: Annotated[
        float,
        Field(gt=0, le=10),
        Setting(
            "Base learning rate: the schedule's factor multiplies it.",
            RESTORED,
            detail="1e-4 is usual for AdamW on an SDXL LoRA; 3e-5 to 3e-4 is the sensible range.",
            aliases=("learning_rate", "unet_lr", "base_lr"),
        ),
    ] = 1e-4
    weight_decay: Annotated[float, Field(ge=0, le=1), Setting("Decoupled weight decay.", RESTORED)] = 0.01
    beta1: Annotated[float, Field(ge=0, lt=1), Setting("Decay of the first moment.", RESTORED, aliases=("betas",))] = (
        0.9
    )
    beta2: Annotated[float, Field(ge=0, lt=1), Setting("Decay of the second moment.", RESTORED, aliases=("betas",))] = (
        0.999
    )
    eps: Annotated[
        float,
        Field(gt=0, le=1),
        Setting("Term that keeps the division finite.", RESTORED, aliases=("epsilon",)),
    ] = 1e-8


class Schedule(Section):
    """How the learning rate moves over the steps."""

    kind: Annotated[
        ScheduleKind,
        Field(strict=False),
        Setting(
            "Shape after the warmup.",
            RESTORED,
            detail="constant holds the base LR; cosine falls along half a cosine to 0 at the last step.",
            aliases=("lr_scheduler", "scheduler", "lr_scheduler_type", "type"),
        ),
    ] = ScheduleKind.COSINE
    warmup_steps: Annotated[
        int,
        Field(ge=0, le=10_000_000),
        Setting(
            "Steps in which the LR rises in a line from 0 to its base.",
            RESTORED,
            unit="steps",
            detail="0 to 10 % of the steps.",
            aliases=("lr_warmup_steps", "warmup", "num_warmup_steps"),
        ),
    ] = 0


class Precision(Section):
    """Number formats."""

    compute: Annotated[
        Literal["fp32", "bf16", "fp16"],
        Setting(
            "Format of the forward pass; LoRA weights and optimizer stay in fp32.",
            FIXED,
            detail="bf16 on an RTX 30 series or newer, fp16 on older cards, fp32 on a CPU.",
            aliases=("mixed_precision", "dtype", "train_dtype"),
        ),
    ] = "bf16"
    save: Annotated[
        Literal["fp32", "bf16", "fp16"],
        Setting("Format of lora.safetensors.", APPLIED, aliases=("save_precision", "save_dtype")),
    ] = "fp32"


class Checkpoints(Section):
    """When the full training state is saved, and how much of it is kept."""

    every_steps: Annotated[
        int,
        Field(ge=0),
        Setting(
            "Save every so many steps; 0 is off.",
            APPLIED,
            unit="steps",
            aliases=("save_every_n_steps", "save_every"),
        ),
    ] = 250
    every_minutes: Annotated[
        float,
        Field(ge=0),
        Setting(
            "Save when so many minutes have passed since the last save; 0 is off.",
            APPLIED,
            unit="min",
            detail="A rented container is stopped without warning: what was not saved is lost.",
        ),
    ] = 5.0
    keep_last: Annotated[
        int,
        Field(ge=0),
        Setting(
            "Keep this many of the newest checkpoints; 0 keeps all.",
            APPLIED,
            detail="At least 2, so that a damaged newest one has a whole one before it.",
            aliases=("save_last_n_steps_state", "checkpoints_total_limit", "max_step_saves_to_keep"),
        ),
    ] = 0


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


class Profile(Section):
    """A training profile as written in TOML, defaults filled in."""

    schema_version: Annotated[Literal[1], Field(alias="schema"), Setting("Version of the profile format.", APPLIED)] = (
        SCHEMA_VERSION
    )
    name: Annotated[
        str,
        Field(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$"),
        Setting("Name of the run and of the LoRA.", APPLIED, aliases=("output_name",)),
    ] = "lora"
    model: Model
    network: Network = Network()
    dataset: Dataset
    training: Training = Training()
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    precision: Precision = Precision()
    checkpoints: Checkpoints = Checkpoints()
    samples: Samples = Samples()
    launch: Launch = Launch()

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        values = self.values()
        for rule in RULES:
            if broken := rule.check(values):
                field = rule.fields[0]
                raise ValueError(f"{field} {values[field]} {broken.sentence}: {broken.suggestion}")
        return self

    def values(self) -> dict[str, Any]:
        """Every field's value by its path, ``{"optimizer.lr": 1e-4, ...}``; enums as their text."""
        found: dict[str, Any] = {}
        for name, value in self.model_dump(mode="python", by_alias=True).items():
            if isinstance(value, dict):
                found |= {f"{name}.{key}": plain(item) for key, item in value.items()}
            else:
                found[name] = plain(value)
        return found


def plain(value: object) -> object:
    """``value`` with an enum member replaced by its text."""
    return value.value if isinstance(value, StrEnum) else value
