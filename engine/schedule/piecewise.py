"""The rules of a piecewise constant schedule: which factor holds from which step on, and how a person writes it."""

from __future__ import annotations

import math
from itertools import pairwise

from engine.schedule.kinds import ScheduleError

Rules = tuple[tuple[int, float], ...]
"""Steps, from 0 and rising, each with the factor that holds from it on."""


def parse_rules(text: str) -> Rules:
    """``0:1, 500:0.5`` as rules. Raises ``ScheduleError`` (parameter ``rules``) for what cannot be read."""
    rules = []
    for piece in text.split(","):
        step, colon, factor = piece.partition(":")
        try:
            if not colon:
                raise ValueError
            rules.append((int(step), float(factor)))
        except ValueError:
            raise _wrong(f"has {piece.strip()!r}, which is not step:factor") from None
    return tuple(rules)


def rules_text(rules: Rules) -> str:
    """Rules as they are written in a profile; ``parse_rules`` reads it back equal."""
    return ", ".join(f"{step}:{int(factor) if factor.is_integer() else repr(factor)}" for step, factor in rules)


def check_rules(rules: Rules, total_steps: int) -> None:
    """Raises ``ScheduleError`` for rules that leave a step without a factor or name one that is never reached."""
    if not rules:
        raise _wrong("is empty, and the schedule piecewise has no other shape")
    steps = [step for step, _ in rules]
    if steps[0] != 0:
        raise _wrong(f"begins at step {steps[0]}: the first rule must be of step 0")
    for before, after in pairwise(steps):
        if after <= before:
            raise _wrong(f"has step {after} after step {before}: the steps must rise")
    for step, factor in rules:
        if not (math.isfinite(factor) and 0 <= factor <= 1):
            raise _wrong(
                f"has the factor {factor:g} at step {step}: factors go from 0 to 1, the base LR is the highest rate"
            )
    if steps[-1] >= total_steps:
        raise ScheduleError(
            f"has a rule for step {steps[-1]}, which is not reached in {total_steps} steps",
            parameter="rules",
            hint=f"delete it, or use a step below {total_steps}",
        )


def _wrong(what: str) -> ScheduleError:
    return ScheduleError(what, parameter="rules", hint='write "0:1, 500:0.5": step:factor, with commas between')
