"""One training step of a UNet with random weights, as the engine makes it, timed and weighed."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.matrix_peak import synchronize
from engine.data.batches import Batch
from engine.model.adapter import add_lora
from engine.model.open_base import open_base
from engine.model.prediction import Prediction
from engine.model.stored_weights import EIGHT_BITS, store_in_eight_bits
from engine.profile.schema import Loss, Network
from engine.train.loop import clip_gradients
from engine.train.objective.loss import Objective
from engine.train.objective.process import Process
from engine.train.optimizer import NamedOptimizer, ParameterGroup

SDXL: Final[dict[str, Any]] = {
    "sample_size": 128,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (320, 640, 1280),
    "layers_per_block": 2,
    "attention_head_dim": (5, 10, 20),
    "transformer_layers_per_block": (1, 2, 10),
    "use_linear_projection": True,
    "cross_attention_dim": 2048,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
"""The UNet of Podell et al. 2023 (arXiv:2307.01952), table 1."""
ARCHITECTURES: Final = ("sdxl", "demo")
WARM_UP: Final = 5


@dataclass(frozen=True)
class Setting:
    """What is measured."""

    architecture: str
    resolution: int
    batch: int
    rank: int
    checkpointing: bool
    compiled: bool
    base: str = "bf16"
    """How the frozen weights are kept: bf16, or in eight bits as fp8 or int8."""


@dataclass(frozen=True)
class Measured:
    """What came of it; ``failure`` says why nothing did."""

    setting: Setting
    seconds: float = 0.0
    """Per step, the median."""
    flops: float = 0.0
    """Of one step, counted without what checkpointing computes twice."""
    peak_bytes: int = 0
    failure: str = ""

    def share(self, peak: float) -> float:
        """Of the measured matrix peak."""
        return self.flops / self.seconds / peak if self.seconds else 0.0

    def line(self, peak: float) -> str:
        """For the terminal."""
        setting = self.setting
        how = (
            f"{'compiled' if setting.compiled else 'eager':<8} {'checkpointing' if setting.checkpointing else '-':<13} "
            f"base {setting.base:<4}"
        )
        if self.failure:
            return f"batch {setting.batch}  {how}  {self.failure}"
        return (
            f"batch {setting.batch}  {how}  {self.seconds:.4f} s/step  {self.peak_bytes / 1e9:6.2f} GB  "
            f"{self.share(peak):6.1%} of the peak"
        )


def measure(setting: Setting, device: torch.device, *, steps: int) -> Measured:
    """Time ``steps`` optimizer steps of ``setting``. Memory that does not suffice is a result, too."""
    try:
        return _measure(setting, device, steps)
    except torch.OutOfMemoryError:
        return Measured(setting, failure="out of memory")
    finally:
        gc.collect()
        torch.compiler.reset()
        if device.type == "cuda":
            torch.cuda.empty_cache()


def _measure(setting: Setting, device: torch.device, steps: int) -> Measured:
    step = _Step(setting, device)
    flops = _flops(setting.architecture, setting.resolution, setting.batch, setting.rank)
    for _ in range(WARM_UP):
        step()
    synchronize(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    times = []
    for _ in range(steps):
        began = time.perf_counter()
        step()
        synchronize(device)
        times.append(time.perf_counter() - began)
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return Measured(setting, sorted(times)[len(times) // 2], flops, peak)


class _Step:
    """The engine's LoRA, objective and optimizer on one batch of random latents and embeddings."""

    def __init__(self, setting: Setting, device: torch.device) -> None:
        self.unet = _unet(setting.architecture, device)
        self.device = device
        if setting.base in EIGHT_BITS:
            store_in_eight_bits(self.unet, setting.base)
        adapter = add_lora(self.unet, Network(rank=setting.rank, alpha=float(setting.rank)), seed=0)
        if setting.checkpointing:
            self.unet.enable_gradient_checkpointing()
        self.unet.train()
        if setting.compiled:
            self.unet.compile_repeated_blocks()
        self.optimizer = NamedOptimizer([ParameterGroup("unet", 1e-4, tuple(adapter.parameters()))])
        process = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
        prediction = Prediction("epsilon", zero_terminal_snr=False, source="SDXL")
        self.objective = Objective(Process(process.alphas_cumprod, prediction, device), Loss(), device)
        self.batch = _batch(setting, self.unet.config, device)
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self) -> None:
        draw = self.objective.draw(self.batch.latents, self.generator)
        with torch.autocast(self.device.type, torch.bfloat16):
            loss = self.objective.loss(self.unet, self.batch, draw, dtype=torch.bfloat16)
        loss.backward()  # type: ignore[no-untyped-call]
        clip_gradients(self.optimizer.parameters, 1.0)
        self.optimizer.set_lr({"unet": 1e-4})
        self.optimizer.inner.step()
        self.optimizer.inner.zero_grad(set_to_none=True)


def _config(architecture: str) -> dict[str, Any]:
    return SDXL if architecture == "sdxl" else dict(open_base("bundled:demo-base").unet_config)


def _unet(architecture: str, device: torch.device) -> Any:
    """A UNet in bf16 with small random weights, made on the device itself."""
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(_config(architecture)).to(torch.bfloat16)
    unet = unet.to_empty(device=device).requires_grad_(False)
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            parameter.fill_(1.0) if "norm" in name and name.endswith("weight") else parameter.normal_(0, 0.02)
    return unet


def _batch(setting: Setting, config: Any, device: torch.device) -> Batch:
    side, count = setting.resolution // 8, setting.batch
    pooled = config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]
    sizes = [float(setting.resolution)] * 2
    return Batch(
        latents=torch.randn(count, 4, side, side, device=device),
        prompt_embeds=torch.randn(count, 77, config["cross_attention_dim"], device=device),
        pooled=torch.randn(count, pooled, device=device),
        time_ids=torch.tensor([*sizes, 0.0, 0.0, *sizes], device=device).repeat(count, 1),
        captions=("",) * count,
        loss_weights=torch.ones(count, device=device),
    )


@cache
def _flops(architecture: str, resolution: int, batch_size: int, rank: int) -> float:
    """Of one eager step without checkpointing, counted operator by operator on the meta device."""
    meta = torch.device("meta")
    with meta:
        unet: Any = UNet2DConditionModel.from_config(_config(architecture)).requires_grad_(False)
    add_lora(unet, Network(rank=rank, alpha=float(rank)), seed=0)
    unet.to(meta)
    batch = _batch(Setting(architecture, resolution, batch_size, rank, False, False), unet.config, meta)
    with FlopCounterMode(display=False) as counter:
        predicted = unet(
            batch.latents,
            torch.zeros(batch_size, device=meta),
            encoder_hidden_states=batch.prompt_embeds,
            added_cond_kwargs={"text_embeds": batch.pooled, "time_ids": batch.time_ids},
            return_dict=False,
        )[0]
        predicted.square().mean().backward()
    return float(counter.get_total_flops())
