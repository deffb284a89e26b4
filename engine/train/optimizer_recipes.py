"""How each optimizer is made, on fp32 parameters in groups, and which entries of its groups are state that a step changes.

The update rules are those of the packages; nothing of theirs that would set a rate by itself is switched on: no relative steps,
no warmup of their own. What each optimizer is set to is declared in ``engine.profile.optimizer_kinds``.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch

from engine.errors import UserError
from engine.profile.optimizer_kinds import OPTIMIZERS, OptimizerKind

Groups = list[dict[str, Any]]
Hyperparameters = Mapping[str, float]


class OptimizerMissingError(UserError):
    """The package of the wanted optimizer is not installed."""


@dataclass(frozen=True)
class Recipe:
    """An optimizer apart from its parameters."""

    make: Callable[[Any, Groups, Hyperparameters], torch.optim.Optimizer]
    """From its package, groups and hyperparameters."""
    group_state: tuple[str, ...] = ()
    """Entries of a parameter group that a step changes; all others are settings."""


def _betas(values: Hyperparameters) -> tuple[float, float]:
    return values["beta1"], values["beta2"]


def _moments(values: Hyperparameters) -> dict[str, Any]:
    return {"weight_decay": values["weight_decay"], "betas": _betas(values), "eps": values["eps"]}


def _adamw(_: Any, groups: Groups, values: Hyperparameters) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=0.0, fused=True, **_moments(values))


def _adamw_8bit(package: Any, groups: Groups, values: Hyperparameters) -> torch.optim.Optimizer:
    return _optimizer(package.optim.AdamW8bit(groups, **_moments(values)))


def _adafactor(package: Any, groups: Groups, values: Hyperparameters) -> torch.optim.Optimizer:
    return _optimizer(
        package.Adafactor(
            groups,
            eps=(values["eps"], 1e-3),  # the second belongs to scale_parameter
            clip_threshold=values["clip_threshold"],
            decay_rate=-values["decay_rate"],
            beta1=values["beta1"] or None,
            weight_decay=values["weight_decay"],
            scale_parameter=False,
            relative_step=False,
            warmup_init=False,
        )
    )


def _lion(package: Any, groups: Groups, values: Hyperparameters) -> torch.optim.Optimizer:
    return _optimizer(package.Lion(groups, betas=_betas(values), weight_decay=values["weight_decay"]))


def _prodigy(package: Any, groups: Groups, values: Hyperparameters) -> torch.optim.Optimizer:
    return _optimizer(
        package.Prodigy(
            groups,
            beta3=values.get("beta3", math.sqrt(values["beta2"])),
            d0=values["d0"],
            d_coef=values["d_coef"],
            growth_rate=values.get("growth_rate", math.inf),
            bias_correction=bool(values["bias_correction"]),
            safeguard_warmup=bool(values["safeguard_warmup"]),
            **_moments(values),
        )
    )


def _dadapt_adam(package: Any, groups: Groups, values: Hyperparameters) -> torch.optim.Optimizer:
    return _optimizer(
        package.DAdaptAdam(
            groups,
            d0=values["d0"],
            growth_rate=values.get("growth_rate", math.inf),
            bias_correction=bool(values["bias_correction"]),
            weight_decouple=True,
            **_moments(values),
        )
    )


def _schedule_free_adamw(package: Any, groups: Groups, values: Hyperparameters) -> torch.optim.Optimizer:
    made = package.AdamWScheduleFree(groups, warmup_steps=0, **_moments(values))
    made.train()
    return _optimizer(made)


def _came(package: Any, groups: Groups, values: Hyperparameters) -> torch.optim.Optimizer:
    return _optimizer(
        package.CAME(
            groups,
            betas=(*_betas(values), values["beta3"]),
            weight_decay=values["weight_decay"],
            clip_threshold=values["clip_threshold"],
            eps1=values["eps"],
            eps2=values["eps2"],
        )
    )


def _optimizer(made: Any) -> torch.optim.Optimizer:
    if not isinstance(made, torch.optim.Optimizer):
        raise TypeError(f"{type(made).__name__} is no torch optimizer")
    return made


RECIPES: Final[dict[OptimizerKind, Recipe]] = {
    OptimizerKind.ADAMW: Recipe(_adamw),
    OptimizerKind.ADAMW_8BIT: Recipe(_adamw_8bit),
    OptimizerKind.ADAFACTOR: Recipe(_adafactor),
    OptimizerKind.LION: Recipe(_lion, ("step",)),
    OptimizerKind.PRODIGY: Recipe(_prodigy, ("step", "d", "d_max", "d_hat", "d_numerator", "d_de_nom")),
    OptimizerKind.DADAPT_ADAM: Recipe(_dadapt_adam, ("step", "d", "numerator_weighted")),
    OptimizerKind.SCHEDULE_FREE_ADAMW: Recipe(
        _schedule_free_adamw, ("k", "weight_sum", "lr_max", "scheduled_lr", "train_mode")
    ),
    OptimizerKind.CAME: Recipe(_came, ("step",)),
}


def make_optimizer(kind: OptimizerKind, groups: Groups, values: Hyperparameters) -> torch.optim.Optimizer:
    """The torch optimizer of ``kind`` over ``groups``, which carry their own ``lr``.

    Raises ``OptimizerMissingError`` where its package is not installed.
    """
    facts = OPTIMIZERS[kind]
    try:
        package = importlib.import_module(facts.module)
    except ImportError as error:
        raise OptimizerMissingError(
            f"the optimizer {kind} needs the package {facts.package}, which cannot be imported: {error}",
            where="optimizer.kind",
            hint=f"pip install 'sdxl-tui[optimizers]', or only {facts.package}.",
        ) from error
    return RECIPES[kind].make(package, groups, values)
