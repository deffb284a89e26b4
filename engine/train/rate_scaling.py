"""The command to scale the learning rate of a running training: every base rate is multiplied, from the next step on.

It is done right before a step, never after the last one: a checkpoint that is saved once it is acknowledged has the new rates.
"""

from __future__ import annotations

import math
from typing import Any

from engine.profile.fields import profile_field
from engine.run.commands import Command
from engine.train.reporter import Reporter
from engine.train.requests import Requests
from engine.train.training import Training


def scale_rates(training: Training, requests: Requests, reporter: Reporter) -> None:
    """Follow what ``requests`` asks of the rates, in the order it was asked; answer each, and report what became of them."""
    for command in tuple(requests.scales):
        factor = _factor(command)
        if factor is None:
            requests.answer(command, False, "factor must be a number above 0")
            continue
        highest = profile_field("optimizer.lr").maximum or math.inf
        wanted = {name: base_lr * factor for name, base_lr in training.optimizer.base_lrs.items()}
        if wrong := [name for name, base_lr in wanted.items() if not 0 < base_lr <= highest]:
            what = f"the base LR of {wrong[0]} would be {wanted[wrong[0]]:.3g}, not above 0 and at most {highest:g}"
            requests.answer(command, False, what)
            continue
        base_lrs = training.optimizer.scale_base_lrs(factor)
        reporter.lr_scaled(training.progress.step, factor, base_lrs)
        rates = ", ".join(f"{name} {base_lr:.3g}" for name, base_lr in base_lrs.items())
        requests.answer(command, True, f"from step {training.progress.step + 1} on the base LR is {rates}")


def _factor(command: Command) -> float | None:
    value: Any = command.arguments.get("factor")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 < value < math.inf else None
