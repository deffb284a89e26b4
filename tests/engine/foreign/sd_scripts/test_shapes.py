"""Files in the shapes of the wild: sections, the GUI's JSON, nested tables, data sets, scripts with variables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.foreign.sd_scripts.importing import import_file
from engine.foreign.sd_scripts.option import Fate
from engine.profile.schema import OptimizerKind
from tests.engine.foreign.sd_scripts.importing_files import import_gui, import_text, line_of

SECTIONS = """
[additional_network_arguments]
unet_lr = 5e-4
text_encoder_lr = 1e-4
network_dim = 16
network_alpha = 8
network_module = "lycoris.kohya"
network_args = ["conv_dim=8", "conv_alpha=1", "algo=locon"]
[optimizer_arguments]
learning_rate = 5e-4
lr_scheduler = "cosine_with_restarts"
lr_scheduler_num_cycles = 3
lr_scheduler_power = 0
lr_warmup_steps = 105
optimizer_type = "AdamW8bit"
optimizer_args = ["weight_decay=0.1", "betas=[0.9,0.99]"]
[training_arguments]
max_train_epochs = 10
train_batch_size = 2
seed = 42
mixed_precision = "bf16"
[model_arguments]
pretrained_model_name_or_path = "/content/model.safetensors"
v2 = false
[dataset_arguments]
cache_latents = true
"""
DATASETS = """
[general]
resolution = 1024
shuffle_caption = true
keep_tokens = 1
flip_aug = false
caption_extension = ".txt"
enable_bucket = true
bucket_reso_steps = 64
min_bucket_reso = 256
max_bucket_reso = 4096
[[datasets]]
batch_size = 3
[[datasets.subsets]]
num_repeats = 10
image_dir = "/content/cats"
[[datasets.subsets]]
num_repeats = 2
image_dir = "/content/dogs"
caption_dropout_rate = 0.1
caption_prefix = "a photo of"
"""


def test_a_config_in_sections_with_its_data_set_beside_it(tmp_path: Path) -> None:
    (tmp_path / "dataset_config.toml").write_text(DATASETS)
    config = SECTIONS + 'dataset_config = "/content/drive/dataset_config.toml"\n'
    profile, imported = import_text(tmp_path, config, "training_config.toml")
    assert (profile.network.rank, profile.network.conv_rank, profile.network.conv_alpha) == (16, 8, 1.0)
    assert (profile.schedule.cycles, profile.schedule.warmup_steps) == (3, 105)
    assert profile.base_lrs == {"unet": 5e-4, "text_encoder_1": 1e-4, "text_encoder_2": 1e-4}
    assert (profile.training.batch_size, profile.dataset.bucket_max) == (3, 4096)
    cats, dogs = profile.dataset.sources
    assert (cats.path, cats.repeats, dogs.repeats) == ("/content/cats", 10, 2)
    assert (cats.caption_dropout, dogs.caption_dropout, dogs.prefix) == (None, 0.1, "a photo of")
    assert (profile.captions.shuffle, profile.captions.keep_tokens) == (True, 1)
    assert line_of(imported, "train_batch_size").fate is Fate.MEANINGLESS
    assert line_of(imported, "dataset_config").note == "read along: 1 data sets"
    assert any("10 epochs" in sentence for sentence in imported.missing)


def test_a_data_set_alone_leaves_the_training_at_the_defaults(tmp_path: Path) -> None:
    profile, imported = import_text(tmp_path, DATASETS, "dataset_config.toml")
    assert len(profile.dataset.sources) == 2
    assert (profile.optimizer.lr, profile.schedule.kind, profile.precision.compute) == (1e-4, "cosine", "bf16")
    assert any("base model" in sentence for sentence in imported.missing)


def test_a_data_set_named_beside_the_file(tmp_path: Path) -> None:
    data = tmp_path / "elsewhere" / "d.toml"
    data.parent.mkdir()
    data.write_text(DATASETS)
    config = SECTIONS + 'dataset_config = "D:/kohya/none.toml"\n'
    profile, imported = import_text(tmp_path, config)
    assert profile.dataset.sources[0].path == "/path/to/images"
    assert any("--dataset-config" in remark for remark in imported.remarks)
    profile, _ = import_text(tmp_path, config, dataset_config=data)
    assert profile.dataset.sources[0].path == "/content/cats"


def test_two_data_sets_become_one_and_what_differs_is_told(tmp_path: Path) -> None:
    second = '[[datasets]]\nresolution = 512\nbatch_size = 8\n[[datasets.subsets]]\nimage_dir = "/c"\nnum_repeats = 3\n'
    profile, imported = import_text(tmp_path, DATASETS + second, "d.toml")
    assert [source.repeats for source in profile.dataset.sources] == [10, 2, 3]
    assert (profile.dataset.resolution, profile.training.batch_size) == (1024, 3)
    assert line_of(imported, "datasets[2].batch_size").fate is Fate.UNSUPPORTED
    assert line_of(imported, "datasets[2].resolution").fate is Fate.UNSUPPORTED


def test_regularisation_masks_metadata_and_tokens_of_subsets(tmp_path: Path) -> None:
    text = """
masked_loss = true
prior_loss_weight = 0.5
[[datasets]]
resolution = 1024
[[datasets.subsets]]
image_dir = "/d/person"
class_tokens = "sks person"
conditioning_data_dir = "/d/masks"
[[datasets.subsets]]
image_dir = "/d/people"
is_reg = true
[[datasets.subsets]]
image_dir = "/d/more"
metadata_file = "/d/meta.json"
alpha_mask = true
"""
    profile, imported = import_text(tmp_path, text)
    person, people, more = profile.dataset.sources
    assert (person.mask_folder, person.trigger) == ("/d/masks", "sks person")
    assert (people.regularisation, people.prior_weight) == (True, 0.5)
    assert (more.metadata, more.alpha_mask) == ("/d/meta.json", True)
    assert line_of(imported, "datasets[1].subsets[1].class_tokens").is_warning
    assert any("regularisation images" in remark for remark in imported.remarks)


def test_nested_tables_of_lora_easy_training_scripts(tmp_path: Path) -> None:
    text = """
[[subsets]]
num_repeats = 5
keep_tokens = 1
shuffle_caption = true
image_dir = "F:/x/5_cat"
name = "cat"
[train_mode]
train_mode = "lora"
[general_args.args]
pretrained_model_name_or_path = "F:/sdxl.safetensors"
sdxl = true
max_train_steps = 900
[general_args.dataset_args]
resolution = 768
batch_size = 2
[network_args.args]
network_dim = 8
network_alpha = 4.0
[network_args.args.network_args]
algo = "lokr"
factor = "4"
conv_dim = 4
[optimizer_args.args]
optimizer_type = "AdamW8bit"
lr_scheduler = "cosine"
learning_rate = 1e-4
warmup_ratio = 0.05
[optimizer_args.args.optimizer_args]
weight_decay = "0.1"
betas = "0.9,0.99"
[bucket_args.dataset_args]
enable_bucket = true
"""
    profile, imported = import_text(tmp_path, text)
    assert (profile.dataset.resolution, profile.training.batch_size, profile.dataset.sources[0].repeats) == (768, 2, 5)
    assert (profile.network.kind, profile.network.lokr_factor, profile.network.conv_rank) == ("lokr", 4, 4)
    assert (profile.optimizer.weight_decay, profile.optimizer.beta2) == (0.1, 0.99)
    assert profile.schedule.warmup_share == 0.05
    assert not imported.of(Fate.UNKNOWN)


def test_the_guis_words(tmp_path: Path) -> None:
    noise = {"noise_offset": 0.1, "multires_noise_iterations": 8, "multires_noise_discount": 0.2}
    adaptive = {"optimizer": "Prodigy", "optimizer_args": "decouple=True weight_decay=0.5 betas=0.9,0.99"}
    rates = {"learning_rate": 1, "unet_lr": 1, "text_encoder_lr": 1, "lr_warmup": 10, "max_train_steps": 2000}
    network = {"LoRA_type": "LyCORIS/LoCon", "conv_dim": 8, "conv_alpha": 4, "LyCORIS_preset": "full"}
    texts = {"seed": "12345", "keep_tokens": "0", "clip_skip": "1", "max_token_length": "75", "xformers": "xformers"}
    further = {"additional_parameters": "--max_grad_norm=0 --network_dropout 0.1", "use_wandb": True}
    samples = {"sample_prompts": "a cat --w 768\na dog", "save_every_n_steps": 100}
    fields = noise | adaptive | rates | network | texts | further | samples
    profile, imported = import_gui(tmp_path, noise_offset_type="Multires", **fields)
    assert (profile.network.convolutions, profile.network.conv_rank, profile.network.conv_alpha) == (True, 8, 4.0)
    assert (profile.schedule.warmup_share, profile.training.steps, profile.training.seed) == (0.1, 2000, 12345)
    assert (profile.loss.noise_offset, profile.loss.multires_iterations) == (0.0, 8)
    assert (profile.optimizer.kind, profile.optimizer.weight_decay) == (OptimizerKind.PRODIGY, 0.5)
    assert (profile.training.max_grad_norm, profile.network.dropout) == (0.0, 0.1)
    assert (profile.logging.trackers, profile.samples.prompts) == (("wandb",), ("a cat --w 768", "a dog"))
    assert profile.checkpoints.every_steps == 100
    assert line_of(imported, "noise_offset").note == "noise_offset_type is Multires"


@pytest.mark.parametrize(
    ("unet", "text", "groups"),
    [
        (1e-4, 0, {"unet": 1e-4}),
        (0, 0, {"unet": 3e-4, "text_encoder_1": 3e-4, "text_encoder_2": 3e-4}),
        (0, 5e-5, {"text_encoder_1": 5e-5, "text_encoder_2": 5e-5}),
        (1e-4, 5e-5, {"unet": 1e-4, "text_encoder_1": 5e-5, "text_encoder_2": 5e-5}),
    ],
)
def test_the_guis_zero_is_no_rate(unet: float, text: float, groups: dict[str, float], tmp_path: Path) -> None:
    profile, _ = import_gui(tmp_path, learning_rate=3e-4, unet_lr=unet, text_encoder_lr=text)
    assert profile.base_lrs == groups


def test_what_a_type_does_not_have_is_not_taken(tmp_path: Path) -> None:
    profile, imported = import_gui(tmp_path, LoRA_type="Standard", conv_dim=8, conv_alpha=4, factor=6, use_cp=True)
    assert not profile.network.convolutions
    assert line_of(imported, "conv_dim").note == "not of LoRA_type Standard"
    _, other = import_gui(tmp_path, LoRA_type="LyCORIS/iA3")
    assert any("ia3" in line.note for line in other.of(Fate.UNSUPPORTED))


def test_a_file_for_a_whole_model_is_told_to_be_one(tmp_path: Path) -> None:
    _, gui = import_text(tmp_path, json.dumps({"max_resolution": "1024,1024", "learning_rate": 1e-5}), "finetune.json")
    assert any("whole model" in remark for remark in gui.remarks)
    _, flat = import_text(tmp_path, 'pretrained_model_name_or_path = "a/b"\nlearning_rate = 1e-5\n')
    assert any("whole model" in remark for remark in flat.remarks)


def test_types_and_fields_of_newer_guis(tmp_path: Path) -> None:
    profile, imported = import_gui(
        tmp_path, LoRA_type="Kohya LoKr", factor=8, conv_dim=4, conv_alpha=2, sd3_t5_dropout_rate=0.1
    )
    assert (profile.network.kind, profile.network.lokr_factor, profile.network.conv_rank) == ("lokr", 8, 4)
    assert line_of(imported, "sd3_t5_dropout_rate").fate is Fate.UNSUPPORTED


def test_a_flux_file_is_read_and_said_to_be_one(tmp_path: Path) -> None:
    _, imported = import_gui(
        tmp_path, LoRA_type="Flux1", sdxl=False, flux1_checkbox=True, t5xxl="H:/t5", guidance_scale=3.5
    )
    assert line_of(imported, "t5xxl").fate is Fate.UNSUPPORTED
    assert line_of(imported, "sdxl").is_warning


SHELL = r"""#!/bin/bash
set -euo pipefail
BASE="/models/base dir/sdxl.safetensors"
export DIM=32
# --network_dim=999
accelerate launch --num_cpu_threads_per_process 1 --num_processes=2 \
  sd-scripts/sdxl_train_network.py \
  --pretrained_model_name_or_path="$BASE" \
  --train_data_dir "${DATA:-/data/img}" \
  --network_module networks.lora --network_dim $DIM --network_alpha 16 \
  --network_args "conv_dim=8" "conv_alpha=4" \
  --text_encoder_lr 5e-5 1e-5 --unet_lr 1e-4 --learning_rate 1e-4 \
  --resolution=1024,1024 --enable_bucket --lr_scheduler cosine --lr_warmup_steps 0.05 \
  --max_train_step 1000 --mixed_precision bf16 --no_half_vae
"""
BATCH = r"""@echo off
rem train
set "NAME=my lora"
set RANK=64
venv\Scripts\python sdxl_train_network.py ^
  --pretrained_model_name_or_path C:\models\sd_xl_base_1.0.safetensors ^
  --train_data_dir "C:\data sets\cats" ^
  --output_name="%NAME%" --network_dim=%RANK% ^
  --network_alpha=%RANK% --network_train_unet_only ^
  --optimizer_args "weight_decay=0.1" "betas=0.9,0.99"^
  --resolution 1024 --max_train_steps=500
pause
"""


def test_a_shell_script_with_variables_and_abbreviations(tmp_path: Path) -> None:
    profile, imported = import_text(tmp_path, SHELL, "train.sh")
    assert profile.model.base == "/models/base dir/sdxl.safetensors"
    assert profile.dataset.sources[0].path == "/data/img"
    assert (profile.network.rank, profile.network.conv_rank, profile.network.conv_alpha) == (32, 8, 4.0)
    assert (profile.training.steps, profile.launch.processes) == (1000, 2)
    assert profile.base_lrs == {"unet": 1e-4, "text_encoder_1": 5e-5, "text_encoder_2": 1e-5}
    assert profile.schedule.warmup_share == 0.05
    assert not imported.of(Fate.UNKNOWN)


def test_a_batch_file_with_backslashes(tmp_path: Path) -> None:
    profile, imported = import_text(tmp_path, BATCH, "train.bat")
    assert r"C:\models\sd_xl_base_1.0.safetensors" in imported.text.replace("\\\\", "\\")
    assert (profile.name, profile.network.rank, profile.network.trains_text) == ("my-lora", 64, False)
    assert (profile.optimizer.weight_decay, profile.optimizer.beta2, profile.dataset.resolution) == (0.1, 0.99, 1024)
    assert any("not on this machine" in remark for remark in imported.remarks)


def test_a_command_line_goes_before_the_config_it_names(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(SECTIONS)
    command = "accelerate launch sdxl_train_network.py --config_file=./c.toml --unet_lr 2e-4 --max_train_steps 300"
    profile, imported = import_text(tmp_path, command, "run.txt")
    assert (profile.optimizer.unet_lr, profile.network.rank) == (2e-4, 16)
    assert line_of(imported, "c.toml: unet_lr").note == "the command line says otherwise"


def test_an_array_of_a_shell_and_a_script_of_powershell(tmp_path: Path) -> None:
    array = """args=(
    --pretrained_model_name_or_path=owner/sdxl
    --network_module="lycoris.kohya"
    --network_dim=100000
    --network_args
            "algo=lokr"
            "factor=8"
            "conv_dim=100000"
    --multires_noise_iterations=12
)
accelerate launch sdxl_train_network.py "${args[@]}"
"""
    profile, imported = import_text(tmp_path, array, "train.sh")
    assert (profile.network.kind, profile.network.lokr_factor, profile.network.rank) == ("lokr", 8, 1024)
    assert profile.loss.multires_iterations == 10
    assert not imported.of(Fate.UNKNOWN)
    power = """$pretrained_model = "./sd-models/model.safetensors" # the base
$lr = "2e-4"
if ($flip_aug) { [void]$ext_args.Add("--flip_aug") }
accelerate launch "./sd-scripts/sdxl_train_network.py" `
  --pretrained_model_name_or_path=$pretrained_model `
  --learning_rate=$lr --network_module=networks.lora
"""
    profile, imported = import_text(tmp_path, power, "train.ps1")
    assert (profile.optimizer.lr, imported.tables["model"]["base"]) == (2e-4, "./sd-models/model.safetensors")
    assert any("further options by itself" in remark for remark in imported.remarks)


def test_the_fields_that_lora_scripts_has_apart(tmp_path: Path) -> None:
    text = """
model_train_type = "sdxl-lora"
pretrained_model_name_or_path = "owner/sdxl"
network_module = "lycoris.kohya"
lycoris_algo = "locon"
conv_dim = 4
conv_alpha = 1
dropout = 0.1
network_args_custom = ["rank_dropout=0.2"]
optimizer_type = "AdamW8bit"
optimizer_args_custom = ["weight_decay=0.05"]
positive_prompts = "1girl"
negative_prompts = "lowres"
sample_width = 832
sample_every_n_steps = 50
"""
    profile, imported = import_text(tmp_path, text)
    network, samples = profile.network, profile.samples
    assert (network.conv_rank, network.conv_alpha, network.dropout, network.rank_dropout) == (4, 1.0, 0.1, 0.2)
    assert profile.optimizer.weight_decay == 0.05
    assert (samples.prompts, samples.negative, samples.width, samples.every_steps) == (("1girl",), "lowres", 832, 50)
    assert not imported.of(Fate.UNKNOWN)


def test_a_command_that_is_kept_in_a_variable_is_read(tmp_path: Path) -> None:
    file = tmp_path / "train.sh"
    file.write_text(
        'CKPT="/a b.safetensors"\nCMD="cd $KOHYA && $PYTHON sdxl_train_network.py \\\n'
        '  --pretrained_model_name_or_path $CKPT \\\n  --network_dim 24 --keep_tokens 1 --shuffle_caption"\neval "$CMD"\n'
    )
    imported = import_file(file)
    assert imported.tables["network"]["rank"] == 24
    assert imported.tables["captions"] == {"shuffle": True, "keep_tokens": 1}


@pytest.mark.parametrize(
    "order", [("lora_network_weights", "network_weights"), ("network_weights", "lora_network_weights")]
)
@pytest.mark.parametrize("values", [("", "x.safetensors"), ("x.safetensors", ""), ("", "")])
def test_of_two_fields_of_the_gui_for_one_option_none_vanishes(
    tmp_path: Path, order: tuple[str, str], values: tuple[str, str]
) -> None:
    file = tmp_path / "gui.json"
    fields = dict(zip(order, values, strict=True))
    file.write_text(json.dumps({"LoRA_type": "Standard", "network_dim": 8, "max_resolution": "1024,1024", **fields}))
    imported = import_file(file)
    assert set(order) <= {line.option for line in imported.lines}
    assert imported.tables["network"].get("start_from", "").endswith("x.safetensors") == any(values)


def test_of_two_trainings_the_last_one_is_read(tmp_path: Path) -> None:
    text = "python train_network.py --network_dim 4\npython sdxl_train_network.py --network_dim 8\n"
    profile, imported = import_text(tmp_path, text, "both.sh")
    assert profile.network.rank == 8
    assert any("2 trainings" in remark for remark in imported.remarks)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.toml", b"", "is empty"),
        ("a.toml", b"network_dim = = 4", "a.toml:1:"),
        ("a.json", b'{"network_dim": 4,\n "x" 5}', "a.json:2:6"),
        ("a.json", b"[1, 2]", "no object of settings"),
        ("a.json", b'{"img/1.png": {"caption": "x"}}', "no option of sd-scripts"),
        ("a.txt", b"\xff\xfe\x00\x01", "UTF-16"),
        ("a.txt", b"\x00\x01\x02", "is not a text"),
        ("a.txt", "é".encode("latin-1"), "is not UTF-8"),
        ("a.txt", b"hello world", "a.txt"),
        ("a.toml", b"x = 1\n", "no option of sd-scripts"),
        ("a.toml", b"#" * 2_000_000, "more than"),
        ("a.json", b"[" * 100_000, "a.json"),
    ],
)
def test_a_file_that_is_none_is_refused_in_words(name: str, content: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(UserError) as refused:
        import_file(file)
    assert says in str(refused.value)


def test_a_profile_and_the_config_of_another_trainer_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a profile already"):
        import_text(tmp_path, 'schema = 1\n[model]\nbase = "x"\n')
    other = {f"setting_{number}": number for number in range(8)} | {"learning_rate": 1e-4}
    _, imported = import_text(tmp_path, json.dumps(other), "other.json")
    assert any("is it one of its files?" in remark for remark in imported.remarks)


def test_folders_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder"):
        import_file(tmp_path)
    with pytest.raises(UserError, match="there is no such file"):
        import_file(tmp_path / "none.toml")


def test_the_text_is_short_and_says_where_it_came_from(tmp_path: Path) -> None:
    _, imported = import_text(tmp_path, json.dumps({"network_dim": 8}), "my.json")
    assert imported.text.startswith("# Imported from my.json")
    assert "batch_size" not in imported.text
    assert len(imported.text.splitlines()) < 40


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("sdxl_train_network.py", ""),
        ('"E:\\\\kohya\\\\train_network.py"', "Stable Diffusion 1 and 2"),
        ("./flux_train_network.py", "another family"),
        ("sdxl_train.py", "the whole model"),
        ("train_textual_inversion.py", "something else"),
    ],
)
def test_a_script_that_trains_something_else_is_told_of(tmp_path: Path, script: str, told: str) -> None:
    file = tmp_path / "train.sh"
    file.write_text(f"accelerate launch {script} --network_dim 8 --max_train_steps 10\n")
    found = [remark for remark in import_file(file).remarks if "look at base, rates and resolution" in remark]
    assert len(found) == bool(told)
    assert told in "".join(found)
