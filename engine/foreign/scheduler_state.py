"""What a stored ``scheduler.bin`` tells: position, base and last rates, and the kind where its own entries show it.

sd-scripts' built-in schedules are lambdas, and a lambda is not stored: of those only position and rates are known. torch's own
schedulers store their parameters, by which they are told apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

LAMBDA: Final = "a lambda"
_SIGNS: Final = (
    ("SequentialLR", {"_schedulers", "_milestones"}),
    ("ChainedScheduler", {"_schedulers"}),
    ("OneCycleLR", {"total_steps", "_schedule_phases"}),
    ("OneCycleLR", {"total_steps", "_anneal_func_type"}),
    ("CosineAnnealingWarmRestarts", {"T_0", "T_mult"}),
    ("CosineAnnealingLR", {"T_max", "eta_min"}),
    ("ReduceLROnPlateau", {"patience", "threshold_mode"}),
    ("CyclicLR", {"max_lrs", "step_ratio"}),
    ("MultiStepLR", {"milestones", "gamma"}),
    ("StepLR", {"step_size", "gamma"}),
    ("LinearLR", {"start_factor", "end_factor", "total_iters"}),
    ("PolynomialLR", {"power", "total_iters"}),
    ("ConstantLR", {"factor", "total_iters"}),
    ("ExponentialLR", {"gamma"}),
    (LAMBDA, {"lr_lambdas"}),
)
_BOOKKEEPING: Final = frozenset(
    {"base_lrs", "last_epoch", "verbose", "lr_lambdas", "T_cur", "T_i", "best", "num_bad_epochs", "cooldown_counter"}
)


@dataclass(frozen=True)
class SchedulerState:
    """The stored state of a learning-rate scheduler."""

    kind: str | None
    """torch's class, ``LAMBDA``, or None where its entries belong to none that is known."""
    position: int | None
    """``last_epoch``: how often it was stepped."""
    base_lrs: tuple[float, ...]
    last_lrs: tuple[float, ...]
    parameters: dict[str, float | int | str | bool] = field(default_factory=dict)
    """The parameters it stores, by their names in torch."""


def scheduler_state(stored: Mapping[str, Any]) -> SchedulerState:
    """The typed form of what ``scheduler.bin`` holds."""
    keys = {key for key in stored if isinstance(key, str)}
    kind = next((kind for kind, signs in _SIGNS if signs <= keys), None)
    position = stored.get("last_epoch")
    return SchedulerState(
        kind=kind,
        position=position if type(position) is int else None,
        base_lrs=_numbers(stored.get("base_lrs")),
        last_lrs=_numbers(stored.get("_last_lr")),
        parameters={
            key: value
            for key, value in stored.items()
            if isinstance(key, str)
            and not key.startswith("_")
            and key not in _BOOKKEEPING
            and isinstance(value, (int, float, str))
        },
    )


def _numbers(value: Any) -> tuple[float, ...]:
    if not isinstance(value, (list, tuple)):
        return ()
    return tuple(float(item) for item in value if isinstance(item, (int, float)) and not isinstance(item, bool))
