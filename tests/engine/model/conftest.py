"""The bundled base, its UNet with a LoRA on it, and one batch of inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.demo import locate
from engine.model.adapter import Adapter, add_lora
from engine.model.base import BaseFolder
from engine.profile.schema import Network

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def base() -> BaseFolder:
    """The bundled demo base."""
    return BaseFolder(locate("bundled:demo-base"))


@pytest.fixture(scope="session")
def real_lora() -> Path:
    """A LoRA written by sd-scripts' ``sdxl_train_network.py``: rank 1, UNet only, channels 32, 64, 128."""
    return Path(__file__).parent / "data" / "sd_scripts_rank1.safetensors"


@pytest.fixture
def adapted(base: BaseFolder) -> Callable[..., Adapter]:
    """Makes an adapter on a fresh UNet of the base, all its weights random: ``adapted(rank=4, alpha=2.0)``."""

    def make(seed: int = 0, **network: Any) -> Adapter:
        adapter = add_lora(base.unet(), Network(**network), seed=seed)
        generator = torch.Generator().manual_seed(seed + 1)
        adapter.load_state_dict(
            {name: torch.randn(weight.shape, generator=generator) * 0.2 for name, weight in adapter.parameters()}
        )
        return adapter

    return make


@pytest.fixture
def predict(base: BaseFolder) -> Callable[[Any], Tensor]:
    """What a UNet predicts for one fixed batch of two."""
    generator = torch.Generator().manual_seed(5)
    latents = torch.randn(2, 4, 16, 12, generator=generator)
    timesteps = torch.tensor([10, 900])
    embeddings = torch.randn(2, 77, base.unet_config["cross_attention_dim"], generator=generator)
    pooled = torch.randn(2, base.configs.text_encoder_2["projection_dim"], generator=generator)
    time_ids = torch.tensor([[128.0, 96, 0, 0, 128, 96], [512, 512, 16, 0, 128, 96]])

    def run(unet: Any) -> Tensor:
        kind = unet.dtype
        output: Tensor = unet(
            latents.to(kind),
            timesteps,
            encoder_hidden_states=embeddings.to(kind),
            added_cond_kwargs={"text_embeds": pooled.to(kind), "time_ids": time_ids},
        ).sample
        return output

    return run
