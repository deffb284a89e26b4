"""AdamW over named parameters in named groups, with its state as named tensors that need no pickle.

The learning rate of every step is set from outside (``set_lr``), from ``engine.schedule``; nothing here changes a rate.
The update rule is decoupled weight decay, Loshchilov & Hutter 2019 (arXiv:1711.05101), in torch's fused kernel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import Parameter

from engine.checkpoint.manifest import CheckpointError

KIND: Final = "adamw"
SLOTS: Final = ("exp_avg", "exp_avg_sq", "step")


@dataclass(frozen=True)
class Hyperparameters:
    """What AdamW is set to besides the learning rate; the same for all groups of a run."""

    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a base learning rate."""

    name: str
    base_lr: float
    parameters: tuple[tuple[str, Parameter], ...]
    """By name, in an order that never changes."""


class NamedAdamW:
    """AdamW on fp32 parameters. Names identify parameters and groups wherever state is stored or restored."""

    def __init__(self, groups: Sequence[ParameterGroup], hyperparameters: Hyperparameters) -> None:
        """No step has been made; every group stands at its base rate."""
        self.inner = torch.optim.AdamW(
            [_torch_group(group, hyperparameters) for group in groups],
            lr=0.0,
            fused=True,
        )
        """The torch optimizer, for accelerate to prepare."""
        self._groups = tuple(groups)
        self._last_lr: dict[str, float] | None = None

    @property
    def parameters(self) -> list[Parameter]:
        """All trainable parameters, by group and then in the group's order."""
        return [parameter for group in self._groups for _, parameter in group.parameters]

    @property
    def base_lrs(self) -> dict[str, float]:
        """By group: what a schedule's factor multiplies."""
        return {group["name"]: group["base_lr"] for group in self.inner.param_groups}

    def set_lr(self, rates: Mapping[str, float]) -> None:
        """The rate of the next step by group; every group must be named."""
        for group in self.inner.param_groups:
            group["lr"] = rates[group["name"]]
        self._last_lr = dict(rates)

    def tensors(self) -> dict[str, Tensor]:
        """The state as ``<parameter name>/<slot>``; empty before the first step. Not copies."""
        named = ((name, parameter) for group in self._groups for name, parameter in group.parameters)
        return {
            f"{name}/{slot}": self.inner.state[parameter][slot]
            for name, parameter in named
            if parameter in self.inner.state
            for slot in SLOTS
        }

    def describe(self) -> dict[str, Any]:
        """``optimizer`` in state.json: what every group really has, read from the torch optimizer."""
        return {"kind": KIND, "groups": [self._describe(group) for group in self.inner.param_groups]}

    def _describe(self, group: dict[str, Any]) -> dict[str, Any]:
        beta1, beta2 = group["betas"]
        return {
            "name": group["name"],
            "base_lr": group["base_lr"],
            "lr": None if self._last_lr is None else self._last_lr[group["name"]],
            "parameters": len(group["params"]),
            "values": sum(parameter.numel() for parameter in group["params"]),
            "hyperparameters": asdict(Hyperparameters(group["weight_decay"], beta1, beta2, group["eps"])),
        }

    def restore(self, described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Go back to a stored state: ``describe()``'s form and ``tensors()``'.

        Raises ``CheckpointError`` for another update rule, other groups, and missing, surplus or misshapen tensors;
        then nothing has been changed.
        """
        stored_groups = self._matching_groups(described)
        settings = [_settings_of(group) for group in stored_groups]
        states = self._matching_states(tensors)
        for group, stored, setting in zip(self.inner.param_groups, stored_groups, settings, strict=True):
            group.update(setting)
            group["base_lr"] = group["lr"] = float(stored["base_lr"])
        self.inner.state.clear()
        self.inner.state.update(states)
        rates = {group["name"]: group["lr"] for group in stored_groups}
        if None not in rates.values():
            self.set_lr({name: float(rate) for name, rate in rates.items()})

    def _matching_groups(self, described: Mapping[str, Any]) -> list[dict[str, Any]]:
        if described.get("kind") != KIND:
            raise CheckpointError(
                f"its optimizer is {described.get('kind')!r}, the run's is {KIND!r}",
                hint="Continue from the checkpoint as a new run: that keeps the weights and starts a new optimizer.",
            )
        groups = described.get("groups")
        if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
            raise CheckpointError("its state.json has no optimizer groups")
        names, own = [group.get("name") for group in groups], [group.name for group in self._groups]
        if names != own:
            raise CheckpointError(f"its optimizer has the groups {names}, the run has {own}")
        return groups

    def _matching_states(self, tensors: Mapping[str, Tensor]) -> dict[Tensor, dict[str, Tensor]]:
        parameters = dict(named for group in self._groups for named in group.parameters)
        expected = {f"{name}/{slot}" for name in parameters for slot in SLOTS}
        if tensors and tensors.keys() != expected:
            name = min(tensors.keys() ^ expected)
            raise CheckpointError(f"its optimizer {'has' if name in tensors else 'lacks'} {name!r}")
        states: dict[Tensor, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            name, _, slot = key.rpartition("/")
            parameter = parameters[name]
            shape = () if slot == "step" else tuple(parameter.shape)
            if tuple(tensor.shape) != shape or tensor.dtype != torch.float32:
                found = f"{tuple(tensor.shape)} {tensor.dtype}"
                raise CheckpointError(f"its optimizer's {key!r} is {found}, not {shape} float32")
            # A copy: the tensors of a file may be read-only views of it.
            states.setdefault(parameter, {})[slot] = tensor.to(parameter.device, copy=True)
        return states


def _torch_group(group: ParameterGroup, hyperparameters: Hyperparameters) -> dict[str, Any]:
    for name, parameter in group.parameters:
        if parameter.dtype != torch.float32:
            raise ValueError(f"{name} is {parameter.dtype}: trained parameters must be float32")
    return {
        "params": [parameter for _, parameter in group.parameters],
        "name": group.name,
        "lr": group.base_lr,
        "base_lr": group.base_lr,
        **_torch_settings(hyperparameters),
    }


def _torch_settings(hyperparameters: Hyperparameters) -> dict[str, Any]:
    return {
        "weight_decay": hyperparameters.weight_decay,
        "betas": (hyperparameters.beta1, hyperparameters.beta2),
        "eps": hyperparameters.eps,
    }


def _settings_of(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The torch settings of a stored group. Raises ``CheckpointError`` if they are not all there."""
    try:
        float(stored["base_lr"])
        values = {name: float(value) for name, value in stored["hyperparameters"].items()}
        return _torch_settings(Hyperparameters(**values))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"its state.json does not say what optimizer group {stored.get('name')!r} had") from error
