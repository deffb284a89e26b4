"""sd-scripts' module names follow from the UNet's configuration, whatever its depth."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from diffusers.loaders import lora_conversion_utils
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from engine.model.adapter import target_modules
from engine.model.lora_names import sd_scripts_names
from engine.profile.schema import Network


@st.composite
def unet_configs(draw: st.DrawFn) -> dict[str, Any]:
    """Configurations of SDXL's kind with any number of levels, layers and depths."""
    levels = draw(st.integers(2, 3))
    attends = [draw(st.booleans()) for _ in range(levels)]
    layers = draw(st.one_of(st.integers(1, 2), st.lists(st.integers(1, 2), min_size=levels, max_size=levels)))
    return {
        "down_block_types": ["CrossAttnDownBlock2D" if attention else "DownBlock2D" for attention in attends],
        "up_block_types": ["CrossAttnUpBlock2D" if attention else "UpBlock2D" for attention in reversed(attends)],
        "block_out_channels": [8] * levels,
        "norm_num_groups": 4,
        "attention_head_dim": 1,
        "cross_attention_dim": 8,
        "layers_per_block": layers,
        "transformer_layers_per_block": draw(st.lists(st.integers(1, 3), min_size=levels, max_size=levels)),
        "use_linear_projection": draw(st.booleans()),
    }


@given(unet_configs())
@settings(max_examples=15, deadline=None)
def test_every_module_of_the_unet_has_a_name_of_its_own(config: dict[str, Any]) -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(**config)
    names = sd_scripts_names(config)
    everything = Network(convolutions=True)
    unnamed_shortcuts = {name for name in names if name.endswith("conv_shortcut")} - set(
        target_modules(unet, everything)
    )
    assert set(names) - unnamed_shortcuts == set(target_modules(unet, everything))
    assert len(set(names.values())) == len(names)


@given(unet_configs().filter(lambda config: isinstance(config["layers_per_block"], int)))
@settings(max_examples=15, deadline=None)
def test_diffusers_finds_the_module_that_was_meant(config: dict[str, Any]) -> None:
    names = sd_scripts_names(config)
    for ours, theirs in names.items():
        if ".upsamplers." in ours and "CrossAttn" not in config["up_block_types"][int(ours.split(".")[1])]:
            continue  # diffusers expects a transformer before every upsampler, as in SDXL
        key = f"{theirs}.lora_down.weight"
        settings_ = SimpleNamespace(layers_per_block=config["layers_per_block"])
        (block,) = lora_conversion_utils._maybe_map_sgm_blocks_to_diffusers({key: None}, settings_)
        found = lora_conversion_utils._convert_unet_lora_key(block)
        # diffusers answers in its older attention-processor spelling.
        found = found.replace(".processor.to_out_lora", ".to_out.0.lora").replace(".processor.", ".")
        found = found.replace("_lora.", ".lora.")
        assert found.removesuffix(".lora.down.weight") == ours


def test_names_are_those_of_a_real_file(real_lora: Path) -> None:
    config = {
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "layers_per_block": 2,
        "transformer_layers_per_block": 1,
    }
    with safe_open(real_lora, framework="pt") as file:
        theirs = {key.partition(".")[0] for key in file.keys()}  # noqa: SIM118 — not a mapping
    attention = {name for ours, name in sd_scripts_names(config).items() if ".attentions." in ours}
    assert attention == theirs


def test_depths_may_differ_per_layer_and_the_middle_may_be_bare() -> None:
    config = {
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
        "block_out_channels": [8, 8],
        "norm_num_groups": 4,
        "attention_head_dim": 1,
        "cross_attention_dim": 8,
        "layers_per_block": 2,
        "transformer_layers_per_block": [1, [2, 1]],
        "reverse_transformer_layers_per_block": [[3, 1, 2], 1],
        "mid_block_type": None,
        "use_linear_projection": True,
    }
    with torch.device("meta"):
        unet = UNet2DConditionModel(**config)
    names = sd_scripts_names(config)
    assert {name for name in names if ".attentions." in name} == set(target_modules(unet))
    assert set(target_modules(unet, Network(convolutions=True))) <= set(names)
