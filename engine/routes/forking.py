"""Fork: several children of one checkpoint, each under another learning rate, schedule or warmup, named by what differs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from engine.profile.fields import ended_name
from engine.profile.to_toml import toml_float
from engine.routes.plan import ChildPlan
from engine.routes.route import RouteError

MOST: Final = 64
"""Children of one fork: more is a mistake."""


@dataclass(frozen=True)
class Fork:
    """The values to combine; of each kind at least one. None leaves it to the plan."""

    lrs: tuple[float | None, ...] = (None,)
    kinds: tuple[str | None, ...] = (None,)
    warmups: tuple[int | None, ...] = (None,)


def plan_fork(fork: Fork, plan: Callable[..., ChildPlan]) -> tuple[ChildPlan, ...]:
    """A plan for every combination, in the order given; each child's name says how it differs from its siblings.

    plan: makes one, as ``plan_continuation`` with ``lr``, ``kind`` and ``warmup_steps`` left open. Raises ``RouteError``
    where fewer than two come of it, or one comes twice, and whatever ``plan`` raises.
    """
    combinations = list(itertools.product(fork.lrs, fork.kinds, fork.warmups))
    if len(combinations) < 2:
        raise RouteError(
            "makes one child only", field="fork", hint="Give several rates, --lr 1e-4,5e-5; for one: continue."
        )
    if len(combinations) > MOST:
        raise RouteError(f"would make {len(combinations)} children, and {MOST} are the most", field="fork")
    plans = [plan(lr=lr, kind=kind, warmup_steps=warmup) for lr, kind, warmup in combinations]
    names = [_name(one.profile.name, fork, *values) for one, values in zip(plans, combinations, strict=True)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise RouteError(f"{twice} would be made twice", field="fork", hint="Give each value once.")
    return tuple(
        replace(one, profile=one.profile.model_copy(update={"name": name}))
        for one, name in zip(plans, names, strict=True)
    )


def _name(name: str, fork: Fork, lr: float | None, kind: str | None, warmup: int | None) -> str:
    """``demo-lr5e-5-cosine``: only what the siblings do not share."""
    differs: Sequence[tuple[Sequence[Any], str]] = (
        (fork.lrs, "" if lr is None else f"lr{toml_float(float(f'{lr:.3g}'))}"),
        (fork.kinds, kind or ""),
        (fork.warmups, "" if warmup is None else f"warmup{warmup}"),
    )
    ending = "".join(f"-{word}" for values, word in differs if len(values) > 1)
    return ended_name(name, ending)
