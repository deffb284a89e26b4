"""Every optimizer that is offered: it follows the rates that are set, uses every hyperparameter, and is stored to the bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engine.checkpoint.manifest import CheckpointError
from engine.errors import UserError
from engine.profile.optimizer_kinds import OPTIMIZERS, OptimizerKind
from engine.train.optimizer import NamedOptimizer, ParameterGroup
from engine.train.optimizer_state import OptimizerStateError

KINDS = list(OptimizerKind)
SHAPES = {"unet": ((72, 64), (5,)), "text_encoder_1": ((3, 4, 2, 2), (2, 3))}
"""A matrix large enough for 8 bits, a vector, a convolution, a small matrix."""


def lr_of(kind: OptimizerKind) -> float:
    return 1.0 if OPTIMIZERS[kind].adaptive else 1e-2


def make(kind: OptimizerKind, hyperparameters: dict[str, float] | None = None, seed: int = 0) -> NamedOptimizer:
    """Two groups of two parameters."""
    generator = torch.Generator().manual_seed(seed)
    groups = [
        ParameterGroup(
            name,
            lr_of(kind),
            tuple((f"{name}.{i}", nn.Parameter(torch.randn(s, generator=generator))) for i, s in enumerate(shapes)),
        )
        for name, shapes in SHAPES.items()
    ]
    return NamedOptimizer(groups, hyperparameters, kind)


def steps(optimizer: NamedOptimizer, first: int, last: int, factor: float = 1.0) -> None:
    """Steps number ``first`` to ``last``: gradients of a quadratic with noise, a rate that changes from step to step."""
    for step in range(first, last + 1):
        generator = torch.Generator().manual_seed(step)
        for parameter in optimizer.parameters:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.grad = (parameter.detach() - 1.0) * 0.1 + 0.01 * noise
        rate = lr_of(optimizer.kind) * factor * (1.0 - 0.05 * step)
        optimizer.set_lr(dict.fromkeys(SHAPES, rate))
        optimizer.inner.step()
        optimizer.inner.zero_grad(set_to_none=True)


def weights(optimizer: NamedOptimizer) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in optimizer.parameters]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(left, right) for left, right in zip(one, other, strict=True))


def through_files(optimizer: NamedOptimizer, folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The state as a checkpoint has it."""
    save_file(optimizer.tensors(), folder / "optimizer.safetensors")
    described: dict[str, Any] = json.loads(json.dumps(optimizer.describe(), allow_nan=False))
    return described, load_file(folder / "optimizer.safetensors")


@pytest.mark.parametrize("after", [1, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_stored_and_restored_it_goes_on_bit_for_bit(kind: OptimizerKind, after: int, tmp_path: Path) -> None:
    straight = make(kind)
    steps(straight, 1, after)
    described, tensors = through_files(straight, tmp_path)
    other = make(kind, seed=1)
    with torch.no_grad():
        for parameter, value in zip(other.parameters, weights(straight), strict=True):
            parameter.copy_(value)
    other.restore(described, tensors)
    assert other.describe() == straight.describe()
    assert other.tensors().keys() == straight.tensors().keys()
    assert all(torch.equal(tensor, other.tensors()[name]) for name, tensor in straight.tensors().items())
    before = weights(straight)
    steps(straight, after + 1, after + 4)
    steps(other, after + 1, after + 4)
    assert same(weights(straight), weights(other))
    assert not same(weights(straight), before)
    assert other.describe() == straight.describe()


@pytest.mark.parametrize("kind", KINDS)
def test_without_its_state_it_would_go_another_way(kind: OptimizerKind) -> None:
    straight, other = make(kind), make(kind)
    steps(straight, 1, 4)
    steps(other, 1, 4)
    fresh = NamedOptimizer(
        [
            ParameterGroup(group, lr_of(kind), tuple((f"{group}.{i}", next(left)) for i in range(2)))
            for left in [iter(other.parameters)]
            for group in SHAPES
        ],
        None,
        kind,
    )
    steps(straight, 5, 8)
    steps(fresh, 5, 8)
    assert not same(weights(straight), weights(fresh))


@pytest.mark.parametrize("kind", KINDS)
def test_the_rate_that_is_set_is_the_rate_that_is_used(kind: OptimizerKind) -> None:
    still = make(kind)
    before = weights(still)
    steps(still, 1, 3, factor=0.0)
    assert same(weights(still), before), "a rate of 0 moves nothing"
    # From the same start, the first step that moves goes twice as far at twice the rate.
    moved = []
    for factor in (0.5, 1.0):
        optimizer = make(kind, {"weight_decay": 0.0})
        start = weights(optimizer)
        steps(optimizer, 1, 1, factor)
        moved.append([after - at for after, at in zip(weights(optimizer), start, strict=True)])
    for half, whole in zip(*moved, strict=True):
        torch.testing.assert_close(2 * half, whole, rtol=2e-2, atol=2e-6)


CHANGED = {
    "weight_decay": 0.5,
    "beta1": 0.5,
    "beta2": 0.6,
    "beta3": 0.7,
    "eps": 1e-2,
    "eps2": 1e-2,
    "clip_threshold": 0.3,
    "decay_rate": 0.2,
    "d0": 1e-3,
    "d_coef": 0.5,
    "growth_rate": 1.01,
    "bias_correction": True,
    "safeguard_warmup": True,
}


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, facts in OPTIMIZERS.items() for name in facts.defaults]
)
def test_every_hyperparameter_has_an_effect(kind: OptimizerKind, name: str) -> None:
    plain, changed = make(kind), make(kind, {name: CHANGED[name]})
    steps(plain, 1, 6)
    steps(changed, 1, 6)
    assert not same(weights(plain), weights(changed))
    assert changed.describe()["groups"][0]["hyperparameters"][name] == CHANGED[name]


@pytest.mark.parametrize("kind", [kind for kind, facts in OPTIMIZERS.items() if facts.adaptive])
def test_the_effective_rate_is_d_times_the_set_one(kind: OptimizerKind) -> None:
    """Told by how far a step goes: without momentum's memory, both move as Adam at the effective rate would."""
    optimizer = make(kind)
    assert optimizer.d == 1e-6
    steps(optimizer, 1, 8)
    d = optimizer.d
    assert d is not None
    assert d > 1e-6, "it has grown"
    assert optimizer.effective({"unet": 0.5}) == {"unet": 0.5 * d}
    rate = lr_of(kind) * (1.0 - 0.05 * 9)
    optimizer.set_lr(dict.fromkeys(SHAPES, rate))
    (group, _) = optimizer.describe()["groups"]
    assert (group["lr"], group["d"], group["effective_lr"]) == (rate, d, d * rate)


def test_prodigy_moves_by_its_effective_rate() -> None:
    """Mishchenko & Defazio 2023, algorithm 4, with d held: x − d·γ·m / (√v + d·ε), m and v carrying factors d and d²."""
    optimizer = make(OptimizerKind.PRODIGY, {"weight_decay": 0.0, "growth_rate": 1 + 1e-12, "d0": 1e-3})
    start = weights(optimizer)[0].double()
    x, m, v, d = start.clone(), torch.zeros_like(start), torch.zeros_like(start), 1e-3
    for step in range(1, 4):
        generator = torch.Generator().manual_seed(step)
        gradient = (x - 1.0) * 0.1 + 0.01 * torch.randn(x.shape, generator=generator).double()
        m, v = 0.9 * m + 0.1 * d * gradient, 0.999 * v + 0.001 * (d * gradient) ** 2
        d = optimizer.d or 0.0
        used = lr_of(optimizer.kind) * (1.0 - 0.05 * step) * d
        steps(optimizer, step, step)
        x = x - used * m / (v.sqrt() + (optimizer.d or 0.0) * 1e-8)
        d = optimizer.d or 0.0
    torch.testing.assert_close(weights(optimizer)[0].double(), x, rtol=1e-4, atol=1e-5)


def test_lion_moves_by_the_sign_of_its_momentum() -> None:
    """Chen et al. 2023, algorithm 2."""
    optimizer = make(OptimizerKind.LION)
    x = weights(optimizer)[0]
    momentum = torch.zeros_like(x)
    for step in range(1, 4):
        generator = torch.Generator().manual_seed(step)
        gradient = (x - 1.0) * 0.1 + 0.01 * torch.randn(x.shape, generator=generator)
        rate = 1e-2 * (1.0 - 0.05 * step)
        x = x - rate * ((0.9 * momentum + 0.1 * gradient).sign() + 0.1 * x)
        momentum = 0.99 * momentum + 0.01 * gradient
        steps(optimizer, step, step)
        torch.testing.assert_close(weights(optimizer)[0], x, rtol=1e-5, atol=1e-6)


def test_eight_bit_moments_are_eight_bits() -> None:
    optimizer = make(OptimizerKind.ADAMW_8BIT)
    steps(optimizer, 1, 2)
    assert optimizer.tensors()["unet.0/state1"].dtype == torch.uint8


def test_schedule_free_hands_out_the_average_and_trains_on_from_where_it_was() -> None:
    """Defazio et al. 2024: x is the running mean of z, y lies between them; with constant rates the weights are 1/t."""
    kind = OptimizerKind.SCHEDULE_FREE_ADAMW
    optimizer = make(kind, {"weight_decay": 0.0})
    start = weights(optimizer)[0].double()
    z, x = start.clone(), start.clone()
    v = torch.zeros_like(z)
    for step in range(1, 5):
        y = weights(optimizer)[0].double()
        torch.testing.assert_close(y, 0.1 * z + 0.9 * x, rtol=1e-5, atol=1e-6)
        generator = torch.Generator().manual_seed(step)
        noise = torch.randn(optimizer.parameters[0].shape, generator=generator).double()
        gradient = (y - 1.0) * 0.1 + 0.01 * noise
        for parameter in optimizer.parameters:
            parameter.grad = torch.zeros_like(parameter)
        optimizer.parameters[0].grad = gradient.float()
        v = 0.999 * v + 0.001 * gradient**2
        z = z - 1e-2 * gradient / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
        x = x + (z - x) / step
        optimizer.set_lr(dict.fromkeys(SHAPES, 1e-2))
        optimizer.inner.step()
    before = weights(optimizer)
    with optimizer.averaged():
        torch.testing.assert_close(weights(optimizer)[0].double(), x, rtol=1e-5, atol=1e-6)
        assert not same(weights(optimizer), before)
    assert same(weights(optimizer), before)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not OptimizerKind.SCHEDULE_FREE_ADAMW])
def test_the_others_hand_out_what_they_train(kind: OptimizerKind) -> None:
    optimizer = make(kind)
    steps(optimizer, 1, 2)
    before = weights(optimizer)
    with optimizer.averaged():
        assert same(weights(optimizer), before)


@pytest.mark.parametrize("kind", KINDS)
def test_a_scaled_base_is_described_and_restored(kind: OptimizerKind) -> None:
    optimizer = make(kind)
    steps(optimizer, 1, 1)
    scaled = optimizer.scale_base_lrs(0.5)
    assert scaled == dict.fromkeys(SHAPES, lr_of(kind) * 0.5)
    other = make(kind)
    other.restore(optimizer.describe(), optimizer.tensors())
    assert other.base_lrs == scaled


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_that_lacks_something_or_has_more_is_refused(kind: OptimizerKind) -> None:
    optimizer, fresh = make(kind), make(kind)
    steps(optimizer, 1, 2)
    described, tensors = optimizer.describe(), optimizer.tensors()
    name = next(name for name in tensors if name.startswith("unet.0/"))
    before = fresh.describe()
    broken = [
        (described, {other: tensor for other, tensor in tensors.items() if other != name}),
        (described, tensors | {"unet.0/extra": torch.zeros(1)}),
        (described, tensors | {name: tensors[name].new_zeros(3, 3)}),
        (described | {"groups": [group | {"state": {"mood": 1}} for group in described["groups"]]}, tensors),
        (described | {"groups": [group | {"parameter_state": {"mood": 1}} for group in described["groups"]]}, tensors),
        (described | {"groups": [group | {"hyperparameters": {}} for group in described["groups"]]}, tensors),
    ]
    if any("parameter_state" in group for group in described["groups"]):
        without = [{key: value for key, value in g.items() if key != "parameter_state"} for g in described["groups"]]
        broken.append((described | {"groups": without}, tensors))
    if len([slot for slot in tensors if slot.startswith("unet.0/")]) == 1:
        broken.pop(0)  # its only tensor: as if the parameter had never had a gradient
    for wrong, wrong_tensors in broken:
        with pytest.raises(CheckpointError):
            fresh.restore(wrong, wrong_tensors)
        assert fresh.describe() == before


def test_a_parameter_that_never_had_a_gradient_has_no_state_and_is_restored_so() -> None:
    optimizer, fresh = make(OptimizerKind.ADAFACTOR), make(OptimizerKind.ADAFACTOR)
    for parameter in optimizer.parameters[:3]:
        parameter.grad = torch.ones_like(parameter)
    optimizer.set_lr(dict.fromkeys(SHAPES, 1e-2))
    optimizer.inner.step()
    described = json.loads(json.dumps(optimizer.describe()))
    assert described["groups"][1]["parameter_state"] == {"step": [1, "none"]}
    fresh.restore(described, optimizer.tensors())
    assert fresh.describe() == optimizer.describe()


@pytest.mark.parametrize("odd", [float("nan"), "text", [1], {"a": 1}, object()])
def test_state_that_cannot_be_stored_is_refused_by_name(odd: object) -> None:
    optimizer = make(OptimizerKind.ADAFACTOR)
    steps(optimizer, 1, 1)
    optimizer.inner.state[optimizer.parameters[1]]["mood"] = odd
    with pytest.raises(OptimizerStateError, match=r"keeps 'unet\.1/mood'"):
        optimizer.set_lr(dict.fromkeys(SHAPES, 1e-2))
    optimizer.inner.state[optimizer.parameters[1]].pop("mood")
    optimizer.inner.param_groups[0]["mood"] = odd
    with pytest.raises(OptimizerStateError, match="keeps 'mood' in its groups"):
        optimizer.describe()


def test_a_missing_package_is_named_with_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr("engine.train.optimizer_recipes.importlib.import_module", missing)
    with pytest.raises(UserError) as caught:
        make(OptimizerKind.PRODIGY)
    text = str(caught.value)
    assert "optimizer.kind: the optimizer prodigy needs the package pytorch-optimizer" in text
    assert "pip install 'sdxl-tui[optimizers]', or only pytorch-optimizer" in text
