"""The state of a torch optimizer as named tensors and JSON numbers, and back, whatever the optimizer keeps.

Some keep counters and factors as Python numbers, per parameter or in their groups, some share a tensor between parameters or
keep it quantized. All of that is kept exactly. What is neither a tensor nor a finite number is refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from engine.checkpoint.manifest import CheckpointError

GROUPS: Final = "groups."
"""Before a group's name in the names of tensors that it keeps itself."""
_OURS: Final = frozenset({"params", "name", "lr", "base_lr"})

Scalar = int | float | bool | None


class OptimizerStateError(CheckpointError):
    """An optimizer keeps something that cannot be stored exactly."""


@dataclass(frozen=True)
class NamedState:
    """All that an optimizer keeps besides its settings."""

    tensors: dict[str, Tensor]
    """``<parameter name>/<slot>`` and ``groups.<group name>/<slot>``."""
    of_groups: dict[str, dict[str, Scalar]]
    """By group what it keeps as numbers."""
    of_parameters: dict[str, dict[str, Any]]
    """By group and slot what its parameters keep as numbers: one number if it is the same for all, else a list in the
    group's order with ``"none"`` where a parameter has no state."""


def read_state(
    optimizer: torch.optim.Optimizer, names: Mapping[Tensor, str], group_state: Collection[str]
) -> NamedState:
    """What ``optimizer`` keeps. group_state: the entries of a group that its steps change.

    Raises ``OptimizerStateError`` naming what cannot be stored.
    """
    tensors: dict[str, Tensor] = {}
    of_groups: dict[str, dict[str, Scalar]] = {}
    of_parameters: dict[str, dict[str, Any]] = {}
    for group in optimizer.param_groups:
        name = str(group["name"])
        known = _OURS | set(optimizer.defaults) | set(group_state)
        if unknown := group.keys() - known:
            raise OptimizerStateError(f"the optimizer keeps {min(unknown)!r} in its groups, which is not known here")
        kept = {slot: group[slot] for slot in group_state if slot in group}
        tensors |= {f"{GROUPS}{name}/{slot}": value for slot, value in kept.items() if isinstance(value, Tensor)}
        of_groups[name] = {
            slot: _scalar(f"{GROUPS}{name}/{slot}", value)
            for slot, value in kept.items()
            if not isinstance(value, Tensor)
        }
        states = [dict(optimizer.state.get(parameter, {})) for parameter in group["params"]]
        slots = {slot for state in states for slot, value in state.items() if not isinstance(value, Tensor)}
        of_parameters[name] = {}
        for slot in sorted(slots):
            values = [
                _scalar(f"{names[parameter]}/{slot}", state[slot]) if slot in state else "none"
                for parameter, state in zip(group["params"], states, strict=True)
            ]
            same = all(value == values[0] and type(value) is type(values[0]) for value in values)
            of_parameters[name][slot] = values[0] if same else values
        for parameter, state in zip(group["params"], states, strict=True):
            tensors |= {
                f"{names[parameter]}/{slot}": value for slot, value in state.items() if isinstance(value, Tensor)
            }
    return NamedState(_apart(tensors), of_groups, of_parameters)


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Plain tensors of which no two share memory, as a file wants them."""
    seen: set[int] = set()
    apart = {}
    for name, tensor in tensors.items():
        if type(tensor) is not Tensor and type(tensor) is not torch.nn.Parameter:
            raise OptimizerStateError(
                f"the optimizer keeps {name!r} as {type(tensor).__name__}, which is not known here"
            )
        address = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.detach().clone() if address in seen else tensor.detach()
        seen.add(address)
    return apart


def _scalar(name: str, value: Any) -> Scalar:
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise OptimizerStateError(f"the optimizer keeps {name!r} as {value!r}, which cannot be stored exactly")


def restored_state(
    optimizer: torch.optim.Optimizer,
    names: Mapping[Tensor, str],
    group_state: Collection[str],
    groups: Sequence[Mapping[str, Any]],
    tensors: Mapping[str, Tensor],
    *,
    like: torch.optim.Optimizer,
) -> None:
    """Put a stored state into a fresh ``optimizer``.

    groups: as described in state.json, in the optimizer's order. like: an optimizer over parameters of the same shapes that
    has made a step; what it keeps is what is expected. Raises ``CheckpointError`` for a state that does not fit it.
    """
    left = dict(tensors)
    for group, stored, model in zip(optimizer.param_groups, groups, like.param_groups, strict=True):
        name = str(group["name"])
        _restore_group(group, _table(stored, "state"), group_state, left, f"{GROUPS}{name}/")
        counted = _table(stored, "parameter_state")
        expected = list(zip(group["params"], model["params"], strict=True))
        for index, (parameter, other) in enumerate(expected):
            state = _restore_parameter(names[parameter], dict(like.state[other]), left)
            if state is None:
                continue
            for slot, value in like.state[other].items():
                if not isinstance(value, Tensor):
                    state[slot] = _number(counted, slot, index, len(expected), names[parameter])
            optimizer.state[parameter] = state
        _require_no_more(counted, like, model)
    if left:
        raise CheckpointError(f"its optimizer has {min(left)!r}")


def _restore_group(
    group: dict[str, Any], stored: Mapping[str, Any], group_state: Collection[str], left: dict[str, Tensor], prefix: str
) -> None:
    if unknown := stored.keys() - set(group_state):
        raise CheckpointError(f"its optimizer has {prefix + min(unknown)!r}")
    device = group["params"][0].device
    for slot in group_state:
        if (tensor := left.pop(prefix + slot, None)) is not None:
            group[slot] = tensor.to(device, copy=True)
        elif slot in stored:
            group[slot] = _scalar(prefix + slot, stored[slot])
        elif slot in group:
            raise CheckpointError(f"its optimizer lacks {prefix + slot!r}")


def _restore_parameter(name: str, like: Mapping[str, Any], left: dict[str, Tensor]) -> dict[str, Any] | None:
    """The tensors of one parameter's state; None if nothing of it is stored: it never had a gradient."""
    expected = {slot: value for slot, value in like.items() if isinstance(value, Tensor)}
    found = {slot: left.pop(f"{name}/{slot}") for slot in expected if f"{name}/{slot}" in left}
    if not found:
        return None
    if missing := expected.keys() - found.keys():
        raise CheckpointError(f"its optimizer lacks {f'{name}/{min(missing)}'!r}")
    for slot, tensor in found.items():
        want = expected[slot]
        if tensor.shape != want.shape or tensor.dtype != want.dtype:
            is_, should = (f"{tuple(t.shape)} {str(t.dtype).removeprefix('torch.')}" for t in (tensor, want))
            raise CheckpointError(f"its optimizer's {f'{name}/{slot}'!r} is {is_}, not {should}")
    # Copies: the tensors of a file may be read-only views of it.
    return {slot: tensor.to(expected[slot].device, copy=True) for slot, tensor in found.items()}


def _number(counted: Mapping[str, Any], slot: str, index: int, count: int, name: str) -> Scalar:
    value = counted.get(slot, "none")
    if isinstance(value, list) and len(value) == count:
        value = value[index]
    if isinstance(value, str | list | dict):
        raise CheckpointError(f"its optimizer lacks {f'{name}/{slot}'!r}")
    return _scalar(f"{name}/{slot}", value)


def _require_no_more(counted: Mapping[str, Any], like: torch.optim.Optimizer, model: Mapping[str, Any]) -> None:
    known = {slot for parameter in model["params"] for slot in like.state[parameter]}
    if unknown := counted.keys() - known:
        raise CheckpointError(f"its optimizer's parameters have {min(unknown)!r}")


def _table(stored: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = stored.get(name, {})
    if not isinstance(value, dict):
        raise CheckpointError(f"its state.json has no optimizer {name}")
    return value
