"""Bases and states that real files of sd-scripts are tried with: a base of the real states' widths, a state around any LoRA."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from engine.demo import locate

DATA = Path(__file__).parent / "data"
REAL_STATE = DATA / "base_cosine-step00000020-state"
REAL_LORA = DATA / "base_cosine-step00000020.safetensors"


def base_of_the_real_states(folder: Path) -> Path:
    """A base with random weights of the widths that the real states were trained on: the bundled one with another UNet."""
    shutil.copytree(locate("bundled:demo-base"), folder)
    config: dict[str, Any] = json.loads((folder / "unet" / "config.json").read_text())
    config |= {"block_out_channels": [32, 64, 128], "transformer_layers_per_block": [1, 1, 1]}
    torch.manual_seed(0)
    unet = UNet2DConditionModel.from_config(config)
    shutil.rmtree(folder / "unet")
    unet.save_pretrained(folder / "unet")
    return folder


def real_state_of_torch_cosine(folder: Path) -> Path:
    """The real state, with the scheduler of one that was trained with torch's CosineAnnealingLR, and the LoRA file beside it."""
    state = folder / REAL_STATE.name
    shutil.copytree(REAL_STATE, state)
    shutil.copy(DATA / "torch-cosine-state" / "scheduler.bin", state)
    lora = folder / REAL_LORA.name
    tensors = load_file(REAL_LORA)
    save_file(tensors, lora, metadata=metadata_of(REAL_LORA) | {"ss_lr_scheduler": "constant"})
    return state


def state_around(lora: Path, folder: Path, *, base_lr: float = 1e-3, share: float = 0.5, step: int = 20) -> Path:
    """A state as sd-scripts leaves it, ``folder/NAME-state`` with the LoRA file beside it: AdamW and a lambda, at ``step``."""
    folder.mkdir(parents=True, exist_ok=True)
    if lora.parent != folder:
        shutil.copy(lora, folder / lora.name)
    state = folder / f"{lora.stem}-state"
    state.mkdir()
    tensors = load_file(lora)
    save_file(tensors, state / "model.safetensors", metadata={"format": "pt"})
    factors = [tensor for name, tensor in tensors.items() if not name.endswith(".alpha")]
    group: dict[str, Any] = {
        "lr": base_lr * share,
        "initial_lr": base_lr,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 0.01,
        "amsgrad": False,
        "maximize": False,
        "foreach": None,
        "capturable": False,
        "differentiable": False,
        "fused": None,
        "decoupled_weight_decay": True,  # by which AdamW is told from Adam
    }
    moments = {
        number: {
            "step": torch.tensor(float(step)),
            "exp_avg": torch.zeros_like(one),
            "exp_avg_sq": torch.zeros_like(one),
        }
        for number, one in enumerate(factors)
    }
    groups = [{**group, "params": list(range(len(factors)))}]
    torch.save({"state": moments, "param_groups": groups}, state / "optimizer.bin")
    scheduler = {"base_lrs": [base_lr], "last_epoch": step, "_last_lr": [base_lr * share], "lr_lambdas": [{}]}
    torch.save(scheduler, state / "scheduler.bin")
    (state / "train_state.json").write_text(json.dumps({"current_epoch": 1, "current_step": step}))
    return state


def metadata_of(file: Path) -> dict[str, str]:
    """The metadata of a safetensors file."""
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    found: dict[str, str] = json.loads(data[8 : 8 + length])["__metadata__"]
    return found
