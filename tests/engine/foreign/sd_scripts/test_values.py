"""The values of a profile are those of the training that sd-scripts would have made of the config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.foreign.sd_scripts.option import Fate
from engine.profile.schema import NetworkKind, OptimizerKind, Part
from tests.engine.foreign.sd_scripts.importing_files import import_options, line_of


@pytest.mark.parametrize(
    ("options", "path", "value"),
    [
        ({"train_batch_size": 4}, "training.batch_size", 4),
        ({"train_batch_size": "4"}, "training.batch_size", 4),
        ({"gradient_accumulation_steps": 2.0}, "training.gradient_accumulation", 2),
        ({"max_train_steps": 2500}, "training.steps", 2500),
        ({"max_grad_norm": 0}, "training.max_grad_norm", 0.0),
        ({"seed": 1234}, "training.seed", 1234),
        ({"gradient_checkpointing": True}, "training.gradient_checkpointing", True),
        ({"mixed_precision": "fp16"}, "precision.compute", "fp16"),
        ({}, "precision.compute", "fp32"),
        ({"save_precision": "float"}, "precision.save", "fp32"),
        ({"save_precision": "fp16"}, "precision.save", "fp16"),
        ({"fp8_base": True}, "precision.base", "fp8"),
        ({"torch_compile": True}, "launch.compile", True),
        ({"vae": "owner/vae"}, "model.vae", "owner/vae"),
        ({"output_name": "My LoRA (v1)"}, "name", "My-LoRA-v1"),
        ({"v_parameterization": True}, "loss.prediction", "v_prediction"),
        ({"v_parameterization": True, "zero_terminal_snr": True}, "loss.zero_terminal_snr", "on"),
        ({"v_parameterization": True}, "loss.zero_terminal_snr", "off"),
        ({"v_parameterization": True, "zero_terminal_snr": False}, "loss.zero_terminal_snr", "off"),
        ({"zero_terminal_snr": False}, "loss.zero_terminal_snr", "auto"),
        ({"use_dadaptation": True}, "optimizer.kind", "dadapt_adam"),
        ({"min_snr_gamma": 5}, "loss.min_snr_gamma", 5.0),
        ({"min_snr_gamma": 0}, "loss.min_snr_gamma", None),
        ({"debiased_estimation_loss": True}, "loss.debiased_estimation", True),
        ({"noise_offset": 0.0357}, "loss.noise_offset", 0.0357),
        ({"noise_offset": 0.05, "noise_offset_random_strength": True}, "loss.noise_offset_random", True),
        ({"noise_offset": 0.05, "adaptive_noise_scale": 0.01}, "loss.adaptive_noise_scale", 0.01),
        ({"multires_noise_iterations": 6}, "loss.multires_iterations", 6),
        ({"multires_noise_iterations": 6, "multires_noise_discount": 0.2}, "loss.multires_discount", 0.2),
        ({"ip_noise_gamma": 0.1}, "loss.input_perturbation", 0.1),
        ({"loss_type": "huber", "huber_c": 0.2}, "loss.delta", 0.2),
        ({"loss_type": "smooth_l1", "huber_schedule": "exponential"}, "loss.delta_schedule", "exponential"),
        ({"loss_type": "l2"}, "loss.kind", "mse"),
        ({"min_timestep": 200, "max_timestep": 800}, "loss.max_timestep", 800),
        ({"max_timestep": 1000}, "loss.max_timestep", None),
        ({"max_token_length": 225}, "captions.max_tokens", 225),
        ({"shuffle_caption": True, "keep_tokens": 2}, "captions.keep_tokens", 2),
        ({"keep_tokens": 2}, "captions.keep_tokens", 0),
        ({"caption_dropout_rate": 0.1}, "captions.caption_dropout", 0.1),
        ({"caption_tag_dropout_rate": 0.2}, "captions.tag_dropout", 0.2),
        ({"keep_tokens_separator": "|||"}, "captions.keep_separator", "|||"),
        ({"enable_wildcard": True}, "captions.wildcards", True),
        ({"flip_aug": True}, "dataset.flip", True),
        ({"random_crop": True}, "dataset.random_crops", 4),
        ({"resolution": 768}, "dataset.resolution", 768),
        ({"resolution": "768,1024"}, "dataset.resolution", 888),
        ({"min_bucket_reso": 320}, "dataset.bucket_min", 320),
        ({"bucket_reso_steps": 32}, "dataset.bucket_step", 32),
        ({"bucket_reso_steps": 1}, "dataset.bucket_step", 8),
        ({"bucket_no_upscale": True}, "dataset.upscale", False),
        ({"max_bucket_reso": None}, "dataset.bucket_max", 1024),
        ({"enable_bucket": None}, "dataset.buckets", False),
        ({"network_dropout": 0.1}, "network.dropout", 0.1),
        ({"scale_weight_norms": 1}, "network.scale_weight_norms", 1.0),
        ({"network_weights": "/x/lora.safetensors"}, "network.start_from", "/x/lora.safetensors"),
        ({"network_alpha": 8}, "network.alpha", 8.0),
        ({"network_dim": 32}, "network.alpha", 1.0),
        ({}, "network.rank", 4),
        ({"network_dim": 32, "network_alpha": 0}, "network.alpha", 32.0),
        ({"save_every_n_steps": 200}, "checkpoints.every_steps", 200),
        ({"save_every_n_steps": 200, "save_last_n_steps": 400}, "checkpoints.keep_last", 3),
        ({"save_every_n_epochs": 1, "save_last_n_epochs": 3}, "checkpoints.keep_last", 3),
        ({}, "checkpoints.every_steps", 0),
        ({"log_with": "all", "logging_dir": "logs"}, "logging.trackers", ("tensorboard", "wandb")),
        ({"logging_dir": "logs"}, "logging.trackers", ("tensorboard",)),
        ({"log_with": "wandb", "log_tracker_name": "cats"}, "logging.project", "cats"),
        ({"validation_split": 0.1}, "validation.share", 0.1),
        ({"validate_every_n_steps": 100}, "validation.every_steps", 100),
        ({"sample_prompts": "a cat", "sample_every_n_steps": 100}, "samples.every_steps", 100),
        ({"sample_prompts": "a cat --w 832", "sample_sampler": "euler_a"}, "samples.sampler", "euler_a"),
        ({"sample_prompts": "a cat\n# no\na dog --am 2 --s 20"}, "samples.prompts", ("a cat", "a dog --s 20")),
        ({"sample_prompts": "a cat"}, "samples.width", 512),
    ],
)  # fmt: skip
def test_an_option_becomes_its_field(options: dict[str, Any], path: str, value: Any, tmp_path: Path) -> None:
    profile, _ = import_options(tmp_path, **options)
    assert profile.values()[path] == value


LORA = {"network_module": "networks.lora", "network_dim": 16, "network_alpha": 8}
LYCORIS = {**LORA, "network_module": "lycoris.kohya"}


@pytest.mark.parametrize(
    ("options", "kind", "conv", "conv_alpha"),
    [
        (LORA, "lora", None, None),
        ({**LORA, "network_args": ["conv_dim=4", "conv_alpha=2"]}, "lora", 4, 2.0),
        ({**LORA, "network_args": ["conv_dim=4"]}, "lora", 4, 1.0),
        ({**LYCORIS, "network_args": ["algo=locon", "conv_dim=8", "conv_alpha=1"]}, "lora", 8, 1.0),
        ({**LYCORIS, "network_args": ["algo=loha"]}, "loha", 16, 8.0),
        ({**LYCORIS, "network_args": ["algo=loha", "preset=attn-mlp"]}, "loha", None, None),
        ({**LYCORIS, "network_args": ["algo=lokr", "factor=8", "conv_dim=0"]}, "lokr", None, None),
    ],
)
def test_the_network_has_the_convolutions_that_its_module_trains(
    options: dict[str, Any], kind: str, conv: int | None, conv_alpha: float | None, tmp_path: Path
) -> None:
    network = import_options(tmp_path, **options)[0].network
    assert network.kind == NetworkKind(kind)
    assert network.convolutions is (conv is not None)
    if conv is not None:
        assert (network.rank_of(Part.CONVOLUTIONS), network.alpha_of(Part.CONVOLUTIONS)) == (conv, conv_alpha)


def test_arguments_of_lycoris(tmp_path: Path) -> None:
    arguments = ["algo=lora", "dora_wd=True", "rs_lora=True", "use_tucker=True", "train_norm=False", "block_dims=4,4"]
    profile, imported = import_options(tmp_path, **LYCORIS, network_args=arguments)
    assert (profile.network.dora, profile.network.rank_stabilized) == (True, True)
    assert line_of(imported, "network_args use_tucker").fate is Fate.UNSUPPORTED
    assert line_of(imported, "network_args train_norm").fate is Fate.MEANINGLESS
    assert line_of(imported, "network_args block_dims").fate is Fate.UNSUPPORTED
    lokr, _ = import_options(
        tmp_path, **LYCORIS, network_args=["algo=lokr", "factor=6", "rank_dropout=0.1", "module_dropout=0.2"]
    )
    assert (lokr.network.lokr_factor, lokr.network.rank_dropout, lokr.network.module_dropout) == (6, 0.1, 0.2)


def test_dora_of_another_kind_is_taken_out_with_the_reason(tmp_path: Path) -> None:
    profile, imported = import_options(tmp_path, **LYCORIS, network_args=["algo=loha", "dora_wd=True"])
    line = line_of(imported, "network_args dora_wd")
    assert not profile.network.dora
    assert line.fate is Fate.UNSUPPORTED
    assert "only a LoRA" in line.note


@pytest.mark.parametrize(
    ("options", "rates"),
    [
        ({"learning_rate": 1e-4}, (1e-4, 1e-4, 1e-4)),
        ({"learning_rate": 1e-4, "network_train_unet_only": True}, (1e-4, None, None)),
        ({"learning_rate": 1e-4, "unet_lr": 2e-4, "text_encoder_lr": 5e-5}, (2e-4, 5e-5, 5e-5)),
        ({"unet_lr": 2e-4, "text_encoder_lr": [5e-5, 1e-5]}, (2e-4, 5e-5, 1e-5)),
        ({"unet_lr": 2e-4, "text_encoder_lr": [5e-5, 0]}, (2e-4, 5e-5, None)),
        ({"learning_rate": 3e-4, "text_encoder_lr": 0}, (3e-4, None, None)),
        ({"unet_lr": 1e-4, "text_encoder_lr": 5e-5, "network_train_unet_only": True}, (1e-4, None, None)),
        ({"learning_rate": 1e-4, "network_train_text_encoder_only": True}, (None, 1e-4, 1e-4)),
        ({}, (2e-6, 2e-6, 2e-6)),
    ],
)
def test_every_part_has_the_rate_it_would_have_there(
    options: dict[str, Any], rates: tuple[float | None, ...], tmp_path: Path
) -> None:
    found = import_options(tmp_path, **LORA, **options)[0].base_lrs
    assert tuple(found.get(group) for group in ("unet", "text_encoder_1", "text_encoder_2")) == rates


@pytest.mark.parametrize(
    ("options", "kind", "decay", "betas"),
    [
        ({}, "adamw", 0.01, (0.9, 0.999)),
        ({"optimizer_type": "AdamW8bit"}, "adamw_8bit", 0.01, (0.9, 0.999)),
        ({"use_8bit_adam": True}, "adamw_8bit", 0.01, (0.9, 0.999)),
        ({"optimizer_type": "PagedAdamW8bit"}, "adamw_8bit", 0.01, (0.9, 0.999)),
        ({"optimizer_type": "AdamW", "optimizer_args": "weight_decay=0.1 betas=0.9,0.99"}, "adamw", 0.1, (0.9, 0.99)),
        ({"optimizer_type": "AdamW", "optimizer_args": ["betas=(0.8, 0.95)"]}, "adamw", 0.01, (0.8, 0.95)),
        ({"optimizer_type": "Lion"}, "lion", 0.0, (0.9, 0.99)),
        ({"optimizer_type": "Prodigy", "learning_rate": 1.0}, "prodigy", 0.0, (0.9, 0.999)),
        ({"optimizer_type": "prodigyopt.Prodigy", "unet_lr": 1, "text_encoder_lr": 1}, "prodigy", 0.0, (0.9, 0.999)),
        ({"optimizer_type": "DAdaptation", "learning_rate": 1.0}, "dadapt_adam", 0.0, (0.9, 0.999)),
        ({"optimizer_type": "AdamWScheduleFree", "lr_scheduler": "constant"}, "schedule_free_adamw", 0.0, (0.9, 0.999)),
        ({"optimizer_type": "pytorch_optimizer.CAME"}, "came", 0.0, (0.9, 0.999)),
        ({"optimizer_type": "SGDNesterov"}, "adamw", 0.01, (0.9, 0.999)),
    ],
)
def test_the_optimizer_has_its_packages_defaults(
    options: dict[str, Any], kind: str, decay: float, betas: tuple[float, float], tmp_path: Path
) -> None:
    optimizer = import_options(tmp_path, **LORA, **options)[0].optimizer
    settled = optimizer.hyperparameters()
    assert (optimizer.kind, settled["weight_decay"]) == (OptimizerKind(kind), decay)
    assert (settled["beta1"], settled["beta2"]) == betas


def test_settings_of_prodigy_and_adafactor(tmp_path: Path) -> None:
    arguments = [
        "decouple=True",
        "d_coef=0.8",
        "d0=1e-5",
        "use_bias_correction=True",
        "safeguard_warmup=True",
        "growth_rate=1.02",
    ]
    prodigy, imported = import_options(tmp_path, optimizer_type="Prodigy", learning_rate=1, optimizer_args=arguments)
    found = prodigy.optimizer
    assert (found.d_coef, found.d0, found.bias_correction, found.safeguard_warmup, found.growth_rate) == (
        0.8,
        1e-5,
        True,
        True,
        1.02,
    )
    assert line_of(imported, "optimizer_args decouple").fate is Fate.MEANINGLESS
    plain = ["scale_parameter=False", "relative_step=False", "warmup_init=False"]
    adafactor, imported = import_options(tmp_path, optimizer_type="AdaFactor", learning_rate=4e-4, optimizer_args=plain)
    assert (adafactor.optimizer.kind, adafactor.optimizer.lr) == (OptimizerKind.ADAFACTOR, 4e-4)
    assert not imported.of(Fate.UNSUPPORTED)
    _, relative = import_options(tmp_path, optimizer_type="AdaFactor", learning_rate=4e-4)
    assert any("Adafactor finds the rate itself" in line.note for line in relative.of(Fate.DEFAULT))


def test_a_rate_that_would_keep_prodigy_from_learning_is_told(tmp_path: Path) -> None:
    profile, imported = import_options(tmp_path, optimizer_type="Prodigy", learning_rate=1e-4)
    assert profile.optimizer.lr == 1.0
    assert line_of(imported, "learning_rate").is_warning


@pytest.mark.parametrize(
    ("options", "kind", "fields"),
    [
        ({"lr_scheduler": "cosine", "lr_warmup_steps": 100}, "cosine", {"warmup_steps": 100}),
        ({"lr_scheduler": "cosine", "lr_warmup_steps": 0.1}, "cosine", {"warmup_share": 0.1}),
        ({"lr_scheduler": "cosine", "lr_warmup_steps": "5%"}, "cosine", {"warmup_share": 0.05}),
        ({"lr_scheduler": "constant", "lr_warmup_steps": 100}, "constant", {"warmup_steps": 0}),
        ({"lr_scheduler": "constant_with_warmup", "lr_warmup_steps": 100}, "constant", {"warmup_steps": 100}),
        ({}, "constant", {}),
        ({"lr_scheduler": "cosine_with_restarts", "lr_scheduler_num_cycles": 4}, "cosine_with_restarts", {"cycles": 4}),
        ({"lr_scheduler": "cosine_with_restarts"}, "cosine_with_restarts", {"cycles": 1}),
        ({"lr_scheduler": "cosine", "lr_scheduler_num_cycles": 4}, "cosine", {}),
        ({"lr_scheduler": "polynomial", "lr_scheduler_power": 2}, "polynomial", {"power": 2.0}),
        ({"lr_scheduler": "inverse_sqrt", "lr_scheduler_timescale": 500}, "inverse_sqrt", {"timescale": 500}),
        ({"lr_scheduler": "cosine_with_min_lr", "lr_scheduler_min_lr_ratio": 0.1}, "cosine", {"min_factor": 0.1}),
        (
            {"lr_scheduler": "warmup_stable_decay", "lr_decay_steps": 400, "max_train_steps": 2000},
            "warmup_stable_decay",
            {"decay_share": 0.2, "decay_shape": "cosine"},
        ),
        ({"lr_scheduler": "warmup_stable_decay", "lr_decay_steps": 0.3}, "warmup_stable_decay", {"decay_share": 0.3}),
        (
            {"lr_scheduler": "piecewise_constant", "lr_scheduler_args": ["step_rules='1:100,0.5:500,0.1'"]},
            "piecewise",
            {"rules": "0:1, 100:0.5, 500:0.1"},
        ),
        (
            {
                "lr_scheduler_type": "CosineAnnealingLR",
                "lr_scheduler_args": ["T_max=1600", "eta_min=1e-5"],
                "learning_rate": 1e-4,
            },
            "cosine",
            {"min_factor": 0.1},
        ),
        (
            {
                "lr_scheduler_type": "torch.optim.lr_scheduler.CosineAnnealingWarmRestarts",
                "lr_scheduler_args": ["T_0=400"],
            },
            "cosine_with_restarts",
            {"cycles": 4},
        ),
        (
            {"lr_scheduler_type": "X.RexAnnealingWarmRestarts", "lr_scheduler": "rex", "warmup_ratio": 0.05},
            "rex",
            {"warmup_share": 0.05},
        ),
        ({"lr_scheduler": "adafactor"}, "constant", {}),
        ({"lr_scheduler": "no_such_curve"}, "constant", {}),
    ],
)
def test_the_schedule_is_the_same_curve(
    options: dict[str, Any], kind: str, fields: dict[str, Any], tmp_path: Path
) -> None:
    schedule = import_options(tmp_path, **LORA, **options)[0].schedule
    assert schedule.kind == kind
    assert {name: getattr(schedule, name) for name in fields} == fields


@pytest.mark.parametrize(
    "name", ["color_aug", "full_bf16", "resume", "base_weights", "deepspeed", "face_crop_aug_range", "train_inpainting"]
)
def test_what_there_is_not_here_is_named_with_the_reason(name: str, tmp_path: Path) -> None:
    _, imported = import_options(tmp_path, **{name: "x" if name in ("resume", "base_weights") else True})
    line = line_of(imported, name)
    assert line.fate is Fate.UNSUPPORTED
    assert len(line.note) > 20


def test_keys_are_shown_and_kept_nowhere(tmp_path: Path) -> None:
    _, imported = import_options(tmp_path, wandb_api_key="SECRET", huggingface_token="hf_SECRET", log_with="wandb")
    assert "SECRET" not in str(imported.to_json())


def test_a_value_that_cannot_be_read_is_told_and_left_at_the_default(tmp_path: Path) -> None:
    profile, imported = import_options(tmp_path, network_dim="many", min_snr_gamma="high", max_train_steps=-5)
    assert profile.training.steps == 1600
    assert line_of(imported, "network_dim").note == "is no number"
    assert line_of(imported, "min_snr_gamma").is_warning


def test_a_value_out_of_range_is_taken_out_with_the_rule(tmp_path: Path) -> None:
    profile, imported = import_options(tmp_path, network_dim=5000, caption_dropout_rate=3)
    assert (profile.network.rank, profile.captions.caption_dropout) == (16, 0.0)
    assert "from 1 to 1,024" in line_of(imported, "network_dim").note
    assert line_of(imported, "caption_dropout_rate").fate is Fate.UNSUPPORTED
