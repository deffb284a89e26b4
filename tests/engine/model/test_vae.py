"""A separate VAE stands in for the base's own, whatever it is kept in; half precision only where it is safe."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.model.base import BaseFolder
from engine.model.base_file import BaseFile
from engine.model.encoders import BaseEncoders
from engine.model.errors import ModelError
from engine.model.open_base import open_base
from engine.model.original_layout import VAE
from engine.model.sampling import Picture, draw_samples
from engine.model.vae import SeparateVae, vae_dtype, vae_format_explained
from engine.profile.sample_prompts import SamplePrompt
from tests.engine.model.full_size import SDXL_VAE, write_hollow
from tests.engine.model.original_file import original_tensors, write_original


@pytest.fixture(scope="module")
def other(base: BaseFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a VAE like the base's, its weights a little different, that says it is mended for fp16."""
    target = tmp_path_factory.mktemp("vae") / "mended"
    shutil.copytree(base.path / "vae", target)
    weights = target / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    save_file({name: tensor * 1.01 for name, tensor in tensors.items()}, weights)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | {"force_upcast": False}))
    return target


def as_pipeline(other: Path, at: Path, base: BaseFolder) -> Path:
    target = shutil.copytree(base.path, at / "pipeline")
    shutil.rmtree(target / "vae")
    shutil.copytree(other, target / "vae")
    return target


def as_original(other: Path, at: Path, base: BaseFolder) -> Path:
    tensors = original_tensors(BaseFolder(as_pipeline(other, at, base)))
    bare = {name.removeprefix(VAE): tensor for name, tensor in tensors.items() if name.startswith(VAE)}
    save_file(bare, at / "vae.safetensors")
    return at / "vae.safetensors"


def as_whole_base(other: Path, at: Path, base: BaseFolder) -> Path:
    return write_original(BaseFolder(as_pipeline(other, at, base)), at / "whole.safetensors")


def as_old_diffusers(other: Path, at: Path, base: BaseFolder) -> Path:
    """As diffusers wrote it before 0.15: other names for the attention, its weights as 1x1 convolutions."""
    new = load_file(other / "diffusion_pytorch_model.safetensors")
    names = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    old = {}
    for name, tensor in new.items():
        before = name
        for ours, theirs in names.items():
            before = before.replace(ours, theirs)
        changed = before != name and tensor.ndim == 2
        old[before] = tensor[:, :, None, None].contiguous() if changed else tensor
    save_file(old, at / "old.safetensors")
    return at / "old.safetensors"


KEPT_IN: dict[str, Callable[[Path, Path, BaseFolder], Path]] = {
    "a folder": lambda other, at, base: other,
    "a diffusers file": lambda other, at, base: other / "diffusion_pytorch_model.safetensors",
    "an old diffusers file": as_old_diffusers,
    "a pipeline": as_pipeline,
    "an original file": as_original,
    "a whole base": as_whole_base,
}


@pytest.mark.parametrize("kind", KEPT_IN)
def test_the_weights_are_those_of_the_vae_named(base: BaseFolder, other: Path, tmp_path: Path, kind: str) -> None:
    path = KEPT_IN[kind](other, tmp_path, base)
    expected = load_file(other / "diffusion_pytorch_model.safetensors")
    opened = open_base(str(base.path), str(path))
    vae = opened.vae()
    found = vae.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor.float()) for name, tensor in expected.items())
    assert not vae.training
    assert opened.configs.vae["scaling_factor"] == base.configs.vae["scaling_factor"]
    says_so = kind in {"a folder", "a diffusers file", "a pipeline"}
    assert opened.configs.vae["force_upcast"] is not says_so


def test_what_a_separate_vae_changes_is_the_vae_alone(base: BaseFolder, other: Path, tmp_path: Path) -> None:
    file = write_original(base, tmp_path / "base.safetensors")
    for path in (base.path, file):
        own, with_other = open_base(str(path)), open_base(str(path), str(other))
        assert own.vae_key != with_other.vae_key
        assert own.text_key == with_other.text_key
        assert own.digest != with_other.digest
    assert open_base(str(base.path), str(other)).vae_key == open_base(str(file), str(other)).vae_key
    copied = shutil.copytree(other, tmp_path / "copied")
    assert open_base(str(file), str(copied)).digest == open_base(str(file), str(other)).digest


def test_a_file_without_vae_is_a_base_beside_a_separate_one(base: BaseFolder, other: Path, tmp_path: Path) -> None:
    lacking = dict.fromkeys(name for name in original_tensors(base) if name.startswith(VAE))
    file = write_original(base, tmp_path / "base.safetensors", lacking)
    with pytest.raises(ModelError, match="the file has no VAE"):
        open_base(str(file))
    opened = open_base(str(file), str(other))
    assert isinstance(opened, BaseFile)
    assert opened.digest != open_base(str(file), str(base.path)).digest
    assert torch.isfinite(BaseEncoders(opened).encode_images(torch.zeros(1, 3, 64, 64))).all()


def test_the_published_vae_is_known_by_its_shapes(tmp_path: Path) -> None:
    vae = SeparateVae(write_hollow(tmp_path / "sdxl_vae.safetensors", SDXL_VAE.tensors()))
    assert vae.config["block_out_channels"] == [128, 256, 512, 512]
    assert (vae.config["scaling_factor"], vae.config["force_upcast"]) == (0.13025, True)


def _sixteen_channels() -> dict[str, tuple[int, ...]]:
    return SDXL_VAE.tensors() | {
        "decoder.conv_in.weight": (512, 16, 3, 3),
        "encoder.conv_out.weight": (32, 512, 3, 3),
        "encoder.conv_out.bias": (32,),
        "quant_conv.weight": (32, 32, 1, 1),
        "quant_conv.bias": (32,),
        "post_quant_conv.weight": (16, 16, 1, 1),
        "post_quant_conv.bias": (16,),
    }


REFUSED: dict[str, tuple[Callable[[], dict[str, tuple[int, ...]]], str]] = {
    "a LoRA": (lambda: {"lora_unet_x.lora_down.weight": (4, 4)}, "has no encoder and decoder"),
    "another architecture": (
        lambda: SDXL_VAE.tensors() | {"encoder.mid.attn_1.q.bias": (7,)},
        r"attn_1\.q\.bias is \[7\]",
    ),
    "sixteen channels": (_sixteen_channels, "16 latent channels"),
    "a lost tensor": (
        lambda: {n: s for n, s in SDXL_VAE.tensors().items() if n != "quant_conv.bias"},
        "quant_conv.bias is missing",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_vae_of_sdxl_is_refused(tmp_path: Path, kind: str) -> None:
    shapes, message = REFUSED[kind]
    with pytest.raises(ModelError, match=message):
        SeparateVae(write_hollow(tmp_path / "vae.safetensors", shapes()))


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no diffusion_pytorch_model\.safetensors"):
        SeparateVae(tmp_path)


def test_half_precision_is_for_mended_vaes_on_a_gpu_alone() -> None:
    stock: dict[str, Any] = {"force_upcast": True}
    mended: dict[str, Any] = {"force_upcast": False}
    for compute in (torch.bfloat16, torch.float16):
        assert vae_dtype(mended, compute, "cuda:0") == torch.float16
        assert vae_dtype(stock, compute, "cuda:0") == vae_dtype({}, compute, "cuda:0") == torch.float32
        assert vae_dtype(mended, compute, "cpu") == torch.float32
    assert vae_dtype(mended, torch.float32, "cuda:0") == torch.float32
    assert "overflows in fp16" in str(vae_format_explained(stock, torch.bfloat16, "cuda"))
    assert "float16: it is mended" in str(vae_format_explained(mended, torch.bfloat16, "cuda"))
    assert vae_format_explained(stock, torch.bfloat16, "cpu") is None


class OverflowingBase:
    """The base, with a VAE that overflows in float16 on pictures that are bright: its first layer is scaled up."""

    def __init__(self, base: BaseFolder) -> None:
        self.vae_key, self._base = base.vae_key, base
        self.loaded: list[torch.dtype] = []

    def vae(self, device: object = "cpu", dtype: torch.dtype = torch.float32) -> Any:
        self.loaded.append(dtype)
        vae = self._base.vae("cpu", dtype)
        limit = torch.finfo(dtype).max
        vae.encoder.conv_in.register_forward_hook(
            lambda _, i, out: torch.where(i[0].mean() * 1e6 > limit, out * float("inf"), out)
        )
        return vae


def test_a_picture_that_overflows_is_encoded_again_in_float32(
    base: BaseFolder, caplog: pytest.LogCaptureFixture
) -> None:
    overflowing: Any = OverflowingBase(base)
    encoders = BaseEncoders(overflowing, vae_dtype=torch.float16)
    dark, bright = torch.full((1, 3, 64, 64), -0.5), torch.full((1, 3, 64, 64), 0.5)
    with caplog.at_level(logging.WARNING):
        encoders.encode_images(dark)
        assert caplog.messages == []
        latents = encoders.encode_images(bright)
    assert overflowing.loaded == [torch.float16, torch.float32]
    assert "encoded again in float32" in caplog.text
    assert torch.equal(latents, BaseEncoders(base).encode_images(bright))
    assert BaseEncoders(base, vae_dtype=torch.float16).vae_key != BaseEncoders(base).vae_key


def test_a_picture_that_overflows_is_drawn_again_in_float32(base: BaseFolder, caplog: pytest.LogCaptureFixture) -> None:
    unet, encoders = base.unet(), BaseEncoders(base)
    how = SamplePrompt("a", "", 64, 64, steps=1, guidance=1.0, guidance_rescale=0.0, seed=42, sampler="euler")
    wanted = Picture(how, encoders.encode_captions(["a"]), encoders.encode_captions([""]))

    def draw(vae: Any) -> Tensor:
        (picture,) = draw_samples(unet, vae, [wanted], scheduler=lambda _: base.sampling_scheduler())
        return torch.from_numpy(np.array(picture))

    overflowing = base.vae(dtype=torch.float16)
    hook = lambda module, i, out: out if out.dtype == torch.float32 else out * float("inf")  # noqa: E731
    overflowing.decoder.conv_in.register_forward_hook(hook)
    assert torch.equal(draw(overflowing), draw(base.vae()))
    assert "the VAE overflowed in float16" in caplog.text
    assert overflowing.dtype == torch.float32
