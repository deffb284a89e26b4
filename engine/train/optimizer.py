"""Any optimizer over named parameters in named groups, with its state as named tensors and JSON numbers, without pickle.

The learning rate of every step is set from outside (``set_lr``), from ``engine.schedule``; nothing here changes a rate. How each
optimizer is made is ``optimizer_recipes``' business, how its state becomes names ``optimizer_state``'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from engine.checkpoint.manifest import CheckpointError
from engine.profile.optimizer_kinds import OPTIMIZERS, OptimizerKind, settled
from engine.train.optimizer_recipes import RECIPES, make_optimizer
from engine.train.optimizer_state import NamedState, read_state, restored_state


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a base learning rate."""

    name: str
    base_lr: float
    parameters: tuple[tuple[str, Parameter], ...]
    """By name, in an order that never changes."""


class NamedOptimizer:
    """An optimizer on fp32 parameters. Names identify parameters and groups wherever state is stored or restored."""

    def __init__(
        self,
        groups: Sequence[ParameterGroup],
        hyperparameters: Mapping[str, float] | None = None,
        kind: OptimizerKind = OptimizerKind.ADAMW,
    ) -> None:
        """No step has been made; every group stands at its base rate.

        hyperparameters: those of the kind; what is missing is at what fits it.
        """
        self.kind = kind
        self._groups = tuple(groups)
        self._hyperparameters = {name: float(value) for name, value in settled(kind, hyperparameters or {}).items()}
        self.inner = self._make(self._hyperparameters, {group.name: group.base_lr for group in groups})
        """The torch optimizer, for accelerate to prepare."""
        self._last_lr: dict[str, float] | None = None
        self._last_effective: dict[str, float] | None = None
        self._is_looked_at = False

    def _make(self, hyperparameters: Mapping[str, float], base_lrs: Mapping[str, float]) -> torch.optim.Optimizer:
        return make_optimizer(
            self.kind, [_torch_group(group, base_lrs[group.name]) for group in self._groups], hyperparameters
        )

    @property
    def parameter_groups(self) -> tuple[ParameterGroup, ...]:
        """As they were given; base rates may have changed since."""
        return self._groups

    @property
    def hyperparameters(self) -> dict[str, float]:
        """Of all groups."""
        return dict(self._hyperparameters)

    @property
    def parameters(self) -> list[Parameter]:
        """All trainable parameters, by group and then in the group's order."""
        return [parameter for group in self._groups for _, parameter in group.parameters]

    @property
    def base_lrs(self) -> dict[str, float]:
        """By group: what a schedule's factor multiplies."""
        return {group["name"]: group["base_lr"] for group in self.inner.param_groups}

    @property
    def d(self) -> float | None:
        """What an adaptive optimizer multiplies the rate of the next step by; None for the others.

        A number on the host: the packages read it there themselves, in the step that finds it.
        """
        return float(self.inner.param_groups[0]["d"]) if OPTIMIZERS[self.kind].adaptive else None

    @property
    def has_average(self) -> bool:
        """The weights to hand out are not the ones that are trained."""
        return self.kind is OptimizerKind.SCHEDULE_FREE_ADAMW

    def effective(self, rates: Mapping[str, float]) -> dict[str, float]:
        """By group the rate that the next step really uses if ``rates`` are set: d · LR for an adaptive optimizer."""
        d = self.d
        return dict(rates) if d is None else {name: d * rate for name, rate in rates.items()}

    def set_lr(self, rates: Mapping[str, float]) -> None:
        """The rate of the next step by group; every group must be named."""
        if self._last_lr is not None and not self._is_looked_at:
            self._read_state()  # once, after the first step: a state that could not be stored ends the run here, not later
            self._is_looked_at = True
        for group in self.inner.param_groups:
            group["lr"] = rates[group["name"]]
        self._last_lr, self._last_effective = dict(rates), self.effective(rates)

    def scale_base_lrs(self, factor: float) -> dict[str, float]:
        """Multiply every base rate from the next step on; the new ones by group."""
        for group in self.inner.param_groups:
            group["base_lr"] = group["base_lr"] * factor
        return self.base_lrs

    def set_base_lrs(self, base_lrs: Mapping[str, float]) -> None:
        """Give every group the base rate named for it, from the next step on."""
        for group in self.inner.param_groups:
            group["base_lr"] = base_lrs[group["name"]]

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """While inside, the parameters are the ones to hand out: a schedule-free optimizer's average, else as trained.

        Afterwards they are the trained ones again, to the bit.
        """
        if not self.has_average:
            yield
            return
        trained = [parameter.detach().clone() for parameter in self.parameters]
        inner: Any = self.inner
        inner.eval()
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, value in zip(self.parameters, trained, strict=True):
                    parameter.copy_(value)
            for group in inner.param_groups:
                group["train_mode"] = True

    def tensors(self) -> dict[str, Tensor]:
        """The state's tensors as ``<parameter name>/<slot>`` and ``groups.<group>/<slot>``. Mostly not copies."""
        return self._read_state().tensors

    def _read_state(self) -> NamedState:
        return read_state(self.inner, self._names(), RECIPES[self.kind].group_state)

    def _names(self) -> dict[Tensor, str]:
        return {parameter: name for group in self._groups for name, parameter in group.parameters}

    def describe(self) -> dict[str, Any]:
        """``optimizer`` in state.json: what every group really has, read from the torch optimizer."""
        state = self._read_state()
        return {"kind": self.kind.value, "groups": [self._describe(group, state) for group in self.inner.param_groups]}

    def _describe(self, group: dict[str, Any], state: NamedState) -> dict[str, Any]:
        name = group["name"]
        described = {
            "name": name,
            "base_lr": group["base_lr"],
            "lr": None if self._last_lr is None else self._last_lr[name],
            "parameters": len(group["params"]),
            "values": sum(parameter.numel() for parameter in group["params"]),
            "hyperparameters": dict(self._hyperparameters),
        }
        if self.d is not None:
            described["d"] = self.d
            described["effective_lr"] = None if self._last_effective is None else self._last_effective[name]
        for key, values in (("state", state.of_groups[name]), ("parameter_state", state.of_parameters[name])):
            if values:
                described[key] = values
        return described

    def restore(self, described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Go back to a stored state: ``describe()``'s form and ``tensors()``'.

        Raises ``CheckpointError`` for another update rule, other groups, and missing, surplus or misshapen tensors;
        then nothing has been changed.
        """
        groups = self._matching_groups(described)
        hyperparameters = self._stored_hyperparameters(groups)
        inner = self._make(hyperparameters, {group["name"]: float(group["base_lr"]) for group in groups})
        restored_state(inner, self._names(), RECIPES[self.kind].group_state, groups, tensors, like=self._layout())
        self.inner, self._hyperparameters = inner, hyperparameters
        self._last_lr, self._last_effective = (_rates(groups, key) for key in ("lr", "effective_lr"))
        for group in inner.param_groups:
            group["lr"] = group["base_lr"] if self._last_lr is None else self._last_lr[group["name"]]

    def _layout(self) -> torch.optim.Optimizer:
        """The same optimizer over parameters of zeros, after a step with gradients of zero: what state looks like."""
        groups = [
            ParameterGroup(
                group.name,
                group.base_lr,
                tuple((name, Parameter(torch.zeros_like(parameter))) for name, parameter in group.parameters),
            )
            for group in self._groups
        ]
        rehearsed = make_optimizer(
            self.kind, [_torch_group(group, group.base_lr) for group in groups], self._hyperparameters
        )
        for group in groups:
            for _, parameter in group.parameters:
                parameter.grad = torch.zeros_like(parameter)
        rehearsed.step()
        return rehearsed

    def _stored_hyperparameters(self, groups: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        defaults = OPTIMIZERS[self.kind].defaults
        found = []
        for group in groups:
            try:
                float(group["base_lr"])
                values = {str(name): float(value) for name, value in group["hyperparameters"].items()}
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise _unsaid(group) from error
            needed = {name for name, default in defaults.items() if default is not None}
            if not needed <= values.keys() <= defaults.keys():
                raise _unsaid(group)
            found.append(values)
        if any(values != found[0] for values in found):
            raise CheckpointError("its optimizer groups differ in more than their rates")
        return found[0]

    def _matching_groups(self, described: Mapping[str, Any]) -> list[dict[str, Any]]:
        if described.get("kind") != self.kind.value:
            raise CheckpointError(
                f"its optimizer is {described.get('kind')!r}, the run's is {self.kind.value!r}",
                hint="Continue from the checkpoint as a new run: that keeps the weights and starts a new optimizer.",
            )
        groups = described.get("groups")
        if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
            raise CheckpointError("its state.json has no optimizer groups")
        names, own = [group.get("name") for group in groups], [group.name for group in self._groups]
        if names != own:
            raise CheckpointError(f"its optimizer has the groups {names}, the run has {own}")
        return groups


def _rates(groups: Sequence[Mapping[str, Any]], key: str) -> dict[str, float] | None:
    rates = {str(group["name"]): float(group[key]) for group in groups if group.get(key) is not None}
    return rates if len(rates) == len(groups) else None


def _unsaid(group: Mapping[str, Any]) -> CheckpointError:
    return CheckpointError(f"its state.json does not say what optimizer group {group.get('name')!r} had")


def _torch_group(group: ParameterGroup, base_lr: float) -> dict[str, Any]:
    for name, parameter in group.parameters:
        if parameter.dtype != torch.float32:
            raise ValueError(f"{name} is {parameter.dtype}: trained parameters must be float32")
    return {
        "params": [parameter for _, parameter in group.parameters],
        "name": group.name,
        "lr": base_lr,
        "base_lr": base_lr,
    }
