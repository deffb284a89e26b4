"""A base folder is read part by part; one that is not an SDXL base is refused with what is wrong."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.model.base import BaseFolder
from engine.model.errors import ModelError


@pytest.fixture
def copy(base: BaseFolder, tmp_path: Path) -> Path:
    """A copy of the bundled base that may be damaged."""
    target = tmp_path / "base"
    shutil.copytree(base.path, target)
    return target


def _edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def _damage(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "no such folder"),
    "no model_index.json": (lambda at: (at / "model_index.json").unlink(), "model_index.json is missing"),
    "an index that is no JSON": (lambda at: (at / "model_index.json").write_text("{"), "not readable"),
    "an index that is a list": (lambda at: (at / "model_index.json").write_text("[]"), "no JSON object"),
    "SD 1.5": (lambda at: _edit(at / "model_index.json", _class_name="StableDiffusionPipeline"), "not SDXL"),
    "no second encoder": (lambda at: shutil.rmtree(at / "text_encoder_2"), "text_encoder_2/config.json is missing"),
    "no text_time": (lambda at: _edit(at / "unet/config.json", addition_embed_type=None), "text_time"),
    "inpainting": (lambda at: _edit(at / "unet/config.json", in_channels=9), "9 channels"),
    "a refiner": (lambda at: _edit(at / "unet/config.json", projection_class_embeddings_input_dim=120), "refiner"),
    "another encoder": (lambda at: _edit(at / "text_encoder/config.json", hidden_size=48), "104 together"),
    "16-channel VAE": (lambda at: _edit(at / "vae/config.json", latent_channels=16), "16 latent channels"),
    "another prediction": (
        lambda at: _edit(at / "scheduler/scheduler_config.json", prediction_type="flow_prediction"),
        "predicts 'flow_prediction'",
    ),
    "no weights": (lambda at: (at / "vae/diffusion_pytorch_model.safetensors").unlink(), "safetensors is missing"),
    "a pickle": (
        lambda at: (at / "unet/diffusion_pytorch_model.safetensors").rename(at / "unet/diffusion_pytorch_model.bin"),
        "pickle",
    ),
    "a broken download": (lambda at: _damage(at / "unet/diffusion_pytorch_model.safetensors"), "its header describes"),
    "no safetensors": (lambda at: (at / "vae/diffusion_pytorch_model.safetensors").write_bytes(b"x" * 99), "damaged"),
    "no vocabulary": (lambda at: (at / "tokenizer_2/vocab.json").unlink(), "tokenizer_2/vocab.json"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_sdxl_base_is_refused_with_the_reason(copy: Path, case: str) -> None:
    breaking, message = BROKEN[case]
    breaking(copy)
    with pytest.raises(ModelError, match=message) as caught:
        BaseFolder(copy)
    assert str(copy) in str(caught.value)


def test_a_tensor_that_the_file_lacks_is_an_error_not_a_random_one(copy: Path) -> None:
    file = copy / "unet/diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    del tensors["conv_in.weight"]
    save_file(tensors, file)
    with pytest.raises(ModelError, match=r"conv_in\.weight|conv_in"):
        BaseFolder(copy).unet()


def test_a_text_encoder_of_another_shape_is_an_error(copy: Path) -> None:
    file = copy / "text_encoder/model.safetensors"
    tensors = load_file(file)
    tensors["text_model.final_layer_norm.weight"] = torch.ones(7)
    save_file(tensors, file)
    with pytest.raises(ModelError, match="text_encoder"):
        BaseFolder(copy).text_encoders()


def test_parts_load_frozen_in_the_type_asked_for(base: BaseFolder) -> None:
    unet, vae = base.unet(torch.bfloat16), base.vae()
    first, second = base.text_encoders()
    assert unet.dtype == torch.bfloat16
    assert {vae.dtype, first.dtype, second.dtype} == {torch.float32}
    for network in (unet, vae, first, second):
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())


def test_loading_opens_no_connection(base: BaseFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    base.unet()
    base.vae()
    base.text_encoders()
    base.tokenizers()


def test_loading_prints_no_progress(base: BaseFolder, capfd: pytest.CaptureFixture[str]) -> None:
    base.unet()
    base.text_encoders()
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "%|" not in captured.err


def test_fp16_variant_is_used_where_there_is_no_other(copy: Path, base: BaseFolder) -> None:
    for part, name in (("unet", "diffusion_pytorch_model"), ("text_encoder", "model"), ("text_encoder_2", "model")):
        (copy / part / f"{name}.safetensors").rename(copy / part / f"{name}.fp16.safetensors")
    variant = BaseFolder(copy)
    assert _same(variant.unet(), base.unet())
    assert all(_same(a, b) for a, b in zip(variant.text_encoders(), base.text_encoders(), strict=True))


def test_sharded_weights_load_and_a_lost_shard_is_named(copy: Path, base: BaseFolder) -> None:
    folder = copy / "unet"
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    base.unet().save_pretrained(folder, max_shard_size="4MB")
    shards = sorted(folder.glob("*-of-*.safetensors"))
    assert len(shards) > 1
    assert _same(BaseFolder(copy).unet(), base.unet())
    shards[1].unlink()
    with pytest.raises(ModelError, match=shards[1].name):
        BaseFolder(copy)


def _same(one: Any, other: Any) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in one.state_dict().items())


def test_noise_scheduler_has_the_base_s_betas(base: BaseFolder) -> None:
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    torch.testing.assert_close(base.noise_scheduler().alphas_cumprod, torch.cumprod(1 - betas, 0))


def test_keys_follow_the_parts_they_stand_for(copy: Path, base: BaseFolder) -> None:
    same = BaseFolder(copy)
    assert (same.vae_key, same.text_key, same.digest) == (base.vae_key, base.text_key, base.digest)

    weights = copy / "vae/diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    other = BaseFolder(copy)
    assert other.vae_key != base.vae_key
    assert other.text_key == base.text_key
    assert other.digest != base.digest

    (copy / "tokenizer/merges.txt").write_text("#version: 0.2\n")
    assert BaseFolder(copy).text_key != base.text_key
    assert BaseFolder(copy).vae_key == other.vae_key
