"""The arithmetic of a step, held against an independent reference and against the schedule's formula."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from engine.data.batches import Batch
from engine.data.prepare import prepare
from engine.demo import locate
from engine.model.adapter import add_lora
from engine.model.base import BaseFolder
from engine.model.encoders import BaseEncoders
from engine.profile.load import read_snapshot
from engine.profile.schema import Profile
from engine.run.layout import RunDirectory
from engine.train import rng
from tests.engine.train.train_runs import Lab, metrics, state, train

LR, CLIP, WEIGHT_DECAY, EPS = 1e-2, 1e-3, 0.01, 1e-8


def reference_first_step(run: RunDirectory) -> tuple[float, float, dict[str, Tensor]]:
    """(loss, gradient norm before clipping, weights after): DDPM's equations and AdamW's, written out."""
    profile = read_snapshot(run.profile)
    base = BaseFolder(locate(profile.model.base))
    unet: Any = base.unet()
    adapter = add_lora(unet, profile.network, seed=rng.derived_seed(profile.training.seed, "adapter"))
    unet.train()
    generator = rng.noise_generator(profile.training.seed)
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float32) ** 2  # "scaled_linear"
    alpha_bar = torch.cumprod(1 - betas, dim=0)
    losses = []
    batches = first_batches(run, profile, base)
    for batch in batches:
        noise = torch.randn(batch.latents.shape, generator=generator)
        timesteps = torch.randint(0, 1000, (len(batch.latents),), generator=generator)
        share = alpha_bar[timesteps].reshape(-1, 1, 1, 1)
        noisy = share.sqrt() * batch.latents + (1 - share).sqrt() * noise
        conditions = {"text_embeds": batch.pooled, "time_ids": batch.time_ids}
        predicted = unet(noisy, timesteps, batch.prompt_embeds, added_cond_kwargs=conditions).sample
        losses.append(((predicted - noise) ** 2).mean())
    mean = torch.stack(losses).mean()
    mean.backward()  # type: ignore[no-untyped-call]
    parameters = dict(adapter.parameters())
    norm = math.sqrt(sum(float((gradient_of(p).double() ** 2).sum()) for p in parameters.values()))
    scale = min(1.0, CLIP / norm)
    weights = {}
    for name, parameter in parameters.items():
        gradient = gradient_of(parameter) * scale
        # After bias correction the first step's moments are the gradient and its square.
        update = gradient / (gradient.abs() + EPS)
        weights[name] = parameter.detach() * (1 - LR * WEIGHT_DECAY) - LR * update
    return mean.item(), norm, weights


def gradient_of(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def first_batches(run: RunDirectory, profile: Profile, base: BaseFolder) -> list[Batch]:
    """The batches of the first step, as the data room gives them."""
    data = prepare(profile.dataset, run.cache, BaseEncoders(base))
    order = data.order(profile.training.batch_size, profile.training.seed)
    return [data.batch(order.next_batch()) for _ in range(profile.training.gradient_accumulation)]


@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_first_step_is_the_papers(lab: Lab, accumulation: int) -> None:
    run = lab.run(
        *("schedule.kind=constant", "schedule.warmup_steps=0", f"training.max_grad_norm={CLIP}"),
        f"training.gradient_accumulation={accumulation}",
    )
    assert train(run, stop_at=1) == 0
    loss, norm, weights = reference_first_step(run)
    (point,) = metrics(run)
    assert point.loss == pytest.approx(loss, rel=1e-6)
    assert point.grad_norm == pytest.approx(norm, rel=1e-5)
    assert norm > CLIP, "clipping is met"
    trained = load_file(run.checkpoint(1) / "trainable.safetensors")
    assert trained.keys() == weights.keys()
    for name, weight in weights.items():
        # The first update is the gradient's sign but for values near eps, where rounding shows.
        assert torch.allclose(trained[name], weight, atol=LR * 2e-3), name


def test_the_rates_are_the_schedules_formula(lab: Lab) -> None:
    run = lab.run("training.steps=10", "schedule.warmup_steps=3", "optimizer.lr=0.004")
    assert train(run) == 0
    for point in metrics(run):
        done = point.step - 1
        cosine = 0.5 * (1 + math.cos(math.pi * (done - 3) / 7))
        assert point.lr == {"unet": pytest.approx(0.004 * (done / 3 if done < 3 else cosine), rel=1e-12, abs=0)}
    group = state(run.checkpoint(10))["optimizer"]["groups"][0]
    assert group["lr"] == metrics(run)[-1].lr["unet"]
    assert group["base_lr"] == 0.004


def test_a_rate_of_zero_changes_no_weight(lab: Lab) -> None:
    run = lab.run("schedule.warmup_steps=4", "checkpoints.every_steps=1")
    assert train(run, stop_at=2) == 0
    first, second = (load_file(run.checkpoint(step) / "trainable.safetensors") for step in (1, 2))
    start = {name for name, weight in first.items() if name.endswith("lora_B.weight") and weight.any()}
    assert not start, "the first step of a warmup has the rate 0"
    assert any(second[name].any() for name in second if name.endswith("lora_B.weight"))


def test_in_half_precision_the_weights_are_trained_in_float32(lab: Lab) -> None:
    run = lab.run("precision.compute=bf16", "precision.save=bf16")
    assert train(run, stop_at=2) == 0
    weights = load_file(run.checkpoint(2) / "trainable.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    lora = load_file(run.checkpoint(2) / "lora.safetensors")
    assert {weight.dtype for name, weight in lora.items() if not name.endswith(".alpha")} == {torch.bfloat16}
    assert all(point.loss is not None for point in metrics(run))
