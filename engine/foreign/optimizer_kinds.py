"""Which update rule a stored optimizer state belongs to, told by what it keeps per tensor and per group.

A state does not name its optimizer. The names of its entries tell most kinds apart, as long as all of them are looked at: a state
that keeps one thing more than a kind does is another's. Where several kinds keep the same, all of them are said.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

QUANTISED: Final = "__bnb_optimizer_quant_state__"
"""The entry under which bitsandbytes keeps all but the step."""
SCHEDULE_FREE: Final = "schedule-free"
"""Ends the name of every kind that has no schedule."""
_MOMENTS: Final = frozenset({"exp_avg", "exp_avg_sq"})
_ANYTHING: Final = None


@dataclass(frozen=True)
class _Sign:
    """What a kind keeps."""

    kind: str
    slots: frozenset[str]
    """Kept per tensor."""
    settings: frozenset[str] = frozenset()
    """Kept per group."""
    others: frozenset[str] | None = frozenset()
    """What it may keep per tensor besides, the step aside; None for anything."""


def _sign(kind: str, slots: str, settings: str = "", others: str | None = "") -> _Sign:
    return _Sign(
        kind,
        frozenset(slots.split()),
        frozenset(settings.split()),
        _ANYTHING if others is None else frozenset(others.split()),
    )


def optimizer_kind(slots: AbstractSet[str], group: Mapping[str, Any]) -> str | None:
    """The kind, in words; None where the entries belong to none that is known.

    slots: what is kept for each tensor (``exp_avg``), in bitsandbytes' inner dict too; group: the settings of the first group.
    """
    kept = slots - {"step", QUANTISED}
    if "state1" in kept:
        return _bitsandbytes(kept, group)
    if kept == _MOMENTS or kept == _MOMENTS | {"max_exp_avg_sq"}:
        plain = _adam(group)
        if plain is not None:
            return plain
    for sign in _SIGNS:
        extra = kept - sign.slots
        if sign.slots <= kept and sign.settings <= group.keys() and (sign.others is None or extra <= sign.others):
            return sign.kind
    return None


def adapts_its_rate(group: Mapping[str, Any]) -> bool:
    """Whether the group's ``d`` is the rate that Prodigy or D-Adaptation found; torch's Adafactor has another ``d``."""
    return "d" in group and not group.keys().isdisjoint(("d0", "numerator_weighted", "gsq_weighted", "growth_rate"))


def steps_of_group(group: Mapping[str, Any]) -> int | None:
    """How many steps a group counted: ``k``, or ``step``; None where it did not, or from which number is not certain."""
    if "prodigy_steps" in group:  # ProdigyPlus counts from 1
        count = group.get("k")
        return count - 1 if type(count) is int and count > 0 else None
    if "d0" in group and "k" not in group:  # pytorch-optimizer's Prodigy: from 0 or 1, by its version
        return None
    count = group.get("k", group.get("step"))
    return count if type(count) is int and count >= 0 else None


def _adam(group: Mapping[str, Any]) -> str | None:
    """Torch's classes around Adam, which keep the same two moments."""
    if "amsgrad" in group:
        decoupled = group.get("decoupled_weight_decay")
        return "Adam or AdamW" if decoupled is None else "AdamW" if decoupled else "Adam"
    if "decoupled_weight_decay" in group and "capturable" in group:
        return "RAdam"
    return "of Adam's family (which one is not stored)" if "betas" in group else None


def _bitsandbytes(kept: AbstractSet[str], group: Mapping[str, Any]) -> str:
    betas = group.get("betas")
    betas = betas if isinstance(betas, (list, tuple)) else ()
    if "state2" in kept:
        kind = "AdEMAMix" if len(betas) == 3 else "Adam or AdamW"
    elif len(betas) == 2 and betas[1]:
        kind = "Lion"
    elif group.get("eps"):
        kind = "RMSprop or Adagrad"
    else:
        kind = "SGD with momentum"
    return f"{kind} {'in 8 bits ' if 'qmap1' in kept else ''}(bitsandbytes)"


_SIGNS: Final = (
    _sign("Prodigy, schedule-free", "z", "d d0 d_coef", None),
    _sign("Prodigy", "exp_avg_sq s p0", "d d0 d_max d_coef", "exp_avg"),
    _sign("D-Adaptation Adan", "exp_avg exp_avg_sq exp_avg_diff s", "d gsq_weighted", "pre_grad previous_grad"),
    _sign("D-Adaptation Adam", "exp_avg exp_avg_sq s", "d numerator_weighted"),
    _sign("D-Adaptation Lion", "exp_avg s", "d numerator_weighted"),
    _sign("D-Adaptation SGD", "z s x0", "d numerator_weighted"),
    _sign("D-Adaptation AdaGrad", "sk x0", "d gsq_weighted", "alphak alpha_k weighted_sk"),
    _sign("D-Adaptation", "", "d k growth_rate", None),
    _sign("RAdam, schedule-free", "z exp_avg_sq", "weight_sum silent_sgd_phase"),
    _sign("AdamW, schedule-free", "z exp_avg_sq", "weight_sum"),
    _sign("SGD, schedule-free", "z", "weight_sum momentum"),
    _sign("Adafactor", "", "scale_parameter relative_step", None),
    _sign("CAME", "exp_avg exp_avg_res_row exp_avg_res_col", "", "exp_avg_sq exp_avg_sq_row exp_avg_sq_col RMS"),
    _sign("Adafactor (torch)", "row_var col_var", "", "variance"),
    _sign("NAdam", "exp_avg exp_avg_sq mu_product", "momentum_decay"),
    _sign("Adamax", "exp_avg exp_inf"),
    _sign("AdEMAMix", "exp_avg exp_avg_sq exp_avg_slow", "alpha"),
    _sign("Adan", "exp_avg exp_avg_sq exp_avg_diff", "betas", "previous_grad pre_grad neg_pre_grad"),
    _sign("AdaBelief", "exp_avg exp_avg_var", "betas", "max_exp_avg_var"),
    _sign("Lion", "exp_avg", "betas"),
    _sign("Adagrad", "sum", "lr_decay"),
    _sign("RMSprop", "square_avg", "alpha centered", "momentum_buffer grad_avg"),
    _sign("Muon", "momentum_buffer", "ns_steps"),
    _sign("SGD with momentum", "momentum_buffer", "momentum dampening nesterov"),
    _sign("SGD", "", "momentum dampening nesterov"),
)
