"""The names of a full-size single file, on the meta device: every tensor has its place in diffusers' networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from engine.model.base_file import BaseFile
from engine.model.lora_names import sd_scripts_names
from engine.model.original_layout import TEXT_1, TEXT_2, UNET, VAE
from engine.model.original_weights import text_tensors, unet_names, vae_tensors
from engine.model.single_file import SingleFile, read_single_file
from tests.engine.model.full_size import full_size_shapes, write_hollow


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    extra = {f"{TEXT_1}embeddings.position_ids": (1, 77), f"{TEXT_2}logit_scale": ()}
    return write_hollow(tmp_path_factory.mktemp("full") / "sdxl.safetensors", full_size_shapes() | extra)


@pytest.fixture(scope="module")
def file(path: Path) -> SingleFile:
    return read_single_file(path)


def shapes(network: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def stored(file: SingleFile, part: str) -> dict[str, torch.Tensor]:
    return {name: torch.empty(file.header.tensors[name].shape, device="meta") for name in file.parts[part]}


def test_the_file_holds_as_many_tensors_as_the_published_one(file: SingleFile) -> None:
    assert len(file.header.tensors) == 2515
    assert [len(file.parts[part]) for part in (UNET, VAE, TEXT_1, TEXT_2)] == [1680, 248, 196, 389]
    assert file.size(UNET) == 2 * 2_567_463_684


def test_every_unet_tensor_has_its_place(file: SingleFile) -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(dict(file.configs.unet))
    names = unet_names(file.header, file.parts[UNET], file.configs.unet)
    assert len(set(names.values())) == len(names) == 1680
    assert {ours: file.header.tensors[theirs].shape for theirs, ours in names.items()} == shapes(unet)


def test_unet_names_agree_with_those_of_lora_files(file: SingleFile) -> None:
    """LoRA files have the same original names, worked out apart from diffusers' conversion."""
    originals = {ours: theirs for theirs, ours in unet_names(file.header, file.parts[UNET], file.configs.unet).items()}
    modules = sd_scripts_names(file.configs.unet)
    assert len(modules) >= 722
    for ours, theirs in modules.items():
        if f"{ours}.weight" not in originals:
            assert ours.endswith("conv_shortcut")  # named whether or not the block has one
            continue
        original = originals[f"{ours}.weight"].removeprefix(UNET).removesuffix(".weight")
        assert theirs == f"lora_unet_{original.replace('.', '_')}"


def test_every_vae_tensor_has_its_place(file: SingleFile) -> None:
    with torch.device("meta"):
        vae = AutoencoderKL.from_config(dict(file.configs.vae))
    renamed = vae_tensors(stored(file, VAE), file.configs.vae)
    assert {name: tuple(tensor.shape) for name, tensor in renamed.items()} == shapes(vae)


@pytest.mark.parametrize(
    ("kind", "part", "config", "parameters"),
    [
        (CLIPTextModel, TEXT_1, "text_encoder", 123_060_480),
        (CLIPTextModelWithProjection, TEXT_2, "text_encoder_2", 694_659_840),
    ],
)
def test_every_text_encoder_tensor_has_its_place(
    file: SingleFile, kind: Any, part: str, config: str, parameters: int
) -> None:
    with torch.device("meta"):
        encoder = kind(CLIPTextConfig(**getattr(file.configs, config)))
    found: dict[str, tuple[int, ...]] = {}
    for name, tensor in stored(file, part).items():
        for ours, renamed in text_tensors(encoder, name, tensor).items():
            assert ours not in found
            found[ours] = tuple(renamed.shape)
    assert found == shapes(encoder)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == parameters


def test_its_tokenizers_are_clip_s(path: Path) -> None:
    first, second = BaseFile(path).tokenizers()
    for tokenizer, pad in ((first, 49407), (second, 0)):
        assert len(tokenizer) == 49408
        ids = tokenizer("a photo of a cat", padding="max_length", max_length=77).input_ids
        assert ids == [49406, 320, 1125, 539, 320, 2368, 49407, *[pad] * 70]
    assert first.convert_ids_to_tokens([0, 255, 256, 511, 512, 49405]) == [
        "!",
        "Ń",
        "!</w>",
        "Ń</w>",
        "in",
        "jekyll</w>",
    ]
