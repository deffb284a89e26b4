"""Text encoders are trained: gradients reach them, checkpoints hold them, a resume goes on bit for bit, samples see them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.checkpoint.describe import describe
from engine.data.prepare import prepare
from engine.model.adapter import add_lora
from engine.model.encoders import BaseEncoders
from engine.model.open_base import open_base
from engine.profile.load import read_snapshot
from engine.routes.continuing import plan_continuation
from engine.run.create import Inheritance
from engine.run.layout import RunDirectory
from engine.train import rng
from engine.train.training import Training
from tests.engine.train.train_runs import Lab, arithmetic, events, metrics, same_tensors, state, train

RATES = ("optimizer.text_encoder_lr=5e-3", "optimizer.text_encoder_2_lr=2e-3")
TEXT = ("network.text_encoder=true", "network.text_encoder_2=true", *RATES)
HARD = (
    *TEXT,
    "network.text_encoder_rank=1",
    "network.convolutions=true",
    "network.conv_rank=1",
    "network.dropout=0.1",
    "network.rank_dropout=0.2",
    "network.module_dropout=0.2",
    "network.scale_weight_norms=0.05",
    "training.gradient_accumulation=2",
)


@pytest.fixture(scope="module", autouse=True)
def keep_streams() -> Any:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("engine.train.attempt.set_up_logging", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def straight(lab: Lab, keep_streams: None) -> RunDirectory:
    """4 steps without an interruption, everything random switched on."""
    run = lab.run(*HARD, "training.steps=4", "checkpoints.every_steps=2")
    assert train(run) == 0
    return run


def reference_first_loss(run: RunDirectory) -> tuple[float, dict[str, torch.Tensor]]:
    """The first step's loss and gradients, written out: captions through CLIP, DDPM's equations, one backward pass."""
    profile = read_snapshot(run.profile)
    base = open_base(profile.model.base)
    unet: Any = base.unet()
    tokenizers, encoders = base.tokenizers(), base.text_encoders()
    adapter = add_lora(
        unet, profile.network, seed=rng.derived_seed(profile.training.seed, "adapter"), text_encoders=encoders
    )
    data = prepare(profile.dataset, run.cache, BaseEncoders(base))
    batch = data.batch(data.order(profile.training.batch_size, profile.training.seed).next_batch())
    generator = rng.noise_generator(profile.training.seed)
    noise = torch.randn(batch.latents.shape, generator=generator)
    timesteps = torch.randint(0, 1000, (len(batch.latents),), generator=generator)
    alpha_bar = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, dim=0)[timesteps]
    share = alpha_bar.reshape(-1, 1, 1, 1)
    noisy = share.sqrt() * batch.latents + (1 - share).sqrt() * noise
    hidden, pooled = [], None
    for tokenizer, encoder in zip(tokenizers, encoders, strict=True):
        ids = tokenizer(
            list(batch.captions), padding="max_length", max_length=77, truncation=True, return_tensors="pt"
        ).input_ids
        output: Any = encoder(ids, output_hidden_states=True)
        hidden.append(output.hidden_states[-2])
        pooled = output.text_embeds if encoder is encoders[1] else None
    conditions = {"text_embeds": pooled, "time_ids": batch.time_ids}
    predicted = unet(noisy, timesteps, torch.cat(hidden, dim=-1), added_cond_kwargs=conditions).sample
    loss = ((predicted - noise) ** 2).mean()
    loss.backward()
    return loss.item(), {name: parameter.grad for name, parameter in adapter.parameters() if parameter.grad is not None}


def test_the_first_step_is_a_backward_pass_through_the_encoders(lab: Lab) -> None:
    run = lab.run(*TEXT, "schedule.kind=constant", "schedule.warmup_steps=0", "optimizer.weight_decay=0")
    assert train(run, stop_at=1) == 0
    loss, gradients = reference_first_loss(run)
    assert metrics(run)[0].loss == pytest.approx(loss, rel=1e-6)
    assert metrics(run)[0].lr == {"unet": 1e-2, "text_encoder_1": 5e-3, "text_encoder_2": 2e-3}
    moments = load_file(run.checkpoint(1) / "optimizer.safetensors")
    assert {key.rpartition("/")[0] for key in moments} == gradients.keys()
    norm = torch.stack([gradient.norm() for gradient in gradients.values()]).norm()
    for name, gradient in gradients.items():
        expected = 0.1 * gradient * min(1.0, 1.0 / float(norm))  # AdamW's first moment after clipping to 1
        assert torch.allclose(moments[f"{name}/exp_avg"], expected, rtol=1e-3, atol=1e-9), name
    ups = [name for name in gradients if name.startswith("text_encoder") and name.endswith("lora_B.weight")]
    assert len(ups) == 6 + 18, "the first encoder's last layer is never read"
    assert all(gradients[name].abs().max() > 0 for name in ups)


def test_a_checkpoint_tells_the_groups_and_parts(straight: RunDirectory) -> None:
    summary = describe(straight.checkpoint(4))
    assert [group.name for group in summary.groups] == ["unet", "text_encoder_1", "text_encoder_2"]
    assert [group.base_lr for group in summary.groups] == [1e-2, 5e-3, 2e-3]
    parts = {(part.part, part.rank): part.modules for part in summary.network.parts}
    assert parts[("text_encoder", 1)] == 12
    assert parts[("text_encoder_2", 1)] == 18
    assert summary.network.modules == sum(parts.values())
    lora = load_file(straight.checkpoint(4) / "lora.safetensors")
    assert sum(key.startswith("lora_te1_") for key in lora) == 12 * 3
    assert sum(key.startswith("lora_te2_") for key in lora) == 18 * 3
    text = load_file(straight.checkpoint(4) / "trainable.safetensors")
    assert any(value.any() for name, value in text.items() if name.startswith("text_encoder_1") and "lora_B" in name)


@pytest.mark.parametrize("stop_at", [1, 3])
def test_stopped_and_resumed_equals_straight(lab: Lab, straight: RunDirectory, stop_at: int) -> None:
    samples = ('samples.prompts=["a red zorb"]', "samples.every_steps=2")
    run = lab.run(*HARD, "training.steps=4", *samples)
    assert train(run, stop_at=stop_at) == 0
    assert train(run) == 0
    assert arithmetic(metrics(run)) == arithmetic(metrics(straight))
    for name in ("trainable.safetensors", "optimizer.safetensors", "lora.safetensors"):
        assert same_tensors(run.checkpoint(4), straight.checkpoint(4), name)
    assert state(run.checkpoint(4))["rng"] == state(straight.checkpoint(4))["rng"]


@pytest.mark.parametrize(
    "kind",
    [
        ("network.dora=true", "network.dropout=0.2"),
        ("network.kind=loha", "network.rank_dropout=0.2", "network.module_dropout=0.2"),
        ("network.kind=lokr", "network.rank_dropout=0.2", "network.module_dropout=0.5"),
    ],
    ids=["dora", "loha", "lokr"],
)
def test_other_kinds_resume_exactly_too(lab: Lab, kind: tuple[str, ...]) -> None:
    runs = [lab.run(*kind, *TEXT, "training.steps=3") for _ in range(2)]
    assert train(runs[0]) == 0
    assert train(runs[1], stop_at=2) == 0
    assert train(runs[1]) == 0
    assert same_tensors(runs[0].checkpoint(3), runs[1].checkpoint(3), "trainable.safetensors")
    assert arithmetic(metrics(runs[0])) == arithmetic(metrics(runs[1]))


def test_no_text_is_cached_and_latents_are(lab: Lab, straight: RunDirectory) -> None:
    assert [event["what"] for event in events(straight, "cached")] == ["latents"]


def test_samples_are_drawn_with_the_trained_encoders(
    lab: Lab, straight: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    encoded = Training.encoded

    def record(self: Training, texts: Any) -> Any:
        found = encoded(self, texts)
        seen.append(found[0])
        return found

    monkeypatch.setattr(Training, "encoded", record)
    run = lab.run(*TEXT, "training.steps=2", 'samples.prompts=["a red zorb"]', "samples.every_steps=1")
    assert train(run) == 0
    first, last = seen
    assert first.shape == last.shape == (2, 77, 96)
    assert (first - last).abs().max() > 0


def test_a_run_starts_from_a_lora_file_at_its_strength(lab: Lab, straight: RunDirectory, tmp_path: Path) -> None:
    file = shutil.copy(straight.checkpoint(4) / "lora.safetensors", tmp_path / "start.safetensors")
    alphas = ("network.alpha=4", "network.text_encoder=true", "network.text_encoder_2=true")
    ranks = (
        "network.text_encoder_rank=1",
        "network.convolutions=true",
        "network.conv_rank=1",
        "schedule.warmup_steps=0",
    )
    run = lab.run(*alphas, *ranks, f"network.start_from={file}", "training.steps=1", "optimizer.lr=1e-9")
    assert train(run) == 0
    name = "text_encoder_2.text_model.encoder.layers.2.mlp.fc2.lora_B.weight"
    one, other = (
        load_file(folder / "trainable.safetensors")[name] for folder in (run.checkpoint(1), straight.checkpoint(4))
    )
    assert torch.allclose(one, other / 2, atol=1e-7), "alpha / rank is twice as large"
    refused = lab.run("network.rank=4", f"network.start_from={file}", "training.steps=2")
    assert train(refused) == 2
    (failed,) = events(refused, "failed")
    assert failed["where"] == str(file)
    assert "network.feed_forward" in failed["hint"], failed


def test_a_continued_run_keeps_the_ratio_of_the_rates(lab: Lab, straight: RunDirectory) -> None:
    parent = read_snapshot(straight.profile)
    plan = plan_continuation(describe(straight.checkpoint(4)), parent, lr=1e-3)
    optimizer = plan.profile.optimizer
    assert (optimizer.lr, optimizer.unet_lr) == (1e-3, None)
    assert optimizer.text_encoder_lr == pytest.approx(5e-4)
    assert optimizer.text_encoder_2_lr == pytest.approx(2e-4)
    start = straight.checkpoint(4) / "trainable.safetensors"
    child = lab.run(*HARD, "training.steps=2", "optimizer.lr=1e-3", inherits=Inheritance(weights=start))
    assert train(child) == 0
