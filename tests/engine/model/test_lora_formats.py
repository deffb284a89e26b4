"""A LoRA goes through every format and comes back the same; diffusers and peft make of each file the model that was trained."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from diffusers import StableDiffusionXLPipeline
from diffusers.loaders import lora_conversion_utils
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftModel
from safetensors import safe_open
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from engine.model.adapter import Adapter
from engine.model.base import BaseFolder
from engine.model.conditioning import encode_prompts
from engine.model.errors import AdapterError
from engine.model.lora_file import write_lora
from engine.model.lora_names import SDXL_TEXT_LAYERS, SDXL_UNET, sd_scripts_names
from engine.model.lora_read import read_lora
from engine.model.lora_tensors import DOWN, LOHA, MAGNITUDE, UP
from engine.model.lora_weights import LoraWeights, ModuleWeights, delta
from engine.model.open_base import names_of
from engine.model.peft_file import write_diffusers, write_peft
from engine.model.targets import text_targets, unet_targets
from engine.profile.schema import Network
from tests.engine.model.test_adapter import SDXL
from tests.engine.model.test_adapter_kinds import KINDS, everywhere

NAMES = sd_scripts_names(SDXL_UNET, SDXL_TEXT_LAYERS)
EVERYTHING = Network(convolutions=True, text_encoder=True, text_encoder_2=True)


@st.composite
def adapters(draw: st.DrawFn) -> LoraWeights:
    """Some modules of SDXL with ranks, alphas and shapes of their own, some of them DoRA."""
    found: LoraWeights = {}
    is_dora = draw(st.booleans())
    for module in draw(st.lists(st.sampled_from(sorted(NAMES)), min_size=1, max_size=6, unique=True)):
        rank, out, inputs = draw(st.integers(1, 4)), draw(st.integers(1, 5)), draw(st.integers(1, 5))
        kernel = (3, 3) if module.endswith(("conv1", "conv2", ".conv")) else ()
        tensors = {
            DOWN: torch.randn(rank, inputs, *kernel),
            UP: torch.randn(out, rank, *[1] * len(kernel)),
        }
        if is_dora:
            tensors[MAGNITUDE] = torch.rand(out) + 0.5
        found[module] = ModuleWeights(tensors, draw(st.floats(0.25, 64)))
    return found


def assert_same_effect(one: LoraWeights, other: LoraWeights) -> None:
    assert one.keys() == other.keys()
    for module, own in one.items():
        largest = float(delta(own).abs().max())
        torch.testing.assert_close(delta(own), delta(other[module]), rtol=1e-4, atol=1e-5 * largest + 1e-12)
        assert own.rank == other[module].rank
        if own.is_dora:
            torch.testing.assert_close(
                own.tensors[MAGNITUDE].flatten(), other[module].tensors[MAGNITUDE].flatten(), rtol=0, atol=0
            )


@settings(max_examples=25, deadline=None)
@given(adapters())
def test_every_format_gives_back_what_was_written(weights: LoraWeights) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file, single, parts = Path(folder) / "a.safetensors", Path(folder) / "b.safetensors", Path(folder) / "peft"
        write_lora(file, weights, names=NAMES, metadata={})
        write_diffusers(single, weights, metadata={"ss_steps": "7"})
        write_peft(parts, weights, metadata={})
        read = read_lora(file)
        for module, own in read.weights.items():
            assert all(
                torch.equal(own.tensors[name].flatten(), tensor.flatten())
                for name, tensor in weights[module].tensors.items()
            )
        for found in (read, read_lora(single), read_lora(parts)):
            assert_same_effect(found.weights, weights)
        assert read_lora(single).metadata["ss_steps"] == "7"


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(["loha", "lokr", "lokr-full"]), st.floats(0.5, 8))
def test_loha_and_lokr_keep_lycoris_layout(kind: str, alpha: float) -> None:
    module = "mid_block.attentions.0.proj_in"
    shapes = {"lokr_w1": (2, 2), "lokr_w2_a": (3, 2), "lokr_w2_b": (2, 5)}
    if kind == "loha":
        shapes = dict(zip(LOHA, [(6, 2), (2, 8), (6, 2), (2, 8)], strict=True))
    elif kind == "lokr-full":
        shapes = {"lokr_w1": (2, 2), "lokr_w2": (3, 5)}
    weights = {module: ModuleWeights({name: torch.randn(shape) for name, shape in shapes.items()}, alpha)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.safetensors"
        write_lora(file, weights, names=NAMES, metadata={})
        with safe_open(file, framework="pt") as opened:
            keys = set(opened.keys())
        assert keys == {f"lora_unet_middle_block_1_proj_in.{name}" for name in (*shapes, "alpha")}
        assert_same_effect(read_lora(file).weights, weights)
        with pytest.raises(AdapterError, match="diffusers and peft"):
            write_diffusers(file, weights, metadata={})


def test_full_size_has_the_986_modules_of_sd_scripts_and_66_more_with_convolutions() -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(**SDXL)
        first = CLIPTextModel(CLIPTextConfig(num_hidden_layers=12, num_attention_heads=12, hidden_size=768))
        second = CLIPTextModelWithProjection(
            CLIPTextConfig(num_hidden_layers=32, num_attention_heads=20, hidden_size=1280)
        )
    text = [
        *text_targets(first, EVERYTHING, "text_encoder_1"),
        *text_targets(second, EVERYTHING, "text_encoder_2"),
    ]
    linear = [*unet_targets(unet, Network()), *text]
    assert (len(text), len(linear)) == (264, 986)
    everything = [target.name for target in (*unet_targets(unet, EVERYTHING), *text)]
    assert len(everything) == 1052
    theirs = {NAMES[name] for name in everything}
    assert len(theirs) == 1052
    assert sum(name.startswith("lora_te1_text_model_encoder_layers_") for name in theirs) == 72
    assert "lora_unet_output_blocks_2_2_conv" in theirs
    assert "lora_unet_input_blocks_3_0_op" in theirs
    assert "lora_unet_input_blocks_4_0_emb_layers_1" in theirs
    assert diffusers_modules(theirs) == set(everything)


def diffusers_modules(theirs: set[str]) -> set[str]:
    """The modules that diffusers' own conversion finds for keys of sd-scripts', under our names."""
    state = {f"{name}.{half}.weight": torch.zeros(()) for name in theirs for half in ("lora_down", "lora_up")}
    mapped = lora_conversion_utils._maybe_map_sgm_blocks_to_diffusers(state, _Layers())
    converted, _ = lora_conversion_utils._convert_non_diffusers_lora_to_diffusers(mapped)
    found = set()
    for key in converted:
        name = key.replace(".processor.", ".").replace("_lora.", ".lora.").replace(".lora_linear_layer.", ".lora.")
        component, _, module = name.partition(".lora.")[0].partition(".")
        if component == "unet":
            found.add(f"{module}.0" if module.endswith(".to_out") else module)
        else:
            for short, long in (("to_q", "q_proj"), ("to_k", "k_proj"), ("to_v", "v_proj"), ("to_out", "out_proj")):
                module = module.removesuffix(short) + long if module.endswith(f".{short}") else module
            found.add(f"{'text_encoder_1' if component == 'text_encoder' else component}.{module}")
    return found


class _Layers:
    layers_per_block = 2


# diffusers does not bring LyCORIS' dora_scale, (out, 1), into peft's form: a DoRA is exported for it.
@pytest.mark.parametrize(
    ("kind", "form"),
    [("locon", "sd-scripts"), ("rank-stabilised", "sd-scripts"), ("locon", "diffusers"), ("dora", "diffusers")],
)
def test_diffusers_makes_the_same_unet_and_encoders_of_it(
    base: BaseFolder, predict: Callable[[Any], Tensor], tmp_path: Path, kind: str, form: str
) -> None:
    adapter = everywhere(base, **KINDS[kind])
    file = tmp_path / "lora.safetensors"
    if form == "sd-scripts":
        write_lora(file, adapter.weights(), names=names_of(base), metadata={"ss_network_module": "networks.lora"})
    else:
        write_diffusers(file, adapter.weights(), metadata={})
    pipeline = StableDiffusionXLPipeline.from_pretrained(base.path, local_files_only=True)
    captions = ["a red zorb in a meadow", "snow"]
    with torch.no_grad():
        plain = encoded(base, (pipeline.text_encoder, pipeline.text_encoder_2), captions)
        pipeline.load_lora_weights(tmp_path, weight_name=file.name, local_files_only=True)
        torch.testing.assert_close(predict(pipeline.unet), predict(adapter.unet.eval()), rtol=1e-3, atol=1e-4)
        loaded = encoded(base, (pipeline.text_encoder, pipeline.text_encoder_2), captions)
        trained = encoded(base, encoders_of(adapter), captions)
    for one, other, before in zip(loaded, trained, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
        assert (one - before).abs().max() > 1e-3


def encoders_of(adapter: Adapter) -> tuple[Any, Any]:
    return adapter.models["text_encoder_1"].eval(), adapter.models["text_encoder_2"].eval()


def encoded(base: BaseFolder, encoders: tuple[Any, Any], captions: list[str]) -> tuple[Tensor, Tensor]:
    return encode_prompts(base.tokenizers(), encoders, captions)


def test_peft_opens_the_folder_of_each_component(
    base: BaseFolder, predict: Callable[[Any], Tensor], tmp_path: Path
) -> None:
    adapter = everywhere(base, **KINDS["locon"])
    write_peft(tmp_path, adapter.weights(), metadata={})
    unet: Any = PeftModel.from_pretrained(base.unet(), str(tmp_path / "unet"))
    # In float64: these weights, as large as no training makes them, would magnify the rounding of float32.
    with torch.no_grad():
        theirs, ours = predict(unet.base_model.model.double()), predict(adapter.unet.eval().double())
    torch.testing.assert_close(theirs, ours, rtol=1e-6, atol=1e-7)


def test_hashes_are_those_of_additional_networks(tmp_path: Path) -> None:
    module = "mid_block.attentions.0.proj_in"
    weights = {module: ModuleWeights({DOWN: torch.randn(64, 4000), UP: torch.randn(4000, 64)}, 64.0)}
    metadata = {"ss_output_name": 'ä„ "quoted"', "ss_steps": "20", "modelspec.title": "left out of the legacy hash"}
    file = tmp_path / "lora.safetensors"
    write_lora(file, weights, names=NAMES, metadata=metadata)
    with safe_open(file, framework="pt") as opened:
        found, tensors = dict(opened.metadata()), {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    plain = safetensors.torch.save(tensors, {name: value for name, value in metadata.items() if name.startswith("ss_")})
    assert len(plain) > 0x110000
    assert found["sshs_legacy_hash"] == hashlib.sha256(plain[0x100000:0x110000]).hexdigest()[:8]
    start = 8 + int.from_bytes(plain[:8], "little")
    assert found["sshs_model_hash"] == hashlib.sha256(plain[start:]).hexdigest()


def test_older_names_of_diffusers_are_read(tmp_path: Path) -> None:
    down, up = torch.randn(2, 4), torch.randn(3, 2)
    block = "unet.mid_block.attentions.0.transformer_blocks.0.attn1"
    layer = "text_encoder.text_model.encoder.layers.3"
    halves = {"down.weight": down, "up.weight": up}
    tensors = {f"{block}.processor.to_out_lora.{half}": tensor.clone() for half, tensor in halves.items()}
    tensors |= {f"{layer}.self_attn.to_q_lora.{half}": tensor.clone() for half, tensor in halves.items()}
    tensors |= {f"{layer}.mlp.fc1.lora_linear_layer.{half}": tensor.clone() for half, tensor in halves.items()}
    tensors[f"{block}.to_out.0.alpha"] = torch.tensor(1.0)
    file = tmp_path / "old.safetensors"
    safetensors.torch.save_file(tensors, file)
    read = read_lora(file).weights
    assert {module: own.scale for module, own in read.items()} == {
        "mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0": 0.5,
        "text_encoder_1.text_model.encoder.layers.3.self_attn.q_proj": 1.0,
        "text_encoder_1.text_model.encoder.layers.3.mlp.fc1": 1.0,
    }


def test_numbered_as_in_diffusers_is_read_too(tmp_path: Path) -> None:
    name = "lora_unet_down_blocks_1_attentions_0_proj_in"
    file = tmp_path / "some.safetensors"
    tensors = {f"{name}.lora_down.weight": torch.zeros(2, 4), f"{name}.lora_up.weight": torch.zeros(3, 2)}
    safetensors.torch.save_file(tensors, file)
    assert list(read_lora(file).weights) == ["down_blocks.1.attentions.0.proj_in"]
