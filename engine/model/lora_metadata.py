"""What a LoRA file says of its training, in sd-scripts' ``ss_*`` names and Stability's ``modelspec.*`` ones.

Other programs show these and read them back, among them the schedule, which sd-scripts' own training state does not hold. All
values are text, None and booleans as Python writes them. Only names of folders go in, never paths.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from engine import __version__
from engine.profile.schema import Profile
from engine.schedule import Schedule

MIXED_PRECISION: Final = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


@dataclass(frozen=True)
class TrainingFacts:
    """What the run really used, and how far it came.

    Rates and schedule are given apart from the profile, because after a resume they are the checkpoint's. optimizer: the
    class and its arguments. started, finished: Unix seconds.
    """

    step: int
    epoch: int
    epochs: int
    images: int
    batches_per_epoch: int
    base_lr: float
    schedule: Schedule
    optimizer: str
    seed: int
    started: float
    finished: float


def lora_metadata(profile: Profile, facts: TrainingFacts) -> dict[str, str]:
    """The metadata of a LoRA trained with ``profile``, for ``write_lora``."""
    values = _network(profile) | _training(profile, facts) | _data(profile, facts) | _model_spec(profile, facts)
    return {name: str(value) for name, value in values.items()}


def _network(profile: Profile) -> dict[str, object]:
    return {
        "ss_network_module": "networks.lora",
        "ss_network_dim": profile.network.rank,
        "ss_network_alpha": profile.network.alpha,
        "ss_network_dropout": profile.network.dropout or None,
        "ss_base_model_version": "sdxl_base_v1-0",
        "ss_v2": False,
        "ss_sd_model_name": Path(profile.model.base).name,
        "ss_output_name": profile.name,
        "sdxl_tui_version": __version__,
    }


def _training(profile: Profile, facts: TrainingFacts) -> dict[str, object]:
    training = profile.training
    return {
        "ss_learning_rate": facts.base_lr,
        "ss_unet_lr": facts.base_lr,
        "ss_text_encoder_lr": None,
        "ss_lr_scheduler": facts.schedule.kind.value,
        "ss_lr_warmup_steps": facts.schedule.warmup_steps,
        "ss_optimizer": facts.optimizer,
        "ss_max_train_steps": facts.schedule.total_steps,
        "ss_steps": facts.step,
        "ss_epoch": facts.epoch,
        "ss_num_epochs": facts.epochs,
        "ss_seed": facts.seed,
        "ss_batch_size_per_device": training.batch_size,
        "ss_total_batch_size": training.batch_size * training.gradient_accumulation,
        "ss_gradient_accumulation_steps": training.gradient_accumulation,
        "ss_max_grad_norm": training.max_grad_norm,
        "ss_mixed_precision": MIXED_PRECISION[profile.precision.compute],
        "ss_loss_type": "l2",
        "ss_training_started_at": facts.started,
        "ss_training_finished_at": facts.finished,
    }


def _data(profile: Profile, facts: TrainingFacts) -> dict[str, object]:
    dataset = profile.dataset
    return {
        "ss_num_train_images": facts.images,
        "ss_num_reg_images": 0,
        "ss_num_batches_per_epoch": facts.batches_per_epoch,
        "ss_resolution": (dataset.resolution, dataset.resolution),
        "ss_enable_bucket": dataset.buckets,
        "ss_bucket_no_upscale": not dataset.upscale,
        "ss_min_bucket_reso": dataset.bucket_min if dataset.buckets else None,
        "ss_max_bucket_reso": dataset.bucket_max if dataset.buckets else None,
        "ss_cache_latents": True,
    }


def _model_spec(profile: Profile, facts: TrainingFacts) -> dict[str, object]:
    """github.com/Stability-AI/ModelSpec, version 1.0.1."""
    side = profile.dataset.resolution
    return {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.title": profile.name,
        "modelspec.resolution": f"{side}x{side}",
        "modelspec.prediction_type": "epsilon",
        "modelspec.date": datetime.fromtimestamp(facts.finished, UTC).isoformat(timespec="seconds"),
    }
