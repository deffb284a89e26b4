"""What sd-scripts has words for is written in them, and every other field is named."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

from engine.foreign.sd_scripts.exported import Exported
from engine.foreign.sd_scripts.exporting import export_profile
from engine.foreign.sd_scripts.table import SD_SCRIPTS
from engine.profile.fields import OF_A_FILE, ProfileField, profile_fields
from engine.profile.load import parse_profile
from engine.profile.schema import Profile
from engine.profile.to_toml import toml_value

_WITH: Final[dict[str, dict[str, Any]]] = {
    "network.feed_forward_rank": {},
    "network.conv_rank": {"network.convolutions": True},
    "network.conv_alpha": {"network.convolutions": True},
    "network.text_encoder_rank": {"network.text_encoder": True},
    "network.text_encoder_alpha": {"network.text_encoder": True},
    "network.text_encoder_2_rank": {"network.text_encoder_2": True},
    "network.text_encoder_2_alpha": {"network.text_encoder_2": True},
    "network.lokr_factor": {"network.kind": "lokr"},
    "optimizer.text_encoder_lr": {"network.text_encoder": True},
    "optimizer.text_encoder_2_lr": {"network.text_encoder": True, "network.text_encoder_2": True},
    "optimizer.beta3": {"optimizer.kind": "prodigy", "optimizer.lr": 1.0},
    "optimizer.eps2": {"optimizer.kind": "came"},
    "optimizer.clip_threshold": {"optimizer.kind": "adafactor"},
    "optimizer.decay_rate": {"optimizer.kind": "adafactor"},
    **{
        key: {"optimizer.kind": "prodigy", "optimizer.lr": 1.0}
        for key in (
            "optimizer.d0",
            "optimizer.d_coef",
            "optimizer.growth_rate",
            "optimizer.bias_correction",
            "optimizer.safeguard_warmup",
        )
    },
    "schedule.cycles": {"schedule.kind": "cosine_with_restarts"},
    "schedule.cycle_growth": {"schedule.kind": "cosine_with_restarts"},
    "schedule.power": {"schedule.kind": "polynomial"},
    "schedule.timescale": {"schedule.kind": "inverse_sqrt"},
    "schedule.decay_share": {"schedule.kind": "warmup_stable_decay"},
    "schedule.decay_shape": {"schedule.kind": "warmup_stable_decay"},
    "schedule.rules": {"schedule.kind": "piecewise"},
    "schedule.rise_share": {"schedule.kind": "one_cycle"},
    "schedule.start_factor": {"schedule.kind": "one_cycle"},
    "schedule.tail_shape": {"schedule.tail_steps": 100, "schedule.tail_factor": 0.2},
    "schedule.tail_factor": {"schedule.tail_steps": 100},
    "schedule.tail_end": {"schedule.tail_steps": 100, "schedule.tail_shape": "linear", "schedule.tail_factor": 0.2},
    "captions.keep_tokens": {"captions.shuffle": True},
    "loss.delta": {"loss.kind": "huber"},
    "loss.delta_schedule": {"loss.kind": "huber"},
    "loss.delta_scale": {"loss.kind": "huber"},
    "loss.noise_offset_random": {"loss.noise_offset": 0.1},
    "loss.adaptive_noise_scale": {"loss.noise_offset": 0.1},
    "loss.multires_discount": {"loss.multires_iterations": 6},
    "loss.input_perturbation_random": {"loss.input_perturbation": 0.1},
    "loss.timestep_location": {"loss.timestep_distribution": "logit_normal"},
    "loss.timestep_scale": {"loss.timestep_distribution": "logit_normal"},
    "loss.scale_v_like_noise": {"loss.prediction": "v_prediction"},
    "loss.zero_terminal_snr": {"loss.prediction": "v_prediction"},
    **{key: {"ema.decay": 0.99} for key in ("ema.warmup", "ema.samples", "ema.validation", "ema.deliverable")},
    "training.nonfinite_limit": {"training.on_nonfinite": "skip"},
    **{
        key: {"samples.prompts": ["a cat"]}
        for key in [
            f"samples.{name}"
            for name in ("negative", "every_steps", "at_start", "sampler", "steps", "guidance", "width", "height")
        ]
    },
    "samples.guidance_rescale": {"samples.prompts": ["a cat"]},
    "samples.seed": {"samples.prompts": ["a cat"]},
    "validation.every_steps": {"validation.share": 0.1},
    "validation.seed": {"validation.share": 0.1},
    "logging.project": {"logging.trackers": ["wandb"]},
    "checkpoints.keep_every_steps": {"checkpoints.keep_last": 2},
    "checkpoints.keep_best": {"checkpoints.keep_last": 2, "validation.share": 0.1},
}
"""What must be set beside a field, so that it counts."""
_VALUES: Final[dict[str, Any]] = {
    "model.base": "/m/other.safetensors",
    "name": "other",
    "checkpoints.keep_last": 5,
    "checkpoints.keep_every_steps": 500,
    "dataset.bucket_min": 128,
    "dataset.resolution": 512,
    "captions.max_tokens": 150,
    "captions.keep_separator": "@@",
    "captions.separator": ";",
    "optimizer.growth_rate": 1.5,
    "schedule.rules": "0:1, 10:0.5",
    "schedule.warmup_share": 0.1,
    "schedule.start_factor": 0.2,
    "schedule.rise_share": 0.4,
    "schedule.decay_shape": "sqrt",
    "schedule.cycle_growth": 2.0,
    "samples.prompts": ["a cat"],
    "logging.trackers": ["wandb"],
    "launch.device": "cpu",
    "loss.prediction": "v_prediction",
    "loss.zero_terminal_snr": "on",
    "loss.timestep_distribution": "mode",
    "validation.folders": ["/v"],
    "optimizer.kind": "lion",
    "schedule.kind": "linear",
}
_SAME: Final = {"schema", "loss.v_like_share"}
"""One value only; or tested below."""


def profile_with(**values: Any) -> Profile:
    tables: dict[str, dict[str, Any]] = {}
    merged = {"model.base": "/m/base.safetensors"} | values
    for path, value in merged.items():
        section, _, name = path.rpartition(".")
        tables.setdefault(section, {})[name] = value
    lines = [f"{name} = {toml_value(value)}" for name, value in tables.pop("", {}).items()]
    for section, table in tables.items():
        lines += [f"[{section}]", *(f"{name} = {toml_value(value)}" for name, value in table.items())]
    lines += ["[[dataset.sources]]", 'path = "/d/cats"']
    return parse_profile("\n".join(lines), folder=Path("/")).profile


def another_value(field: ProfileField) -> Any:
    if field.path in _VALUES:
        return _VALUES[field.path]
    match field.kind:
        case "bool":
            return not field.default
        case "int":
            step = field.multiple_of or 1
            return int(field.default or field.minimum or 0) // step * step + step
        case "float":
            return (field.default or 0.1) / 2 if field.path != "schedule.power" else 2.0
        case "choice":
            return next(choice for choice in field.choices if choice != field.default)
        case _:
            return "/x/y"


def files_of(exported: Exported) -> tuple[str, str, tuple[str, ...]]:
    return str(sorted(exported.options.items())), exported.dataset_text("p"), exported.prompts


@pytest.mark.parametrize(
    "field",
    [field for field in profile_fields() if field.kind != "tables" and field.path not in (*_SAME, *OF_A_FILE)],
    ids=lambda field: field.path,
)
def test_a_field_that_is_changed_changes_the_files_or_is_named(field: ProfileField) -> None:
    beside = _WITH.get(field.path, {})
    value = another_value(field)
    before = export_profile(profile_with(**beside) if field.path != "schedule.rules" else profile_with())
    exported = export_profile(profile_with(**(beside | {field.path: value})))
    named = {line.field: line for line in exported.left_out}
    assert files_of(exported) != files_of(before) or field.path in named
    if field.path in named:
        assert len(named[field.path].why) > 10


def test_every_option_that_is_written_is_one_of_sd_scripts() -> None:
    exported = export_profile(
        profile_with(**{"samples.prompts": ["a cat"], "loss.v_like_share": 0.5, "precision.base": "fp8"})
    )
    assert set(exported.options) <= set(SD_SCRIPTS)
    assert exported.options["v_pred_like_loss"] == 0.5
    for dataset in exported.datasets:
        assert {*dataset, *(name for subset in dataset["subsets"] for name in subset)} - {"subsets"} <= set(SD_SCRIPTS)


def test_the_files_are_toml_and_name_what_is_left_out() -> None:
    exported = export_profile(profile_with(**{"ema.decay": 0.999, "schedule.kind": "rex", "network.dora": True}))
    text = exported.config_text("p", {"dataset_config": "/x/d.toml"})
    config = tomllib.loads(text)
    assert (config["lr_scheduler"], config["network_module"], config["dataset_config"]) == (
        "cosine",
        "lycoris.kohya",
        "/x/d.toml",
    )
    assert "# Not expressed: ema.decay = 0.999: it keeps no average of the weights" in text
    assert "# Not expressed: schedule.kind" in text
    data = tomllib.loads(exported.dataset_text("p"))
    assert data["datasets"][0]["subsets"] == [{"image_dir": "/d/cats", "num_repeats": 1, "caption_extension": ".txt"}]


def test_kinds_of_folders_that_do_not_mix_become_data_sets_of_their_own() -> None:
    text = """
[model]
base = "owner/sdxl"
[[dataset.sources]]
path = "/a"
trigger = "cat"
[[dataset.sources]]
path = "/b"
mask_folder = "/masks"
[[dataset.sources]]
path = "/c"
metadata = "/c.json"
"""
    exported = export_profile(parse_profile(text, folder=Path("/")).profile)
    assert [len(dataset["subsets"]) for dataset in exported.datasets] == [1, 1, 1]
    assert exported.options["masked_loss"] is True
    assert exported.options["pretrained_model_name_or_path"] == "owner/sdxl"
    assert any(line.field == "dataset.sources[0].trigger" for line in exported.left_out)
