"""A profile from the metadata of a LoRA file: sd-scripts' own, and ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.foreign.lora_facts import read_lora_facts
from engine.foreign.sd_scripts.importing import import_file, profile_from_lora, profile_from_metadata
from engine.foreign.sd_scripts.option import Fate
from engine.model.lora_metadata import TrainingFacts, lora_metadata
from engine.model.prediction import Prediction
from engine.profile.load import parse_profile
from engine.profile.schema import OptimizerKind, Profile
from tests.engine.foreign.sd_scripts.importing_files import line_of

LORA = next((Path(__file__).parent.parent / "data").glob("base_cosine*.safetensors"))
METADATA = {
    "ss_learning_rate": "0.0005",
    "ss_unet_lr": "0.0005",
    "ss_text_encoder_lr": "[0.0001, 5e-05]",
    "ss_lr_scheduler": "cosine_with_restarts",
    "ss_lr_warmup_steps": "50",
    "ss_max_train_steps": "1200",
    "ss_num_batches_per_epoch": "120",
    "ss_network_module": "lycoris.kohya",
    "ss_network_dim": "16",
    "ss_network_alpha": "8.0",
    "ss_network_args": json.dumps({"algo": "loha", "conv_dim": "4", "conv_alpha": "1", "preset": "full"}),
    "ss_network_dropout": "None",
    "ss_optimizer": "bitsandbytes.optim.adamw.AdamW8bit(weight_decay=0.1,betas=(0.9, 0.99))",
    "ss_mixed_precision": "bf16",
    "ss_seed": "42",
    "ss_noise_offset": "0.0357",
    "ss_min_snr_gamma": "5.0",
    "ss_clip_skip": "2",
    "ss_gradient_checkpointing": "True",
    "ss_gradient_accumulation_steps": "2",
    "ss_sd_model_name": "ponyDiffusionV6XL.safetensors",
    "ss_output_name": "cat_v2",
    "ss_max_token_length": "225",
    "ss_tag_frequency": "{}",
    "ss_datasets": json.dumps(
        [
            {
                "is_dreambooth": True,
                "batch_size_per_device": 4,
                "resolution": [1024, 1024],
                "enable_bucket": True,
                "min_bucket_reso": 256,
                "max_bucket_reso": 4096,
                "bucket_info": {"buckets": {}},
                "tag_frequency": {"cats": {"cat": 3}},
                "subsets": [
                    {
                        "img_count": 20,
                        "num_repeats": 10,
                        "color_aug": False,
                        "flip_aug": True,
                        "random_crop": False,
                        "shuffle_caption": True,
                        "keep_tokens": 1,
                        "image_dir": "cats",
                        "class_tokens": None,
                        "is_reg": False,
                    }
                ],
            }
        ]
    ),
    "modelspec.prediction_type": "v",
}


def profile_of(metadata: dict[str, str]) -> Profile:
    return parse_profile(profile_from_metadata(metadata).text, folder=Path("/")).profile


def test_a_training_is_rebuilt_from_its_metadata() -> None:
    profile = profile_of(METADATA)
    assert profile.base_lrs == {"unet": 5e-4, "text_encoder_1": 1e-4, "text_encoder_2": 5e-5}
    assert (profile.training.steps, profile.training.batch_size, profile.training.gradient_accumulation) == (1200, 4, 2)
    assert (profile.network.kind, profile.network.rank, profile.network.alpha, profile.network.conv_rank) == (
        "loha",
        16,
        8.0,
        4,
    )
    assert (profile.optimizer.kind, profile.optimizer.weight_decay) == (OptimizerKind.ADAMW_8BIT, 0.1)
    assert (profile.optimizer.beta1, profile.optimizer.beta2) == (0.9, 0.99)
    assert (profile.schedule.kind, profile.schedule.warmup_steps) == ("cosine_with_restarts", 50)
    assert (profile.dataset.sources[0].path, profile.dataset.sources[0].repeats) == ("/path/to/cats", 10)
    assert (profile.dataset.flip, profile.captions.shuffle, profile.captions.keep_tokens) == (True, True, 1)
    assert (profile.dataset.bucket_max, profile.captions.max_tokens) == (4096, 225)
    assert (profile.model.base, profile.name) == ("/path/to/ponyDiffusionV6XL.safetensors", "cat_v2")
    assert (profile.loss.min_snr_gamma, profile.loss.prediction) == (5.0, "v_prediction")


def test_what_the_metadata_do_not_tell_is_said() -> None:
    imported = profile_from_metadata({"ss_network_dim": "8", "ss_lr_scheduler": "cosine_with_restarts"})
    assert any("text encoders" in remark for remark in imported.remarks)
    assert any("cycles is not stored" in line.note for line in imported.of(Fate.DEFAULT))
    assert any("base model" in sentence for sentence in imported.missing)


def test_folders_of_old_metadata_have_their_repeats() -> None:
    profile = profile_of(
        {
            "ss_dataset_dirs": json.dumps({"10_cat": {"n_repeats": 10, "img_count": 6}}),
            "ss_reg_dataset_dirs": json.dumps({"1_cats": {"n_repeats": 1, "img_count": 30}}),
            "ss_resolution": "(768, 768)",
            "ss_batch_size_per_device": "2",
        }
    )
    cat, cats = profile.dataset.sources
    assert (cat.path, cat.repeats, cats.regularisation, cats.repeats) == ("/path/to/10_cat", 10, True, 2)
    assert (profile.dataset.resolution, profile.training.batch_size) == (768, 2)


def test_a_file_of_sd_scripts_says_by_its_tensors_what_was_trained() -> None:
    imported = profile_from_lora(read_lora_facts(LORA))
    assert imported == import_file(LORA)
    profile = parse_profile(imported.text, folder=Path("/")).profile
    assert (profile.network.rank, profile.training.steps, profile.schedule.kind) == (1, 40, "cosine")
    assert not profile.network.trains_text
    assert not imported.of(Fate.UNKNOWN)
    assert line_of(imported, "ss_session_id").note == "a record, not a setting"


def test_our_own_metadata_come_back(tmp_path: Path) -> None:
    text = """
name = "mine"
[model]
base = "/m/base.safetensors"
[network]
kind = "loha"
rank = 8
alpha = 4
text_encoder = true
text_encoder_2 = true
[[dataset.sources]]
path = "/d"
[training]
steps = 300
batch_size = 2
[optimizer]
lr = 2e-4
text_encoder_lr = 1e-4
[loss]
min_snr_gamma = 5
"""
    profile = parse_profile(text, folder=tmp_path).profile
    facts = TrainingFacts(
        step=300, epoch=1, epochs=1, images=4, regularisation_images=0, batches_per_epoch=2, base_lrs=profile.base_lrs,
        schedule=profile.schedule.over(300), optimizer="torch.optim.adamw.AdamW(weight_decay=0.01)",
        prediction=Prediction("epsilon", zero_terminal_snr=False, source="a test"), seed=0, started=0.0, finished=1.0,
    )  # fmt: skip
    back = profile_of(lora_metadata(profile, facts))
    assert (back.name, back.network.kind, back.network.convolutions) == ("mine", "loha", False)
    assert back.base_lrs == profile.base_lrs
    assert (back.training.steps, back.training.batch_size, back.loss.min_snr_gamma) == (300, 2, 5.0)


def test_metadata_saved_as_json_are_metadata(tmp_path: Path) -> None:
    file = tmp_path / "meta.json"
    file.write_text(json.dumps(METADATA))
    assert import_file(file).name == "cat_v2"


def test_a_file_without_metadata_is_refused(tmp_path: Path) -> None:
    header = json.dumps(
        {"lora_unet_x.lora_down.weight": {"dtype": "F16", "shape": [1, 1], "data_offsets": [0, 2]}}
    ).encode()
    file = tmp_path / "bare.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    with pytest.raises(UserError, match="no ss_ metadata"):
        import_file(file)
    file.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(UserError, match="pickle"):
        import_file(file)
