"""A single file in the original layout is the same base as the folder it was made from, and needs nothing beside it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.model.base import BaseFolder
from engine.model.base_file import BaseFile
from engine.model.encoders import BaseEncoders
from engine.model.errors import ModelError
from engine.model.open_base import open_base
from tests.engine.model.original_file import write_original


@pytest.fixture(scope="module")
def file(base: BaseFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled base as a single file, alone in its folder."""
    return write_original(base, tmp_path_factory.mktemp("single") / "model.safetensors")


@pytest.fixture(scope="module")
def single(file: Path) -> BaseFile:
    opened = open_base(str(file))
    assert isinstance(opened, BaseFile)
    return opened


def assert_same(one: Any, other: Any) -> None:
    ours, theirs = one.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert tensor.dtype == theirs[name].dtype
        assert torch.equal(tensor, theirs[name]), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_every_network_is_the_folder_s(base: BaseFolder, single: BaseFile, dtype: torch.dtype) -> None:
    assert_same(single.unet(dtype), base.unet(dtype))
    for ours, theirs in zip(single.text_encoders(dtype), base.text_encoders(dtype), strict=True):
        assert_same(ours, theirs)
    assert_same(single.vae(), base.vae())


def test_networks_are_frozen_and_compute_what_the_folder_s_do(
    base: BaseFolder, single: BaseFile, predict: Callable[[Any], Tensor]
) -> None:
    unet = single.unet()
    assert torch.equal(predict(unet), predict(base.unet()))
    for network in (unet, single.vae(), *single.text_encoders()):
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())
    ours, theirs = BaseEncoders(single), BaseEncoders(base)
    pixels = torch.rand(1, 3, 64, 48) * 2 - 1
    assert torch.equal(ours.encode_images(pixels), theirs.encode_images(pixels))
    for one, other in zip(ours.encode_captions(["a red fox"]), theirs.encode_captions(["a red fox"]), strict=True):
        assert torch.equal(one, other)


def test_configurations_say_what_the_folder_s_say(base: BaseFolder, single: BaseFile) -> None:
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        assert getattr(single.configs, part) == getattr(base.configs, part)
    assert torch.equal(single.noise_scheduler().alphas_cumprod, base.noise_scheduler().alphas_cumprod)
    assert single.unet_bytes == base.unet_bytes - _header_size(base.path / "unet/diffusion_pytorch_model.safetensors")


def _header_size(path: Path) -> int:
    with path.open("rb") as stream:
        return 8 + int.from_bytes(stream.read(8), "little")


def test_loading_opens_no_connection(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    single = BaseFile(file)
    single.unet()
    single.vae()
    single.text_encoders()
    single.tokenizers()


def test_a_part_reads_no_other_part(file: Path, tmp_path: Path) -> None:
    """The UNet loads from a file in which everything else is a hole: nothing else was looked at."""
    whole = BaseFile(file)
    data = bytearray(file.read_bytes())
    header = whole._file.header
    for name, entry in header.tensors.items():
        if not name.startswith("model.diffusion_model."):
            data[entry.start : entry.end] = b"\xff" * (entry.end - entry.start)
    hollow = tmp_path / "hollow.safetensors"
    hollow.write_bytes(data)
    assert_same(BaseFile(hollow).unet(), whole.unet())


def test_the_key_of_a_part_follows_its_weights_alone(base: BaseFolder, single: BaseFile, tmp_path: Path) -> None:
    renamed = BaseFile(write_original(base, tmp_path / "other name.safetensors", metadata={"modelspec.title": "x"}))
    assert (renamed.vae_key, renamed.text_key, renamed.digest) == (single.vae_key, single.text_key, single.digest)

    name = "first_stage_model.decoder.conv_out.bias"
    changed = BaseFile(write_original(base, tmp_path / "vae.safetensors", {name: torch.ones(3, dtype=torch.half)}))
    assert changed.vae_key != single.vae_key
    assert changed.text_key == single.text_key
    assert changed.digest != single.digest

    velocity = BaseFile(write_original(base, tmp_path / "v.safetensors", {"v_pred": torch.tensor([])}))
    assert (velocity.vae_key, velocity.text_key) == (single.vae_key, single.text_key)
    assert velocity.digest != single.digest


PREDICTIONS: list[tuple[dict[str, str], tuple[str, ...], str, bool, str]] = [
    ({}, (), "epsilon", False, "nothing in the file"),
    ({"modelspec.prediction_type": "epsilon"}, (), "epsilon", False, "modelspec.prediction_type"),
    ({"modelspec.prediction_type": "v"}, (), "v_prediction", False, "modelspec.prediction_type"),
    ({"modelspec.prediction_type": "v"}, ("ztsnr",), "v_prediction", True, "modelspec.prediction_type"),
    ({}, ("v_pred",), "v_prediction", False, "tensor v_pred"),
    ({}, ("v_pred", "ztsnr"), "v_prediction", True, "tensor v_pred"),
    ({"modelspec.prediction_type": "epsilon"}, ("v_pred",), "v_prediction", False, "tensor v_pred"),
]


@pytest.mark.parametrize(("metadata", "markers", "kind", "terminal", "source"), PREDICTIONS)
def test_the_prediction_is_told_by_metadata_or_marker_tensors(  # noqa: PLR0917
    base: BaseFolder,
    tmp_path: Path,
    metadata: dict[str, str],
    markers: tuple[str, ...],
    kind: str,
    terminal: bool,
    source: str,
) -> None:
    tensors: dict[str, Tensor | None] = {marker: torch.tensor([]) for marker in markers}
    single = BaseFile(write_original(base, tmp_path / "m.safetensors", tensors, metadata=metadata))
    assert (single.prediction.type, single.prediction.zero_terminal_snr) == (kind, terminal)
    assert source in single.prediction.source
    assert single.noise_scheduler().config.prediction_type == kind
    assert (single.noise_scheduler().alphas_cumprod[-1] == 0) == terminal


def test_weights_in_eight_bits_load(base: BaseFolder, file: Path, tmp_path: Path) -> None:
    tensors = load_file(file)
    small = {name: t.to(torch.float8_e4m3fn) if t.dtype == torch.half else t for name, t in tensors.items()}
    save_file(small, tmp_path / "fp8.safetensors")
    unet = BaseFile(tmp_path / "fp8.safetensors").unet(torch.bfloat16)
    expected = base.unet().conv_in.weight.to(torch.float8_e4m3fn).to(torch.bfloat16)
    assert torch.equal(unet.conv_in.weight, expected)


def test_a_file_that_shrinks_under_the_reader_is_named(file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(file.read_bytes())
    single = BaseFile(copy)
    copy.write_bytes(file.read_bytes()[:2_000_000])
    with pytest.raises(ModelError, match="changed while it was read"):
        single.unet()


def test_diffusers_pipeline_reads_the_same_file_the_same_way(base: BaseFolder, file: Path, single: BaseFile) -> None:
    pipeline = StableDiffusionXLPipeline.from_single_file(str(file), config=str(base.path), local_files_only=True)
    assert_same(single.unet(), pipeline.unet)
    assert_same(single.vae(), pipeline.vae)
    for ours, theirs in zip(single.text_encoders(), (pipeline.text_encoder, pipeline.text_encoder_2), strict=True):
        assert_same(ours, theirs)
