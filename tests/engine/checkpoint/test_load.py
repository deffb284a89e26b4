"""Only a checkpoint whose every file is what was saved is loaded; what is wrong is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from engine.checkpoint.load import load_checkpoint, load_tensors
from engine.checkpoint.manifest import CheckpointError, write_manifest
from engine.checkpoint.save import CheckpointContent, save_checkpoint

STATE = {
    "format": 1,
    "step": 2,
    "schedule": {"kind": "cosine", "total_steps": 4, "warmup_steps": 0},
    "optimizer": {"kind": "adamw", "groups": [{"name": "unet", "base_lr": 1e-4, "lr": 1e-4, "hyperparameters": {}}]},
    "network": {"kind": "lora", "rank": 4, "alpha": 4.0},
    "data": {"epoch": 0},
}


def write_lora(path: Path) -> None:
    """Stands for the model room's writer."""
    path.write_bytes(b"lora")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole checkpoint of step 2."""
    content = CheckpointContent(
        step=2,
        trainable={"a": torch.ones(2, 2)},
        optimizer={"a/step": torch.tensor(2.0)},
        state=STATE,
        write_lora=write_lora,
    )
    return save_checkpoint(tmp_path / "step-00000002", content).folder


def test_what_was_saved_comes_back(folder: Path) -> None:
    stored = load_checkpoint(folder)
    assert stored.summary.step == 2
    assert stored.state == STATE
    assert stored.part("data") == {"epoch": 0}
    assert torch.equal(stored.trainable["a"], torch.ones(2, 2))
    assert stored.optimizer["a/step"].shape == ()
    assert stored.optimizer["a/step"].item() == 2.0


@pytest.mark.parametrize("name", ["lora.safetensors", "trainable.safetensors", "optimizer.safetensors", "state.json"])
def test_one_changed_byte_is_noticed_and_the_file_named(folder: Path, name: str) -> None:
    path = folder / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=name):
        load_checkpoint(folder)


def test_a_file_cut_short_or_missing_is_named(folder: Path) -> None:
    path = folder / "optimizer.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"optimizer\.safetensors"):
        load_checkpoint(folder)
    path.unlink()
    with pytest.raises(CheckpointError, match=r"optimizer\.safetensors is missing"):
        load_checkpoint(folder)


def test_a_file_that_is_no_safetensors_file_is_named(folder: Path) -> None:
    (folder / "trainable.safetensors").write_bytes(b"not a safetensors file")
    (folder / "manifest.json").unlink()
    write_manifest(folder, 2)
    with pytest.raises(CheckpointError, match=r"trainable\.safetensors cannot be read"):
        load_checkpoint(folder)


def test_a_part_that_the_state_lacks_is_named(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="no rng"):
        load_checkpoint(folder).part("rng")


def test_a_folder_without_a_manifest_is_no_checkpoint(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match="no manifest"):
        load_checkpoint(folder)


def test_a_missing_file_of_tensors_is_an_error_not_a_traceback(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"gone\.safetensors"):
        load_tensors(tmp_path / "gone.safetensors")


def test_the_state_is_plain_json(folder: Path) -> None:
    assert json.loads((folder / "state.json").read_text(encoding="utf-8")) == STATE
