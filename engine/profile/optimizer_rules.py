"""Rules for ``[optimizer]``: a hyperparameter is one its kind has, and its kind goes together with rates and schedule."""

from __future__ import annotations

from typing import Final

from engine.profile.optimizer_kinds import HYPERPARAMETERS, OPTIMIZERS, OptimizerKind, is_set, users_of
from engine.profile.rule import Broken, Rule, Values

LEAST_ADAPTIVE_LR: Final = 0.01
PART_RATES: Final = ("optimizer.unet_lr", "optimizer.text_encoder_lr", "optimizer.text_encoder_2_lr")


def _kind(values: Values) -> OptimizerKind:
    return OptimizerKind(values["optimizer.kind"])


def _has(name: str) -> Rule:
    path, users = f"optimizer.{name}", users_of(name)

    def check(values: Values) -> Broken | None:
        kind = _kind(values)
        if kind in users or not is_set(values[path]):
            return None
        where = f"set optimizer.kind to {' or '.join(users)}" if len(users) <= 2 else "choose another optimizer.kind"
        return Broken(f"is not used by the optimizer {kind}", f"remove it, or {where}")

    return Rule((path, "optimizer.kind"), f"`{path}` is set only with `optimizer.kind` {' or '.join(users)}.", check)


def _adaptive_rate_is_a_multiplier(values: Values) -> Broken | None:
    kind, lr = _kind(values), values["optimizer.lr"]
    if not OPTIMIZERS[kind].adaptive or lr >= LEAST_ADAPTIVE_LR:
        return None
    return Broken(f"would keep {kind} from learning: it finds the rate itself and multiplies it by this", "write 1.0")


def _adaptive_has_one_rate(path: str) -> Rule:
    def check(values: Values) -> Broken | None:
        kind = _kind(values)
        if not OPTIMIZERS[kind].adaptive or values[path] in (None, values["optimizer.lr"]):
            return None
        return Broken(f"is not used by the optimizer {kind}, which finds one rate for all parts", "remove it")

    sentence = f"`{path}` is not set with an `optimizer.kind` that finds one rate for all parts (prodigy, dadapt_adam)."
    return Rule((path, "optimizer.kind", "optimizer.lr"), sentence, check)


def _schedule_free_is_constant(values: Values) -> Broken | None:
    schedule = values["schedule.kind"]
    if _kind(values) is not OptimizerKind.SCHEDULE_FREE_ADAMW or schedule == "constant":
        return None
    sentence = f"averages its weights instead of lowering the rate, and does not go with the schedule {schedule}"
    return Broken(sentence, "set schedule.kind to constant; a warmup may stay")


def _schedule_free_averages_what_it_moves(values: Values) -> Broken | None:
    if _kind(values) is not OptimizerKind.SCHEDULE_FREE_ADAMW or values["network.scale_weight_norms"] is None:
        return None
    return Broken(
        "would scale weights that schedule_free_adamw keeps twice", "remove it, or choose another optimizer.kind"
    )


def _schedule_free_is_an_average(values: Values) -> Broken | None:
    if _kind(values) is not OptimizerKind.SCHEDULE_FREE_ADAMW or values["ema.decay"] is None:
        return None
    return Broken(
        "would average what schedule_free_adamw averages itself", "remove it, or choose another optimizer.kind"
    )


def _schedule_free_needs_momentum(values: Values) -> Broken | None:
    if _kind(values) is not OptimizerKind.SCHEDULE_FREE_ADAMW or values["optimizer.beta1"] != 0:
        return None
    return Broken("leaves schedule_free_adamw nothing to average", "use 0.9")


OPTIMIZER_RULES: Final[tuple[Rule, ...]] = (
    *(_has(name) for name in HYPERPARAMETERS if len(users_of(name)) < len(OPTIMIZERS)),
    Rule(
        ("optimizer.lr", "optimizer.kind"),
        f"`optimizer.lr` is at least {LEAST_ADAPTIVE_LR} with `optimizer.kind` prodigy or dadapt_adam, which multiply the rate "
        "they find by it; 1 is usual.",
        _adaptive_rate_is_a_multiplier,
    ),
    *(_adaptive_has_one_rate(path) for path in PART_RATES),
    Rule(
        ("optimizer.kind", "schedule.kind"),
        "`schedule.kind` is constant with `optimizer.kind` schedule_free_adamw.",
        _schedule_free_is_constant,
    ),
    Rule(
        ("optimizer.beta1", "optimizer.kind"),
        "`optimizer.beta1` is above 0 with `optimizer.kind` schedule_free_adamw.",
        _schedule_free_needs_momentum,
    ),
    Rule(
        ("network.scale_weight_norms", "optimizer.kind"),
        "`network.scale_weight_norms` is not set with `optimizer.kind` schedule_free_adamw.",
        _schedule_free_averages_what_it_moves,
    ),
    Rule(
        ("ema.decay", "optimizer.kind"),
        "`ema.decay` is not set with `optimizer.kind` schedule_free_adamw, which averages its weights itself.",
        _schedule_free_is_an_average,
    ),
)


def unusual_rate(kind: OptimizerKind, lr: float) -> str | None:
    """What is worth a warning about a base rate; None if it is a usual one."""
    low, high = OPTIMIZERS[kind].usual_lr
    if low <= lr <= high:
        return None
    return f"is far {'below' if lr < low else 'above'} the usual rates of {kind}, {low:g} to {high:g}"
