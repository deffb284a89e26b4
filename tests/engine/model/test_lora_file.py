"""The LoRA file is what sd-scripts would have written, and programs that load it get the trained model."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.model.adapter import Adapter, add_lora
from engine.model.base import BaseFolder
from engine.model.errors import AdapterError
from engine.model.lora_file import write_lora
from engine.model.lora_names import sd_scripts_names
from engine.model.lora_read import read_lora
from engine.model.lora_tensors import DOWN
from engine.model.lora_weights import LoraWeights, ModuleWeights
from engine.model.open_base import names_of
from engine.profile.schema import Network

REAL_CONFIG: dict[str, Any] = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (32, 64, 128),
    "attention_head_dim": (2, 4, 8),
    "cross_attention_dim": 96,
    "use_linear_projection": True,
}


@pytest.fixture
def write(base: BaseFolder, tmp_path: Path) -> Callable[..., Path]:
    """Writes an adapter's LoRA to a file."""

    def run(adapter: Adapter, dtype: torch.dtype = torch.float32, **metadata: str) -> Path:
        path = tmp_path / "lora.safetensors"
        write_lora(
            path,
            adapter.weights(),
            names=names_of(base),
            metadata=metadata,
            dtype=dtype,
        )
        return path

    return run


@pytest.mark.parametrize(
    "network",
    [{"rank": 4, "alpha": 4.0}, {"rank": 8, "alpha": 3.0}, {"rank": 2, "alpha": 5.5, "dropout": 0.4}],
    ids=str,
)
def test_diffusers_loads_it_to_the_same_model(
    base: BaseFolder,
    adapted: Callable[..., Adapter],
    write: Callable[..., Path],
    predict: Callable[[Any], Tensor],
    network: dict[str, Any],
) -> None:
    adapter = adapted(**network)
    file = write(adapter, ss_network_module="networks.lora")
    pipeline = StableDiffusionXLPipeline.from_pretrained(base.path, local_files_only=True)
    with torch.no_grad():
        plain = predict(pipeline.unet)
        with _library_warnings() as messages:
            pipeline.load_lora_weights(file.parent, weight_name=file.name, local_files_only=True)
        trained, loaded = predict(adapter.unet.eval()), predict(pipeline.unet)
    assert (trained - plain).abs().max() > 0.01
    assert (loaded - trained).abs().max() <= 1e-5
    # Any LoRA without text encoders makes diffusers say that it has none for them; nothing else may be said.
    assert [message for message in messages if not message.startswith("No LoRA keys associated to CLIPTextModel")] == []


def assert_same(one: LoraWeights, other: LoraWeights) -> None:
    """Both hold the same modules with the same bits and strengths."""
    assert one.keys() == other.keys()
    for module, weights in one.items():
        assert weights.alpha == pytest.approx(other[module].alpha)
        assert weights.tensors.keys() == other[module].tensors.keys()
        for name, tensor in weights.tensors.items():
            assert torch.equal(tensor, other[module].tensors[name]), f"{module}.{name}"


@contextlib.contextmanager
def _library_warnings() -> Iterator[list[str]]:
    """What diffusers and peft log as a warning or worse meanwhile."""
    messages: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    handler = Collect(logging.WARNING)
    loggers = [logging.getLogger(name) for name in ("diffusers", "peft", "transformers")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield messages
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


def test_reading_gives_back_what_was_written(
    base: BaseFolder, adapted: Callable[..., Adapter], write: Callable[..., Path]
) -> None:
    adapter = adapted(rank=4, alpha=2.5)
    read = read_lora(write(adapter, ss_steps="20"), names_of(base))
    assert_same(read.weights, adapter.weights())
    assert {weights.alpha for weights in read.weights.values()} == {2.5}
    assert {weights.rank for weights in read.weights.values()} == {4}
    assert set(read.weights) == set(adapter.modules)
    assert read.metadata["ss_steps"] == "20"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_rounds_the_weights_and_not_the_alpha(
    base: BaseFolder, adapted: Callable[..., Adapter], write: Callable[..., Path], dtype: torch.dtype
) -> None:
    adapter = adapted(rank=4, alpha=12.3456)
    read = read_lora(write(adapter, dtype), names_of(base))
    for module, weights in adapter.weights().items():
        for name, weight in weights.tensors.items():
            assert torch.equal(read.weights[module].tensors[name], weight.to(dtype))
    assert all(weights.alpha == pytest.approx(12.3456, rel=1e-7) for weights in read.weights.values())


def test_a_real_sd_scripts_file_fits_the_adapter(real_lora: Path) -> None:
    unet = UNet2DConditionModel(**REAL_CONFIG)
    read = read_lora(real_lora, sd_scripts_names(unet.config))
    adapter = add_lora(unet, Network(rank=1, alpha=1.0), seed=0)
    assert adapter.start_from(read.weights) == ()
    assert_same(adapter.weights(), read.weights)
    assert adapter.modules_count == 132
    assert {weights.alpha for weights in read.weights.values()} == {1.0}
    assert read.metadata["ss_lr_scheduler"] == "cosine"


def test_a_real_file_is_written_back_tensor_for_tensor(real_lora: Path, tmp_path: Path) -> None:
    read = read_lora(real_lora)
    ours = tmp_path / "ours.safetensors"
    write_lora(ours, read.weights, names=read.names, metadata=read.metadata)
    expected, written = load_file(real_lora), load_file(ours)
    assert written.keys() == expected.keys()
    assert all(torch.equal(written[key], tensor) for key, tensor in expected.items())
    assert all(written[key].shape == tensor.shape for key, tensor in expected.items())
    # The hash stands for the tensors as they lie in the file, and they lie as in sd-scripts' own.
    assert _metadata(ours) == _metadata(real_lora)


def _metadata(file: Path) -> dict[str, str]:
    with safe_open(file, framework="pt") as opened:
        return dict(opened.metadata())


def test_hash_is_that_of_the_content(adapted: Callable[..., Adapter], write: Callable[..., Path]) -> None:
    data = write(adapted(rank=1), ss_output_name="ä„\x1b").read_bytes()
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    assert metadata["sshs_model_hash"] == hashlib.sha256(data[8 + length :]).hexdigest()
    assert metadata["ss_output_name"] == "ä„\x1b"
    assert length % 8 == 0


def test_same_weights_give_the_same_bytes(adapted: Callable[..., Adapter], write: Callable[..., Path]) -> None:
    many = {f"ss_{index}": str(index) for index in range(20)}
    adapter = adapted(rank=1)
    assert write(adapter, **many).read_bytes() == write(adapter, **dict(reversed(many.items()))).read_bytes()


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_decides_who_may_read(
    adapted: Callable[..., Adapter], write: Callable[..., Path], umask: int, mode: int
) -> None:
    adapter = adapted(rank=1)
    before = os.umask(umask)
    try:
        file = write(adapter)
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == mode
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_a_failed_write_leaves_the_old_file(
    adapted: Callable[..., Adapter], write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(adapted(rank=1))
    before = file.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(adapted(rank=2))
    assert file.read_bytes() == before
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_a_weight_too_large_for_fp16_is_refused(adapted: Callable[..., Adapter], write: Callable[..., Path]) -> None:
    adapter = adapted(rank=1)
    name, parameter = adapter.parameters()[3]
    parameter.data[0, 0] = 1e5
    with pytest.raises(AdapterError, match=f"{name}.*float16"):
        write(adapter, torch.float16)


def test_a_strange_module_is_not_written(base: BaseFolder, tmp_path: Path) -> None:
    weights = {"conv_in": ModuleWeights({DOWN: torch.zeros(1)}, 1.0)}
    with pytest.raises(AdapterError, match="conv_in"):
        write_lora(tmp_path / "lora.safetensors", weights, names=names_of(base), metadata={})
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_lora_of_this_base_is_refused(base: BaseFolder, real_lora: Path, tmp_path: Path) -> None:
    file = tmp_path / "some.safetensors"
    module = "lora_unet_middle_block_1_proj_in"

    def refused(tensors: dict[str, Tensor], message: str) -> None:
        save_file(tensors, file)
        with pytest.raises(AdapterError, match=message) as caught:
            read_lora(file, names_of(base))
        assert str(file) in str(caught.value)

    half = {f"{module}.lora_down.weight": torch.zeros(1, 64)}
    refused(half, r"mid_block.attentions.0.proj_in lacks lora_B.weight")
    refused({f"{module}.oft_diag": torch.zeros(1)}, "oft_diag")
    refused({f"{module}.hada_w1_a": torch.zeros(1)}, "mid_block.attentions.0.proj_in lacks hada_w1_b")
    refused({"lora_te1_text_model_encoder.lora_down.weight": torch.zeros(1)}, "lora_te1")
    refused({"lora_unet_input_blocks_11_1_proj_in.lora_down.weight": torch.zeros(1)}, "input_blocks_11")
    refused({}, "no LoRA")
    file.write_bytes(real_lora.read_bytes()[:-10])
    with pytest.raises(AdapterError, match="cannot be read"):
        read_lora(file, names_of(base))
    with pytest.raises(AdapterError, match="cannot be read"):
        read_lora(tmp_path / "missing.safetensors", names_of(base))


def test_a_module_without_alpha_has_its_rank(base: BaseFolder, tmp_path: Path) -> None:
    file = tmp_path / "some.safetensors"
    module = "lora_unet_middle_block_1_proj_in"
    save_file({f"{module}.lora_down.weight": torch.zeros(3, 64), f"{module}.lora_up.weight": torch.zeros(64, 3)}, file)
    (weights,) = read_lora(file, names_of(base)).weights.values()
    assert weights.alpha == 3.0
