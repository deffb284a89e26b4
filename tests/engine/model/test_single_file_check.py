"""What is no SDXL base in one file is refused with one line that says what it is instead."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.model.errors import ModelError
from engine.model.original_layout import TEXT_1, TEXT_2, UNET, VAE, UNetDimensions
from engine.model.safetensors_header import read_header
from engine.model.single_file import read_single_file
from tests.engine.model.full_size import full_size_shapes, write_hollow

Shapes = dict[str, tuple[int, ...]]
FULL = full_size_shapes()


def without(*starts: str) -> Shapes:
    return {name: shape for name, shape in FULL.items() if not name.startswith(starts)}


def stable_diffusion_1() -> Shapes:
    unet = {name: shape for name, shape in FULL.items() if name.startswith(UNET) and "label_emb" not in name}
    return unet | {"cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": (49408, 768)}


def refiner() -> Shapes:
    return without(TEXT_1, TEXT_2) | {"conditioner.embedders.0.model.positional_embedding": (77, 1280)}


def one_level_fewer() -> Shapes:
    smaller = UNetDimensions((320, 640, 1280), (0, 2, 4), blocks=2, context=2048, added=2816).tensors()
    pruned = {UNET + name: shape for name, shape in smaller.items() if not name.startswith("middle_block.1.")}
    return pruned | without(UNET)


KINDS: dict[str, tuple[Callable[[], Shapes], str]] = {
    "a LoRA": (lambda: {"lora_unet_mid_block_attentions_0_proj_in.lora_down.weight": (4, 8)}, "this is a LoRA"),
    "a peft LoRA": (lambda: {"unet.mid_block.attentions.0.proj_in.lora_A.weight": (4, 8)}, "this is a LoRA"),
    "a VAE": (lambda: without(UNET, TEXT_1, TEXT_2), "this is a VAE"),
    "a bare VAE": (lambda: {n.removeprefix(VAE): s for n, s in without(UNET, TEXT_1, TEXT_2).items()}, "this is a VAE"),
    "SD 1.5": (stable_diffusion_1, "Stable Diffusion 1 model"),
    "SD 2": (lambda: {"cond_stage_model.model.ln_final.bias": (1024,)}, "Stable Diffusion 2 model"),
    "SD 3": (lambda: {f"{UNET}joint_blocks.0.x_block.mlp.fc1.bias": (6144,)}, "Stable Diffusion 3 model"),
    "Flux": (lambda: {"double_blocks.0.img_attn.proj.bias": (3072,)}, "Flux model"),
    "a ControlNet": (lambda: {"control_model.input_blocks.0.0.bias": (320,)}, "ControlNet"),
    "inpainting": (lambda: FULL | {f"{UNET}input_blocks.0.0.weight": (320, 9, 3, 3)}, "inpainting model"),
    "editing": (lambda: FULL | {f"{UNET}input_blocks.0.0.weight": (320, 8, 3, 3)}, "editing model"),
    "a refiner": (refiner, "SDXL refiner"),
    "EDM": (lambda: FULL | {"edm_vpred.sigma_max": ()}, "EDM"),
    "a diffusers UNet": (lambda: {"down_blocks.0.resnets.0.conv1.weight": (320, 320, 3, 3)}, "UNet alone"),
    "an original UNet": (lambda: without(TEXT_1, TEXT_2, VAE), "UNet alone, without text encoders"),
    "no second encoder": (lambda: without(TEXT_2), "lacks the second text encoder"),
    "no VAE": (lambda: without(VAE), "has no VAE"),
    "something else": (lambda: {"weight": (3, 3)}, "no model.diffusion_model"),
    "nothing": (dict, "no tensors"),
    "a lost tensor": (lambda: without(f"{UNET}middle_block.1.proj_in.bias"), "middle_block.1.proj_in.bias is missing"),
    "a pruned SDXL": (one_level_fewer, r"another UNet than SDXL: middle_block\.1\.norm\.weight is missing \(and "),
    "a strange shape": (
        lambda: FULL | {f"{VAE}encoder.conv_in.bias": (64,)},
        r"encoder\.conv_in\.bias is \[64\], not \[128\]",
    ),
    "an unknown tensor": (lambda: FULL | {f"{UNET}adapter.weight": (4, 4)}, "adapter.weight is unknown"),
    "a longer vocabulary": (
        lambda: (
            FULL
            | {
                f"{TEXT_1}embeddings.token_embedding.weight": (50000, 768),
                f"{TEXT_2}token_embedding.weight": (50000, 1280),
            }
        ),
        "for 50,000 tokens, but CLIP's vocabulary has 49,408",
    ),
    "another context": (
        lambda: (
            FULL
            | {
                name: (s[0], 768)
                for name, s in FULL.items()
                if name.endswith(("attn2.to_k.weight", "attn2.to_v.weight"))
            }
        ),
        r"UNet for a text 768 wide, its text encoders give 768 \+ 1280",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_another_kind_of_file_is_named(tmp_path: Path, kind: str) -> None:
    shapes, message = KINDS[kind]
    file = write_hollow(tmp_path / "model.safetensors", shapes())
    with pytest.raises(ModelError, match=message) as caught:
        read_single_file(file)
    assert caught.value.where == str(file)
    assert caught.value.hint


def test_a_file_without_vae_will_do_beside_a_separate_one(tmp_path: Path) -> None:
    file = read_single_file(write_hollow(tmp_path / "m.safetensors", without(VAE)), needs_vae=False)
    assert file.configs.vae == {}
    assert file.size(VAE) == 0


def test_an_unknown_prediction_is_refused(tmp_path: Path) -> None:
    file = write_hollow(tmp_path / "m.safetensors", FULL, {"modelspec.prediction_type": "x0"})
    with pytest.raises(ModelError, match="predicts 'x0'"):
        read_single_file(file)


FOREIGN: dict[str, tuple[bytes, str]] = {
    "a zipped pickle": (b"PK\x03\x04" + bytes(100), r"pickle \(\.ckpt, \.pt\), which may hold code"),
    "an old pickle": (b"\x80\x02}q\x00" + bytes(100), "pickle"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1", "Git LFS pointer"),
    "GGUF": (b"GGUF\x03" + bytes(100), "GGUF"),
    "a web page": (b"<!DOCTYPE html><html></html>", "web page"),
    "text": (b"hello, this is only a few words", "no safetensors file"),
    "nothing": (b"", "no safetensors file"),
    "a few bytes": (b"\x01\x02", "no safetensors file"),
    "a list": ((2).to_bytes(8, "little") + b"[]", "no safetensors file"),
    "a broken header": ((4).to_bytes(8, "little") + b'{"a"', "no safetensors file"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_another_format_is_named(tmp_path: Path, kind: str) -> None:
    data, message = FOREIGN[kind]
    file = tmp_path / "model.safetensors"
    file.write_bytes(data)
    with pytest.raises(ModelError, match=message) as caught:
        read_header(file)
    assert caught.value.where == str(file)


@pytest.mark.parametrize("change", [{"shape": [3]}, {"data_offsets": [-8, 8]}, {"data_offsets": [0]}, {"dtype": None}])
def test_a_header_that_contradicts_itself_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} | change
    header = json.dumps({"a": entry, "b": None if change == {"dtype": None} else {**entry}}).encode()
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(16))
    with pytest.raises(ModelError, match="no safetensors file, or a damaged one"):
        read_header(file)


def test_a_broken_download_is_found_before_loading(tmp_path: Path) -> None:
    file = write_hollow(tmp_path / "m.safetensors", FULL)
    with file.open("rb+") as stream:
        stream.truncate(5_000_000_000)
    with pytest.raises(
        ModelError, match=r"holds 5,000,000,000 bytes, its header describes 6,938,\d{3},\d{3}: it is cut short"
    ):
        read_single_file(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No such file"):
        read_header(tmp_path / "no.safetensors")
