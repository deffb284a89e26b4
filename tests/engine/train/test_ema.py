"""The average of the weights is the formula's, survives a resume to the bit, and stands in for the weights where it should."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from engine.checkpoint.manifest import CheckpointError
from engine.profile.schema import Ema
from engine.train.ema import WeightAverage
from tests.engine.train.train_runs import Lab, events, same_tensors, state, train


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=12), st.floats(0.01, 0.999), st.booleans())
def test_the_average_is_the_formulas(values: list[float], decay: float, warmup: bool) -> None:
    weight = nn.Parameter(torch.zeros(3))
    average = WeightAverage([("w", weight)], Ema(decay=decay, warmup=warmup))
    expected = 0.0
    for n, value in enumerate(values):
        weight.data.fill_(value)
        d = min(decay, (1 + n) / (10 + n)) if warmup else decay
        expected = d * expected + (1 - d) * value
        average.update()
    torch.testing.assert_close(average.tensors()["w"], torch.full((3,), expected), rtol=1e-5, atol=1e-6)


def test_in_its_place_the_model_has_the_average_and_then_its_weights_to_the_bit() -> None:
    weight = nn.Parameter(torch.randn(5))
    average = WeightAverage([("w", weight)], Ema(decay=0.5))
    before = weight.detach().clone()
    weight.data.add_(1.0)
    after, gradient = weight.detach().clone(), torch.ones(5)
    weight.grad = gradient
    with pytest.raises(KeyboardInterrupt), average.in_place():
        assert torch.equal(weight, before)
        raise KeyboardInterrupt
    assert torch.equal(weight, after)
    assert weight.grad is gradient


def test_another_adapters_average_is_refused() -> None:
    average = WeightAverage([("w", nn.Parameter(torch.zeros(2)))], Ema(decay=0.5))
    for stored, tensors in (
        ({"updates": 1}, {"v": torch.zeros(2)}),
        ({"updates": 1}, {"w": torch.zeros(3)}),
        ({"updates": -1}, {"w": torch.zeros(2)}),
        ({}, {"w": torch.zeros(2)}),
    ):
        with pytest.raises(CheckpointError):
            average.restore(stored, tensors)


HOW = ("ema.decay=0.7", "training.steps=4", "network.dropout=0.1")


def test_a_run_keeps_its_average_over_a_resume_and_hands_it_out(lab: Lab) -> None:
    straight, stopped = lab.run(*HOW, "checkpoints.every_steps=1"), lab.run(*HOW)
    assert train(straight) == 0
    assert train(stopped, stop_at=2) == 0
    assert train(stopped) == 0
    for name in ("ema.safetensors", "trainable.safetensors", "lora.safetensors"):
        assert same_tensors(straight.checkpoint(4), stopped.checkpoint(4), name), name
    assert state(stopped.checkpoint(4))["ema"] == {"decay": 0.7, "updates": 4}
    # The average by the formula, from the weights of every step; step 1 has the rate 0, so it is the start itself.
    weights = [load_file(straight.checkpoint(step) / "trainable.safetensors") for step in (1, 2, 3, 4)]
    average = load_file(straight.checkpoint(4) / "ema.safetensors")
    for name, found in average.items():
        expected = weights[0][name].double()
        for n, weight in enumerate(weights):
            d = min(0.7, (1 + n) / (10 + n))
            expected = d * expected + (1 - d) * weight[name].double()
        torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-6)
    name = next(name for name in average if name.endswith("lora_A.weight"))
    lora = load_file(straight.checkpoint(4) / "lora.safetensors")
    assert any(torch.equal(tensor, average[name]) for tensor in lora.values())
    assert not any(torch.equal(tensor, weights[3][name]) for tensor in lora.values())


def test_the_profile_may_want_the_weights_handed_out(lab: Lab) -> None:
    run = lab.run(*HOW, "ema.deliverable=false")
    assert train(run, stop_at=3) == 0
    weights = load_file(run.checkpoint(3) / "trainable.safetensors")
    lora = load_file(run.checkpoint(3) / "lora.safetensors")
    name = next(name for name in weights if name.endswith("lora_A.weight"))
    assert any(torch.equal(tensor, weights[name]) for tensor in lora.values())


def test_an_average_that_is_switched_on_at_a_resume_begins_there_and_says_so(lab: Lab) -> None:
    run = lab.run("training.steps=4")
    assert train(run, stop_at=2) == 0
    assert not (run.checkpoint(2) / "ema.safetensors").exists()
    text = run.profile.read_text()
    run.profile.chmod(0o600)
    run.profile.write_text(text.replace("[ema]", "[ema]\ndecay = 0.9"))
    assert train(run) == 0
    assert state(run.checkpoint(4))["ema"]["updates"] == 2
    assert any("it begins with the checkpoint's weights" in event["message"] for event in events(run, "warning"))


def test_what_is_handed_out_of_the_average_keeps_the_limit_on_norms(lab: Lab) -> None:
    limit = 0.02
    run = lab.run(*HOW, "training.steps=8", "ema.warmup=false", f"network.scale_weight_norms={limit}")
    assert train(run) == 0
    average = load_file(run.checkpoint(8) / "ema.safetensors")
    modules = [name.removesuffix(".lora_A.weight") for name in average if name.endswith("lora_A.weight")]
    kept = [float((average[f"{one}.lora_B.weight"] @ average[f"{one}.lora_A.weight"]).norm()) for one in modules]
    assert max(kept) > 1.01 * limit, (
        "the average of the factors is above it, so that the rest of this test says something"
    )
    lora = load_file(run.checkpoint(8) / "lora.safetensors")
    names = [key.removesuffix(".alpha") for key in lora if key.endswith(".alpha")]
    handed_out = [
        float((lora[f"{one}.lora_up.weight"].flatten(1) @ lora[f"{one}.lora_down.weight"].flatten(1)).norm())
        for one in names
    ]
    assert max(handed_out) <= 1.0001 * limit
