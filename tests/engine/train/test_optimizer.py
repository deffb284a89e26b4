"""AdamW's update against its equations, and its state as named tensors."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.checkpoint.manifest import CheckpointError
from engine.train.loop import clip_gradients
from engine.train.optimizer import NamedOptimizer, ParameterGroup

SETTINGS = {"weight_decay": 0.1, "beta1": 0.8, "beta2": 0.95, "eps": 1e-6}


def make(seed: int = 0, settings: dict[str, float] = SETTINGS, shape: tuple[int, ...] = (3, 2)) -> NamedOptimizer:
    """Two parameters in two groups."""
    generator = torch.Generator().manual_seed(seed)
    first, second = (nn.Parameter(torch.randn(shape, generator=generator)) for _ in range(2))
    return NamedOptimizer(
        [ParameterGroup("unet", 1e-2, (("a", first),)), ParameterGroup("text", 1e-3, (("b", second),))], settings
    )


def step(optimizer: NamedOptimizer, seed: int, rates: dict[str, float]) -> list[Tensor]:
    """One step with gradients drawn from ``seed``; the gradients."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in optimizer.parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    optimizer.set_lr(rates)
    optimizer.inner.step()
    return [parameter.grad for parameter in optimizer.parameters if parameter.grad is not None]


def adamw(weight: Tensor, gradients: list[Tensor], rates: list[float]) -> Tensor:
    """Loshchilov & Hutter 2019, algorithm 2 (the green part), in float64."""
    weight = weight.double()
    first, second = torch.zeros_like(weight), torch.zeros_like(weight)
    for t, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        g = gradient.double()
        first = SETTINGS["beta1"] * first + (1 - SETTINGS["beta1"]) * g
        second = SETTINGS["beta2"] * second + (1 - SETTINGS["beta2"]) * g**2
        unbiased_first, unbiased_second = first / (1 - SETTINGS["beta1"] ** t), second / (1 - SETTINGS["beta2"] ** t)
        weight = (
            weight
            - rate * SETTINGS["weight_decay"] * weight
            - rate * unbiased_first / (unbiased_second.sqrt() + SETTINGS["eps"])
        )
    return weight


def test_steps_follow_the_equations_at_the_rates_that_were_set() -> None:
    optimizer = make()
    start = [parameter.detach().clone() for parameter in optimizer.parameters]
    rates = [{"unet": 0.1, "text": 0.0}, {"unet": 0.05, "text": 0.02}, {"unet": 0.0, "text": 0.03}]
    gradients = [step(optimizer, seed, rate) for seed, rate in enumerate(rates)]
    for index, group in enumerate(("unet", "text")):
        expected = adamw(start[index], [grads[index] for grads in gradients], [rate[group] for rate in rates])
        assert torch.allclose(optimizer.parameters[index].double(), expected, atol=1e-6)


def test_the_description_is_what_the_optimizer_has() -> None:
    optimizer = make()
    assert [group["lr"] for group in optimizer.describe()["groups"]] == [None, None]
    step(optimizer, 1, {"unet": 0.25, "text": 0.5})
    described = optimizer.describe()
    assert described["kind"] == "adamw"
    assert described["groups"][0] == {
        "name": "unet",
        "base_lr": 1e-2,
        "lr": 0.25,
        "parameters": 1,
        "values": 6,
        "hyperparameters": {"weight_decay": 0.1, "beta1": 0.8, "beta2": 0.95, "eps": 1e-6},
    }
    assert optimizer.base_lrs == {"unet": 1e-2, "text": 1e-3}


def stored(optimizer: NamedOptimizer) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """An optimizer's state apart from it."""
    return optimizer.describe(), {name: tensor.clone() for name, tensor in optimizer.tensors().items()}


def test_a_restored_optimizer_goes_on_bit_for_bit() -> None:
    original = make()
    step(original, 1, {"unet": 0.1, "text": 0.2})
    described, tensors = stored(original)
    assert set(tensors) == {f"{name}/{slot}" for name in "ab" for slot in ("exp_avg", "exp_avg_sq", "step")}
    other = make(settings={})
    for parameter, source in zip(other.parameters, original.parameters, strict=True):
        parameter.data.copy_(source)
    other.restore(described, tensors)
    assert other.describe() == described, "hyperparameters are the stored ones, not those it was made with"
    for optimizer in (original, other):
        step(optimizer, 2, {"unet": 0.1, "text": 0.2})
    for one, two in zip(original.parameters, other.parameters, strict=True):
        assert torch.equal(one, two)
    assert all(torch.equal(tensor, other.tensors()[name]) for name, tensor in original.tensors().items())


def test_what_was_restored_is_not_the_files_own_memory() -> None:
    original = make()
    step(original, 1, {"unet": 0.1, "text": 0.2})
    described, tensors = stored(original)
    kept = {name: tensor.clone() for name, tensor in tensors.items()}
    other = make()
    other.restore(described, tensors)
    step(other, 2, {"unet": 0.1, "text": 0.2})
    assert all(torch.equal(tensors[name], tensor) for name, tensor in kept.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d, t: d.update(kind="lion"), "its optimizer is 'lion'"),
        (lambda d, t: d["groups"].pop(), "the groups"),
        (lambda d, t: d["groups"][0].update(name="other"), "the groups"),
        (lambda d, t: d["groups"][0].pop("base_lr"), "does not say what optimizer group 'unet'"),
        (lambda d, t: d["groups"][0]["hyperparameters"].update(momentum=0.9), "does not say"),
        (lambda d, t: t.pop("b/exp_avg"), "lacks 'b/exp_avg'"),
        (lambda d, t: t.update({"c/step": torch.tensor(1.0)}), "has 'c/step'"),
        (lambda d, t: t.update({"a/exp_avg": torch.zeros(2, 3)}), "'a/exp_avg' is"),
        (lambda d, t: t.update({"a/exp_avg": torch.zeros(3, 2, dtype=torch.bfloat16)}), "bfloat16, not"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(change: Any, message: str) -> None:
    optimizer = make()
    step(optimizer, 1, {"unet": 0.1, "text": 0.2})
    before = stored(optimizer)
    described, tensors = stored(optimizer)
    change(described, tensors)
    with pytest.raises(CheckpointError, match=message):
        optimizer.restore(described, tensors)
    after = stored(optimizer)
    assert after[0] == before[0]
    assert all(torch.equal(after[1][name], tensor) for name, tensor in before[1].items())


def test_parameters_must_be_float32() -> None:
    with pytest.raises(ValueError, match="must be float32"):
        NamedOptimizer([ParameterGroup("unet", 1.0, (("a", nn.Parameter(torch.ones(1).half())),))], SETTINGS)


@pytest.mark.parametrize(("limit", "expected"), [(1.0, 1.0), (100.0, 13.0), (0.0, 13.0)])
def test_gradients_are_scaled_down_to_the_limit_and_their_norm_told(limit: float, expected: float) -> None:
    parameters = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))]
    parameters[0].grad, parameters[1].grad = torch.tensor([3.0, 4.0]), torch.tensor([12.0])
    assert clip_gradients(parameters, limit).item() == pytest.approx(13.0)
    after = math.hypot(*(float(value) for p in parameters[:2] if p.grad is not None for value in p.grad))
    assert after == pytest.approx(expected, rel=1e-5)
