"""Estimates against what torch really makes of the same profile, and times against the runs they come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engine.estimate.disk import estimate_disk
from engine.estimate.estimate import Took, compared, compared_text, duration, estimate
from engine.estimate.memory import PROGRAM_BYTES, adapter_values, estimate_memory
from engine.estimate.speed import measured_speed
from engine.estimate.unet_size import SDXL_VALUES, unet_size
from engine.model.adapter import add_lora
from engine.model.open_base import open_base
from engine.model.stored_weights import EIGHT_BITS, store_in_eight_bits
from engine.profile.load import parse_profile
from engine.profile.optimizer_kinds import OPTIMIZERS, OptimizerKind
from engine.profile.schema import Profile
from engine.run.create import create_run
from engine.run.metrics import MetricPoint, MetricsLog
from engine.train.optimizer import NamedOptimizer, ParameterGroup

BASE = "bundled:demo-base"
TEXT = f"""
model = {{base = "{BASE}"}}
dataset = {{sources = [{{path = "bundled:demo-images"}}], resolution = 256}}
training = {{steps = 100}}
precision = {{compute = "fp32"}}
"""


def profile_with(*overrides: str) -> Profile:
    """The small profile with changes."""
    return parse_profile(TEXT, folder=Path.cwd(), overrides=overrides).profile


def demo_unet(dtype: torch.dtype = torch.float32) -> Any:
    """The bundled base's UNet."""
    return open_base(BASE).unet(dtype)


NETWORKS = {
    "attention and feed-forward": (),
    "ranks of their own and convolutions": (
        "network.feed_forward_rank=3",
        "network.convolutions=true",
        "network.conv_rank=5",
    ),
    "LoHa": ('network.kind="loha"', "network.rank=4"),
    "LoKr": ('network.kind="lokr"', "network.rank=2"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_trained_values_are_counted_from_headers_as_the_adapter_has_them(name: str) -> None:
    profile = profile_with(*NETWORKS[name])
    adapter = add_lora(demo_unet(), profile.network, seed=0)
    assert adapter_values(profile, unet_size(BASE)) == adapter.values_count


@pytest.mark.parametrize("kept", ["as compute", *EIGHT_BITS])
def test_the_base_takes_what_its_weights_take(kept: str) -> None:
    unet = demo_unet()
    if kept != "as compute":
        store_in_eight_bits(unet, kept)
    tensors = [*unet.parameters(), *(buffer for name, buffer in unet.named_buffers() if not name.endswith("scale"))]
    assert estimate_memory(profile_with(f'precision.base="{kept}"')).base == sum(tensor.nbytes for tensor in tensors)


@pytest.mark.parametrize(("resolution", "batch"), [(256, 2), (512, 1)])
@pytest.mark.parametrize("compute", ["fp32", "bf16"])
def test_activations_are_near_what_a_forward_pass_keeps(resolution: int, batch: int, compute: str) -> None:
    dtype = torch.bfloat16 if compute == "bf16" else torch.float32
    unet, side = demo_unet(dtype), resolution // 8
    add_lora(unet, profile_with("network.rank=1", "network.alpha=1").network, seed=0)
    weights = {parameter.untyped_storage().data_ptr() for parameter in unet.parameters()}
    kept: dict[int, Any] = {}  # holds the storages, so that no address is used twice

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor

    config = unet.config
    pooled = config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=compute == "bf16"),
    ):
        unet(
            torch.randn(batch, 4, side, side, dtype=dtype),
            torch.zeros(batch, dtype=torch.long),
            encoder_hidden_states=torch.randn(batch, 77, config["cross_attention_dim"], dtype=dtype),
            added_cond_kwargs={
                "text_embeds": torch.randn(batch, pooled, dtype=dtype),
                "time_ids": torch.randn(batch, 6),
            },
        )
    found = estimate_memory(
        profile_with(
            f"dataset.resolution={resolution}", f"training.batch_size={batch}", f'precision.compute="{compute}"'
        )
    )
    assert found.activations == pytest.approx(sum(storage.nbytes() for storage in kept.values()), rel=0.15)


def test_a_base_that_cannot_be_read_is_taken_for_sdxl() -> None:
    size = unet_size("/nowhere/to/be/found")
    assert size.values == SDXL_VALUES
    assert [(level.channels, level.transformers, level.residuals) for level in size.levels] == [
        (320, 0, 5),
        (640, 10, 5),
        (1280, 60, 7),
    ]
    assert 0.75 * SDXL_VALUES < size.block_values < SDXL_VALUES


def test_the_disk_holds_as_many_checkpoints_as_are_kept() -> None:
    def kept(*overrides: str) -> int:
        return estimate_disk(profile_with(*overrides), values=1000, state_bytes=8000).checkpoints

    assert kept("checkpoints.every_steps=25") == 4
    assert kept("checkpoints.every_steps=30") == 4  # 30, 60, 90 and the last
    assert kept("checkpoints.every_steps=10", "checkpoints.keep_last=2") == 3
    assert kept("checkpoints.every_steps=0") == 1
    beside = (
        "checkpoints.keep_every_steps=50",
        "checkpoints.keep_best=1",
        "validation.every_steps=10",
        "validation.share=0.1",
    )
    assert kept("checkpoints.every_steps=10", "checkpoints.keep_last=2", *beside) == 6
    assert kept("checkpoints.every_steps=50", "checkpoints.keep_last=2", *beside) == 2


def trained(runs: Path, *overrides: str, seconds: float, steps: int = 10) -> str:
    """A run with metrics; its id."""
    run = create_run(runs, profile_with(*overrides), source=None)
    log = MetricsLog(run.metrics)
    for step in range(1, steps + 1):
        log.write(MetricPoint(step, 1, 1, 0.0, 0.1, 0.1, {"unet": 1e-4}, step_seconds=seconds))
    log.close()
    return run.id


def test_the_time_is_that_of_a_run_which_trained_the_same(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    profile = profile_with("optimizer.lr=5e-5")
    assert estimate(profile, runs).seconds is None
    trained(runs, "training.batch_size=2", seconds=9.0)  # another batch
    trained(runs, seconds=9.0, steps=3)  # too few steps to tell
    assert measured_speed(runs, profile) is None
    run = trained(runs, seconds=0.5)
    found = estimate(profile, runs, done=40)
    assert (found.speed and found.speed.run, found.seconds) == (run, 30.0)
    assert measured_speed(runs, profile, without=run) is None
    assert ("time", f"30 s for 60 steps, 0.5 s each as in {run}") in found.lines()


def test_the_result_stands_beside_the_estimate(tmp_path: Path) -> None:
    found = estimate(profile_with(), tmp_path)
    record = compared(found, Took(steps=4, seconds=2.0, peak_memory=9e8, on_gpu=False, checkpoint=None))
    assert record["memory"] == {
        "estimated": found.memory.total + PROGRAM_BYTES + found.memory.save_copy,
        "measured": 900_000_000,
    }
    assert record["seconds_per_step"] == {"estimated": None, "measured": 0.5}
    assert "0.5 s/step in fact" in compared_text(record)


def test_a_disk_that_is_too_small_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.estimate.estimate.free_bytes", lambda _: 1_000_000)
    (warning,) = estimate(profile_with(), tmp_path).warnings()
    assert warning.startswith("the disk has 1.0 MB free, the run may take")
    assert "1 checkpoint of" in warning and "make room" in warning
    (warning,) = estimate(profile_with("checkpoints.every_steps=10"), tmp_path).warnings()
    assert "10 checkpoints of" in warning and "checkpoints.keep_last lets old ones go" in warning


def test_after_a_resume_only_what_is_still_to_come_counts() -> None:
    profile = profile_with("checkpoints.every_steps=10")
    kept = [estimate_disk(profile, values=1000, state_bytes=8000, done=done).checkpoints for done in (0, 45, 100)]
    assert kept == [10, 6, 1]


def test_an_average_of_the_weights_is_stored_too() -> None:
    plain, averaged = (
        estimate_disk(profile_with(*how), values=1000, state_bytes=8000) for how in ((), ("ema.decay=0.99",))
    )
    assert averaged.checkpoint - plain.checkpoint == 4000


@pytest.mark.parametrize(("seconds", "text"), [(12.4, "12 s"), (240, "4 min"), (12_000, "3 h 20 min")])
def test_durations_are_told_in_the_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("kind", OptimizerKind)
def test_the_optimizer_takes_what_its_state_takes(kind: OptimizerKind) -> None:
    """On factors of SDXL's sizes; factored moments and quantised states are declared as about."""
    shapes = [(16, 1280), (1280, 16), (16, 640), (5120, 16)]
    parameters = [(f"factor.{index}", nn.Parameter(torch.randn(shape))) for index, shape in enumerate(shapes)]
    optimizer = NamedOptimizer([ParameterGroup("unet", 1e-3, tuple(parameters))], {}, kind)
    for _ in range(2):
        optimizer.set_lr({"unet": 1e-3})
        for _, parameter in parameters:
            parameter.grad = torch.randn_like(parameter)
        optimizer.inner.step()
    values = sum(parameter.numel() for _, parameter in parameters)
    taken = sum(tensor.nbytes for tensor in optimizer.tensors().values())
    assert taken / values == pytest.approx(OPTIMIZERS[kind].state_bytes, rel=0.2)


def test_an_average_of_the_weights_and_checkpointing_count() -> None:
    plain, averaged = (estimate_memory(profile_with(*how)) for how in ((), ("ema.decay=0.99",)))
    assert averaged.adapter - plain.adapter == 4 * plain.values
    assert estimate_memory(profile_with("training.gradient_checkpointing=true")).activations < plain.activations / 2


def test_a_save_is_reckoned_with_its_copy_in_main_memory() -> None:
    """Weights and AdamW's two moments, and the average of the weights where there is one; all in float32."""
    plain = estimate_memory(profile_with())
    assert plain.save_copy == plain.values * 12
    assert estimate_memory(profile_with("ema.decay=0.99")).save_copy == plain.values * 16
