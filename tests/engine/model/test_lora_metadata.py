"""The metadata of a LoRA file are named and written as sd-scripts writes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors import safe_open

from engine.model.lora_metadata import TrainingFacts, is_plain, lora_metadata, network_arguments
from engine.model.prediction import Prediction
from engine.profile.schema import Dataset, Model, Network, NetworkKind, Optimizer, Precision, Profile, Source, Training
from engine.schedule import Kind, Schedule

OURS_ONLY = {"sdxl_tui_version"}


@pytest.fixture
def metadata() -> dict[str, str]:
    """What the real file's training would have written here."""
    return written()


def written(vae: str | None = None) -> dict[str, str]:
    """What that training would have written with a separate VAE."""
    profile = Profile(
        name="base_cosine",
        model=Model(base="/home/me/models/sdxl-nano", vae=vae),
        network=Network(rank=1, alpha=1.0),
        dataset=Dataset(sources=(Source(path="/home/me/photos"),), resolution=64, bucket_min=64, buckets=False),
        training=Training(seed=1, steps=40),
        optimizer=Optimizer(lr=3e-4),
        precision=Precision(compute="fp32"),
    )
    facts = TrainingFacts(
        step=20,
        epoch=2,
        epochs=5,
        images=8,
        regularisation_images=0,
        batches_per_epoch=8,
        base_lrs={"unet": 1e-4},
        schedule=Schedule(Kind.COSINE, 40),
        optimizer="torch.optim.adamw.AdamW",
        prediction=Prediction("epsilon", zero_terminal_snr=False, source="test"),
        seed=1,
        started=1795464358.1887064,
        finished=1795464363.6428556,
    )
    return lora_metadata(profile, facts)


def test_a_separate_vae_is_named(metadata: dict[str, str]) -> None:
    assert "ss_vae_name" not in metadata
    assert written("/models/sdxl_vae.safetensors")["ss_vae_name"] == "sdxl_vae.safetensors"


def test_names_are_sd_scripts_own(metadata: dict[str, str], real_lora: Path) -> None:
    with safe_open(real_lora, framework="pt") as file:
        assert metadata.keys() - OURS_ONLY <= file.metadata().keys()


@pytest.mark.parametrize(
    "name",
    [
        "ss_network_module",
        "ss_network_dim",
        "ss_network_alpha",
        "ss_network_dropout",
        "ss_base_model_version",
        "ss_lr_scheduler",
        "ss_lr_warmup_steps",
        "ss_learning_rate",
        "ss_text_encoder_lr",
        "ss_max_train_steps",
        "ss_steps",
        "ss_epoch",
        "ss_num_epochs",
        "ss_output_name",
        "ss_optimizer",
        "ss_seed",
        "ss_total_batch_size",
        "ss_resolution",
        "ss_enable_bucket",
        "ss_min_bucket_reso",
        "ss_num_batches_per_epoch",
        "ss_mixed_precision",
        "ss_max_grad_norm",
        "ss_loss_type",
        "ss_huber_c",
        "ss_huber_schedule",
        "ss_huber_scale",
        "ss_min_snr_gamma",
        "ss_debiased_estimation",
        "ss_zero_terminal_snr",
        "ss_noise_offset",
        "ss_noise_offset_random_strength",
        "ss_adaptive_noise_scale",
        "ss_multires_noise_iterations",
        "ss_multires_noise_discount",
        "ss_ip_noise_gamma",
        "ss_ip_noise_gamma_random_strength",
        "ss_v2",
        "ss_cache_latents",
        "ss_gradient_checkpointing",
        "ss_num_validation_images",
        "ss_training_started_at",
        "ss_training_finished_at",
        "modelspec.sai_model_spec",
        "modelspec.architecture",
        "modelspec.implementation",
        "modelspec.title",
        "modelspec.resolution",
        "modelspec.prediction_type",
    ],
)
def test_value_is_written_as_sd_scripts_writes_it(metadata: dict[str, str], real_lora: Path, name: str) -> None:
    with safe_open(real_lora, framework="pt") as file:
        assert metadata[name] == file.metadata()[name]


def test_rates_are_those_the_run_used(metadata: dict[str, str]) -> None:
    assert metadata["ss_learning_rate"] == metadata["ss_unet_lr"] == "0.0001"  # not the profile's 3e-4


def test_arguments_are_those_that_make_the_network_in_sd_scripts_or_lycoris() -> None:
    locon = Network(convolutions=True, conv_rank=4, conv_alpha=2.0, rank_dropout=0.1)
    assert network_arguments(locon) == {"conv_dim": "4", "conv_alpha": "2.0", "rank_dropout": "0.1"}
    assert network_arguments(Network()) == {}
    assert network_arguments(Network(dora=True)) == {
        "algo": "lora",
        "preset": "attn-mlp",
        "dora_wd": "True",
    }
    assert network_arguments(Network(kind=NetworkKind.LOKR, lokr_factor=8)) == {
        "algo": "lokr",
        "preset": "attn-mlp",
        "factor": "8",
    }
    assert [is_plain(network) for network in (locon, Network(dora=True), Network(kind=NetworkKind.LOHA))] == [
        True,
        False,
        False,
    ]


def test_no_path_of_the_machine_gets_out(metadata: dict[str, str]) -> None:
    assert metadata["ss_sd_model_name"] == "sdxl-nano"
    assert not any("/home" in value for value in metadata.values())


def test_what_sd_scripts_says_of_the_data_is_said_of_ours(metadata: dict[str, str]) -> None:
    assert metadata["ss_num_train_images"] == "8"
    assert metadata["ss_num_reg_images"] == "0"
    assert (metadata["ss_shuffle_caption"], metadata["ss_max_token_length"]) == ("False", "None")
