"""What a stored ``scheduler.bin`` tells: position, base and last rates, and the kind where its own entries show it.

sd-scripts' built-in schedules are lambdas, and a lambda is not stored: of those only position and rates are known. torch's own
schedulers store their parameters, by which they are told apart. One that stores more than a kind does is none of that kind:
libraries of schedulers inherit from torch's and add to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

LAMBDA: Final = "a lambda"
_COMMON: Final = frozenset({"base_lrs", "last_epoch", "verbose"})
_SIGNS: Final = tuple(
    (kind, frozenset(wanted.split()), frozenset(others.split()))
    for kind, wanted, others in (
        ("SequentialLR", "_schedulers _milestones", ""),
        ("ChainedScheduler", "_schedulers", ""),
        ("OneCycleLR", "total_steps _schedule_phases", "cycle_momentum use_beta1 anneal_func"),
        ("OneCycleLR", "total_steps _anneal_func_type", "cycle_momentum use_beta1 anneal_func"),
        ("CosineAnnealingWarmRestarts", "T_0 T_mult eta_min", "T_i T_cur"),
        ("CosineAnnealingLR", "T_max eta_min", ""),
        (
            "ReduceLROnPlateau",
            "factor patience threshold_mode",
            "mode cooldown cooldown_counter min_lrs eps best num_bad_epochs mode_worse threshold default_min_lr",
        ),
        (
            "CyclicLR",
            "max_lrs total_size step_ratio",
            "mode gamma scale_mode cycle_momentum use_beta1 base_momentums max_momentums",
        ),
        ("MultiStepLR", "milestones gamma", ""),
        ("StepLR", "step_size gamma", ""),
        ("LinearLR", "start_factor end_factor total_iters", ""),
        ("PolynomialLR", "power total_iters", ""),
        ("ConstantLR", "factor total_iters", ""),
        ("ExponentialLR", "gamma", ""),
        (LAMBDA, "lr_lambdas", "initial_lr"),
    )
)
_BOOKKEEPING: Final = frozenset({*_COMMON, "lr_lambdas", "T_cur", "T_i", "best", "num_bad_epochs", "cooldown_counter"})
_DEPTH: Final = 4


@dataclass(frozen=True)
class SchedulerState:
    """The stored state of a learning-rate scheduler."""

    kind: str | None
    """torch's class, ``LAMBDA``, or None where its entries belong to none that is known."""
    position: int | None
    """``last_epoch``: how often it was stepped."""
    base_lrs: tuple[float, ...]
    last_lrs: tuple[float, ...]
    parameters: dict[str, float | int | str | bool | tuple[float, ...]] = field(default_factory=dict)
    """The parameters it stores, by their names in torch."""
    members: tuple[SchedulerState, ...] = ()
    """The schedulers that a SequentialLR or ChainedScheduler is made of."""

    @property
    def stores_its_shape(self) -> bool:
        """Whether a resume restores its parameters; a lambda's shape is made anew from the arguments."""
        return self.kind != LAMBDA


def scheduler_state(stored: Mapping[str, Any], depth: int = _DEPTH) -> SchedulerState:
    """The typed form of what ``scheduler.bin`` holds. depth: how many levels of schedulers within schedulers are looked at."""
    keys = frozenset(key for key in stored if isinstance(key, str))
    own = frozenset(key for key in keys if not key.startswith("_")) - _COMMON
    kind = next((kind for kind, wanted, others in _SIGNS if wanted <= keys and own <= wanted | others), None)
    inner = stored.get("_schedulers") if depth > 0 else None
    members = (
        tuple(scheduler_state(item, depth - 1) for item in inner or () if isinstance(item, dict))
        if isinstance(inner, (list, tuple))
        else ()
    )
    position = stored.get("last_epoch")
    if type(position) is not int and kind == "ChainedScheduler":  # it has no count of its own; all are stepped together
        position = next((member.position for member in members), None)
    parameters = {
        key: value
        for key, item in stored.items()
        if isinstance(key, str)
        and (not key.startswith("_") or key in _SHOWN)
        and key not in _BOOKKEEPING
        and (value := _shown(item)) is not None
    }
    return SchedulerState(
        kind=kind,
        position=position if type(position) is int else None,
        base_lrs=_numbers(stored.get("base_lrs")) or next((member.base_lrs for member in members), ()),
        last_lrs=_numbers(stored.get("_last_lr")),
        parameters=parameters,
        members=members,
    )


_SHOWN: Final = frozenset({"_milestones", "_anneal_func_type"})


def _shown(value: Any) -> float | int | str | bool | tuple[float, ...] | None:
    if isinstance(value, (int, float, str)):
        return value
    if isinstance(value, Mapping):  # MultiStepLR keeps its milestones in a Counter
        return _numbers(list(value)) or None
    return _numbers(value) or None


def _numbers(value: Any) -> tuple[float, ...]:
    if not isinstance(value, (list, tuple)):
        return ()
    return tuple(float(item) for item in value if isinstance(item, (int, float)) and not isinstance(item, bool))
