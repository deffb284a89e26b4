"""What a LoRA file says of its training, in sd-scripts' ``ss_*`` names and Stability's ``modelspec.*`` ones.

Other programs show these and read them back, among them the schedule, which sd-scripts' own training state does not hold. All
values are text, None and booleans as Python writes them. Only names of folders go in, never paths.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from engine import __version__
from engine.model.prediction import Prediction
from engine.profile.schema import Loss, Network, NetworkKind, Part, Profile
from engine.profile.schema.loss import LossKind
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
    """Seen per epoch, repeats counted."""
    regularisation_images: int
    """Of ``images``."""
    batches_per_epoch: int
    base_lrs: Mapping[str, float]
    """By group: ``unet``, ``text_encoder_1``, ``text_encoder_2``."""
    schedule: Schedule
    optimizer: str
    prediction: Prediction
    seed: int
    started: float
    finished: float
    data: Mapping[str, object] = field(default_factory=dict)
    """Entries on folders, tags and buckets (``engine.data.lora_record``)."""
    validation_images: int = 0


def lora_metadata(profile: Profile, facts: TrainingFacts) -> dict[str, str]:
    """The metadata of a LoRA trained with ``profile``, for ``write_lora``."""
    values = _network(profile) | _training(profile, facts) | _loss(profile.loss, facts) | _data(profile, facts)
    values |= _model_spec(profile, facts)
    return {name: str(value) for name, value in values.items()}


def _network(profile: Profile) -> dict[str, object]:
    network = profile.network
    arguments = network_arguments(network)
    return {
        "ss_network_module": "networks.lora" if is_plain(network) else "lycoris.kohya",
        "ss_network_dim": network.rank,
        "ss_network_alpha": network.alpha,
        "ss_network_dropout": network.dropout or None,
        **({"ss_network_args": json.dumps(arguments)} if arguments else {}),
        "ss_scale_weight_norms": network.scale_weight_norms,
        "ss_base_model_version": "sdxl_base_v1-0",
        "ss_v2": False,
        "ss_clip_skip": None,
        "ss_max_token_length": None if profile.captions.max_tokens == 75 else profile.captions.max_tokens,
        "ss_full_fp16": False,
        "ss_lowram": False,
        "ss_sd_model_name": Path(profile.model.base).name,
        **({"ss_vae_name": Path(profile.model.vae).name} if profile.model.vae else {}),
        "ss_output_name": profile.name,
        "ss_training_comment": None,
        "sdxl_tui_version": __version__,
    }


def is_plain(network: Network) -> bool:
    """Whether it is what sd-scripts' own ``networks.lora`` trains; else it is one of LyCORIS' kinds."""
    return network.kind is NetworkKind.LORA and not network.dora and not network.rank_stabilized


def network_arguments(network: Network) -> dict[str, str]:
    """``--network_args`` that make this network in sd-scripts or LyCORIS; empty for a LoRA on linear layers alone."""
    found: dict[str, object] = {}
    if not is_plain(network):
        found["algo"] = network.kind.value
        found["preset"] = (
            "full" if network.convolutions else "attn-mlp"
        )  # LyCORIS adapts convolutions unless it is told not to
    if network.convolutions:
        found |= {"conv_dim": network.rank_of(Part.CONVOLUTIONS), "conv_alpha": network.alpha_of(Part.CONVOLUTIONS)}
    flags = {"dora_wd": network.dora, "rs_lora": network.rank_stabilized}
    found |= {name: True for name, is_on in flags.items() if is_on}
    shares = {"rank_dropout": network.rank_dropout, "module_dropout": network.module_dropout}
    found |= {name: share for name, share in shares.items() if share}
    if network.kind is NetworkKind.LOKR:
        found["factor"] = network.lokr_factor or -1
    return {name: str(value) for name, value in found.items()}


def _training(profile: Profile, facts: TrainingFacts) -> dict[str, object]:
    training = profile.training
    return {
        "ss_learning_rate": facts.base_lrs.get("unet", next(iter(facts.base_lrs.values()))),
        "ss_unet_lr": facts.base_lrs.get("unet"),
        "ss_text_encoder_lr": _text_encoder_lr(facts.base_lrs),
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
        "ss_gradient_checkpointing": training.gradient_checkpointing,
        "ss_max_grad_norm": training.max_grad_norm,
        "ss_mixed_precision": MIXED_PRECISION[profile.precision.compute],
        "ss_training_started_at": facts.started,
        "ss_training_finished_at": facts.finished,
    }


def _loss(loss: Loss, facts: TrainingFacts) -> dict[str, object]:
    """Like sd-scripts with a value for delta and discount even where they play no part."""
    return {
        "ss_loss_type": "l2" if loss.kind is LossKind.MSE else loss.kind.value,
        "ss_huber_c": 0.1 if loss.delta is None else loss.delta,
        "ss_huber_schedule": loss.delta_schedule.value,
        "ss_huber_scale": 1.0 if loss.delta_scale is None else loss.delta_scale,
        "ss_min_snr_gamma": loss.min_snr_gamma,
        "ss_debiased_estimation": loss.debiased_estimation,
        "ss_zero_terminal_snr": facts.prediction.zero_terminal_snr,
        "ss_noise_offset": loss.noise_offset or None,
        "ss_noise_offset_random_strength": loss.noise_offset_random,
        "ss_adaptive_noise_scale": loss.adaptive_noise_scale,
        "ss_multires_noise_iterations": loss.multires_iterations or None,
        "ss_multires_noise_discount": 0.3 if loss.multires_discount is None else loss.multires_discount,
        "ss_ip_noise_gamma": loss.input_perturbation or None,
        "ss_ip_noise_gamma_random_strength": loss.input_perturbation_random,
    }


def _text_encoder_lr(rates: Mapping[str, float]) -> object:
    """One rate, or a list where the two differ, as sd-scripts writes ``--text_encoder_lr``."""
    found = [rates[group] for group in ("text_encoder_1", "text_encoder_2") if group in rates]
    return found if len(set(found)) > 1 else next(iter(found), None)


def _data(profile: Profile, facts: TrainingFacts) -> dict[str, object]:
    dataset, captions = profile.dataset, profile.captions
    weights = {source.prior_weight for source in dataset.sources if source.regularisation}
    return {
        "ss_num_train_images": facts.images - facts.regularisation_images,
        "ss_num_reg_images": facts.regularisation_images,
        "ss_num_validation_images": facts.validation_images,
        **facts.data,
        "ss_prior_loss_weight": weights.pop() if len(weights) == 1 else None,
        "ss_num_batches_per_epoch": facts.batches_per_epoch,
        "ss_resolution": (dataset.resolution, dataset.resolution),
        "ss_enable_bucket": dataset.buckets,
        "ss_bucket_no_upscale": not dataset.upscale,
        "ss_min_bucket_reso": dataset.bucket_min if dataset.buckets else None,
        "ss_max_bucket_reso": dataset.bucket_max if dataset.buckets else None,
        "ss_cache_latents": True,
        "ss_flip_aug": dataset.flip,
        "ss_random_crop": dataset.random_crops > 0,
        "ss_shuffle_caption": captions.shuffle,
        "ss_keep_tokens": captions.keep_tokens,
        "ss_caption_dropout_rate": captions.caption_dropout,
        "ss_caption_tag_dropout_rate": captions.tag_dropout,
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
        "modelspec.prediction_type": "v" if facts.prediction.type == "v_prediction" else "epsilon",
        "modelspec.date": datetime.fromtimestamp(facts.finished, UTC).isoformat(timespec="seconds"),
    }
