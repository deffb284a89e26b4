"""The rules about ``[loss]``, ``[ema]`` and diverged steps: nothing that would do nothing, no two that undo each other."""

from __future__ import annotations

from itertools import combinations
from typing import Any, Final

from engine.profile.rule import Broken, Rule, Values

_WEIGHTINGS: Final = ("min_snr_gamma", "debiased_estimation", "scale_v_like_noise", "v_like_share")
_OFFS: Final = (None, False, 0, "auto", "off")


def _needs_choice(field: str, other: str, choices: tuple[str, ...], *, default: str | None = None) -> Rule:
    """``field`` may only be set (to something else than its ``default``) where ``other`` is one of ``choices``."""
    names = " or ".join(choices)

    def check(values: Values) -> Broken | None:
        if values[f"loss.{field}"] == default or values[f"loss.{other}"] in choices:
            return None
        return Broken(
            f"does nothing with loss.{other} {values[f'loss.{other}']}", f"leave it out, or set loss.{other} to {names}"
        )

    return Rule((f"loss.{field}", f"loss.{other}"), f"`loss.{field}` needs `loss.{other}` {names}.", check)


def _needs_on(field: str, other: str) -> Rule:
    """``field`` may only be set where ``other`` is on."""

    def check(values: Values) -> Broken | None:
        if _is_off(values[f"loss.{field}"]) or not _is_off(values[f"loss.{other}"]):
            return None
        return Broken(f"does nothing: loss.{other} is off", f"leave it out, or set loss.{other}")

    return Rule((f"loss.{field}", f"loss.{other}"), f"`loss.{field}` needs `loss.{other}`.", check)


def _not_both(field: str, other: str, why: str) -> Rule:
    def check(values: Values) -> Broken | None:
        if _is_off(values[f"loss.{field}"]) or _is_off(values[f"loss.{other}"]):
            return None
        return Broken(f"is not possible together with loss.{other}: {why}", "switch one of them off")

    return Rule((f"loss.{field}", f"loss.{other}"), f"Not both `loss.{field}` and `loss.{other}`: {why}.", check)


def _not_with_prediction(field: str, prediction: str, why: str) -> Rule:
    def check(values: Values) -> Broken | None:
        if _is_off(values[f"loss.{field}"]) or values["loss.prediction"] != prediction:
            return None
        return Broken(f"is not possible with loss.prediction {prediction}: {why}", "leave one of them out")

    return Rule(
        (f"loss.{field}", "loss.prediction"), f"`loss.{field}` is not for `loss.prediction` {prediction}: {why}.", check
    )


def _needs_ema(field: str) -> Rule:
    def check(values: Values) -> Broken | None:
        if values[f"ema.{field}"] or values["ema.decay"] is not None:
            return None
        return Broken("does nothing: ema.decay is off", "leave it out, or set ema.decay")

    return Rule((f"ema.{field}", "ema.decay"), f"`ema.{field}` = false needs `ema.decay`.", check)


def _limit_counts(values: Values) -> Broken | None:
    if values["training.nonfinite_limit"] == 10 or values["training.on_nonfinite"] == "skip":
        return None
    return Broken("does nothing with training.on_nonfinite stop", "leave it out, or set training.on_nonfinite to skip")


def _range_is_not_empty(values: Values) -> Broken | None:
    low, high = values["loss.min_timestep"], values["loss.max_timestep"]
    if high is None or low < high:
        return None
    return Broken(f"leaves no timestep: it must be below loss.max_timestep {high}", f"use at most {high - 1}")


def _scale_suits(values: Values) -> Broken | None:
    scale, distribution = values["loss.timestep_scale"], values["loss.timestep_distribution"]
    if scale is None:
        return None
    if distribution == "logit_normal" and scale <= 0:
        return Broken("is no width: logit_normal needs one above 0", "1 is usual")
    if distribution == "mode" and scale > 1.75:
        return Broken("is too large for mode, which takes -1 to 1.75", "1.29 is usual")
    return None


def _is_off(value: Any) -> bool:
    return value in _OFFS


LOSS_RULES: Final[tuple[Rule, ...]] = (
    _needs_choice("delta", "kind", ("huber", "smooth_l1")),
    _needs_choice("delta_schedule", "kind", ("huber", "smooth_l1"), default="snr"),
    _needs_choice("delta_scale", "kind", ("huber", "smooth_l1")),
    *(
        _not_both(first, second, "each of them decides by itself how much a timestep counts")
        for first, second in combinations(_WEIGHTINGS, 2)
    ),
    _not_with_prediction("scale_v_like_noise", "epsilon", "there is no v-prediction to scale"),
    _not_with_prediction("v_like_share", "v_prediction", "the loss is a v-prediction's already"),
    _not_with_prediction("zero_terminal_snr", "epsilon", "in pure noise there is nothing but the noise to see"),
    _not_both("noise_offset", "multires_iterations", "both add coarse noise"),
    _needs_on("noise_offset_random", "noise_offset"),
    _needs_on("adaptive_noise_scale", "noise_offset"),
    _needs_on("multires_discount", "multires_iterations"),
    _needs_on("input_perturbation_random", "input_perturbation"),
    Rule(
        ("loss.min_timestep", "loss.max_timestep"),
        "`loss.min_timestep` is below `loss.max_timestep`.",
        _range_is_not_empty,
    ),
    *(_needs_ema(field) for field in ("warmup", "samples", "validation", "deliverable")),
    Rule(
        ("training.nonfinite_limit", "training.on_nonfinite"),
        "`training.nonfinite_limit` needs `training.on_nonfinite` skip.",
        _limit_counts,
    ),
    _needs_choice("timestep_location", "timestep_distribution", ("logit_normal",)),
    _needs_choice("timestep_scale", "timestep_distribution", ("logit_normal", "mode")),
    Rule(
        ("loss.timestep_scale", "loss.timestep_distribution"),
        "`loss.timestep_scale` is above 0 for `logit_normal`, at most 1.75 for `mode`.",
        _scale_suits,
    ),
)
