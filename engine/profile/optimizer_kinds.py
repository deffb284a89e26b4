"""The optimizers: what each is set to, what fits it where a profile says nothing, its usual rates and its package.

Torch-free; the torch half, how each is made, is ``engine.train.optimizer_recipes``. Sources: AdamW (Loshchilov & Hutter 2019),
8-bit states (Dettmers et al. 2022), Adafactor (Shazeer & Stern 2018), Lion (Chen et al. 2023), Prodigy (Mishchenko & Defazio
2023), D-Adaptation (Defazio & Mishchenko 2023), schedule-free (Defazio et al. 2024), CAME (Luo et al. 2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class OptimizerKind(StrEnum):
    """Update rule."""

    ADAMW = "adamw"
    ADAMW_8BIT = "adamw_8bit"
    ADAFACTOR = "adafactor"
    LION = "lion"
    PRODIGY = "prodigy"
    DADAPT_ADAM = "dadapt_adam"
    SCHEDULE_FREE_ADAMW = "schedule_free_adamw"
    CAME = "came"


@dataclass(frozen=True)
class OptimizerFacts:
    """What is known about an optimizer without torch."""

    defaults: Mapping[str, float | bool | None]
    """Every hyperparameter it has, with the value that fits it. None: left to the optimizer."""
    usual_lr: tuple[float, float]
    """Rates below or above are worth a warning."""
    module: str = "torch"
    """What must be importable."""
    package: str = "torch"
    """What pip installs for it."""
    adaptive: bool = False
    """It finds a factor d itself, and the effective rate is d · LR."""
    state_bytes: float = 8.0
    """Of its state, per trained number; of factored moments and eight-bit states about."""


_MOMENTS: Final[dict[str, float | bool | None]] = {"weight_decay": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}

OPTIMIZERS: Final[dict[OptimizerKind, OptimizerFacts]] = {
    OptimizerKind.ADAMW: OptimizerFacts(_MOMENTS, (1e-6, 5e-3)),
    OptimizerKind.ADAMW_8BIT: OptimizerFacts(_MOMENTS, (1e-6, 5e-3), "bitsandbytes", "bitsandbytes", state_bytes=2.1),
    OptimizerKind.ADAFACTOR: OptimizerFacts(
        {"weight_decay": 0.0, "beta1": 0.0, "eps": 1e-30, "clip_threshold": 1.0, "decay_rate": 0.8},
        (1e-6, 1e-2),
        "transformers",
        "transformers",
        state_bytes=0.3,
    ),
    OptimizerKind.LION: OptimizerFacts(
        {"weight_decay": 0.1, "beta1": 0.9, "beta2": 0.99},
        (1e-7, 5e-4),
        "pytorch_optimizer",
        "pytorch-optimizer",
        state_bytes=4.0,
    ),
    OptimizerKind.PRODIGY: OptimizerFacts(
        _MOMENTS
        | {"beta3": None, "d0": 1e-6, "d_coef": 1.0, "growth_rate": None}
        | {"bias_correction": False, "safeguard_warmup": False},
        (0.1, 3.0),
        "pytorch_optimizer",
        "pytorch-optimizer",
        adaptive=True,
        state_bytes=16.0,
    ),
    OptimizerKind.DADAPT_ADAM: OptimizerFacts(
        _MOMENTS | {"d0": 1e-6, "growth_rate": None, "bias_correction": False},
        (0.1, 3.0),
        "pytorch_optimizer",
        "pytorch-optimizer",
        adaptive=True,
        state_bytes=12.0,
    ),
    OptimizerKind.SCHEDULE_FREE_ADAMW: OptimizerFacts(_MOMENTS, (1e-6, 2e-2), "schedulefree", "schedulefree"),
    OptimizerKind.CAME: OptimizerFacts(
        {
            "weight_decay": 0.01,
            "beta1": 0.9,
            "beta2": 0.999,
            "beta3": 0.9999,
            "eps": 1e-30,
            "eps2": 1e-16,
            "clip_threshold": 1.0,
        },
        (1e-6, 5e-3),
        "pytorch_optimizer",
        "pytorch-optimizer",
        state_bytes=4.5,
    ),
}

HYPERPARAMETERS: Final = tuple(dict.fromkeys(name for facts in OPTIMIZERS.values() for name in facts.defaults))
"""All names; each is a field of the profile's ``[optimizer]``."""


def users_of(hyperparameter: str) -> tuple[OptimizerKind, ...]:
    """The optimizers that have it."""
    return tuple(kind for kind, facts in OPTIMIZERS.items() if hyperparameter in facts.defaults)


def is_set(value: Any) -> bool:
    """Whether a profile sets a hyperparameter: None and False are how they stand without it."""
    return value is not None and value is not False


def settled(kind: OptimizerKind, wanted: Mapping[str, Any]) -> dict[str, float]:
    """Every hyperparameter of an optimizer that has a value: the wanted one, else what fits the kind."""
    defaults = OPTIMIZERS[kind].defaults
    values = {name: wanted[name] if is_set(wanted.get(name)) else default for name, default in defaults.items()}
    return {name: value for name, value in values.items() if value is not None}
