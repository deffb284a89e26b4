"""Rules that tie several fields of a profile together, each stated once as a sentence about the values it was given.

``schema.py`` holds every profile to them; ``load.py`` asks them one by one, so that a broken rule is reported beside the
other problems and not only after those are mended. Rules see plain values by field path and leave types to the schema.
"""

from __future__ import annotations

from typing import Final

from engine.profile.checkpoint_rules import CHECKPOINT_RULES
from engine.profile.data_rules import DATA_RULES
from engine.profile.loss_rules import LOSS_RULES
from engine.profile.network_rules import NETWORK_RULES
from engine.profile.optimizer_rules import OPTIMIZER_RULES
from engine.profile.rule import Broken, Rule, Values
from engine.profile.sample_rules import SAMPLE_RULES
from engine.profile.schedule_rules import SCHEDULE_RULES

__all__ = ["RULES", "Broken", "Rule", "Values"]


def _resolution_fits_buckets(values: Values) -> Broken | None:
    resolution, low, high = (values[f"dataset.{name}"] for name in ("resolution", "bucket_min", "bucket_max"))
    if not values["dataset.buckets"] or low <= resolution <= high:
        return None
    sentence = f"must lie between dataset.bucket_min {low} and dataset.bucket_max {high}"
    if resolution < low:
        return Broken(sentence, f"lower dataset.bucket_min to {max(64, resolution // 2 // 8 * 8)}")
    return Broken(sentence, f"raise dataset.bucket_max to {resolution * 2}")


def _a_bucket_exists(values: Values) -> Broken | None:
    step, low, resolution = (values[f"dataset.{name}"] for name in ("bucket_step", "bucket_min", "resolution"))
    if not values["dataset.buckets"] or resolution < low or resolution // step * step >= low:
        return None
    sentence = f"has no multiple between dataset.bucket_min {low} and dataset.resolution {resolution}"
    return Broken(sentence, f"use {max(8, min(64, resolution // 4) // 8 * 8)}, or lower dataset.bucket_min")


def _base_can_be_computed(values: Values) -> Broken | None:
    base, compute = values["precision.base"], values["precision.compute"]
    if compute != "fp32" or base in ("as compute", "fp32", "fp8", "int8"):
        return None
    return Broken("cannot be computed in precision.compute fp32", "use as compute, or bf16 for both")


def _one_card_is_not_shared(values: Values) -> Broken | None:
    device = values["launch.device"]
    if values["launch.processes"] == 1 or ":" not in device:
        return None
    return Broken("names one card", "use auto or cuda: every process takes one card, from the first on")


TRACKERS: Final = ("tensorboard", "wandb")


def _trackers_are_known(values: Values) -> Broken | None:
    names = values["logging.trackers"]
    unknown = [name for name in names if name not in TRACKERS] if isinstance(names, (list, tuple)) else []
    if not unknown:
        return None
    return Broken(f"names {unknown[0]!r}, which is no tracker", f"the trackers are {' and '.join(TRACKERS)}")


RULES: tuple[Rule, ...] = (
    Rule(
        ("dataset.resolution", "dataset.buckets", "dataset.bucket_min", "dataset.bucket_max"),
        "With `dataset.buckets`, `dataset.resolution` lies between `dataset.bucket_min` and `dataset.bucket_max`.",
        _resolution_fits_buckets,
    ),
    Rule(
        ("dataset.bucket_step", "dataset.buckets", "dataset.bucket_min", "dataset.resolution"),
        "With `dataset.buckets`, a multiple of `dataset.bucket_step` lies between `dataset.bucket_min` and "
        "`dataset.resolution`.",
        _a_bucket_exists,
    ),
    *OPTIMIZER_RULES,
    *SCHEDULE_RULES,
    Rule(
        ("precision.base", "precision.compute"),
        "With `precision.compute` fp32, `precision.base` is not bf16 or fp16.",
        _base_can_be_computed,
    ),
    Rule(
        ("launch.device", "launch.processes"),
        "With `launch.processes` above 1, `launch.device` names no single card.",
        _one_card_is_not_shared,
    ),
    *CHECKPOINT_RULES,
    *DATA_RULES,
    *NETWORK_RULES,
    *LOSS_RULES,
    *SAMPLE_RULES,
    Rule(
        ("logging.trackers",),
        "`logging.trackers` names no others than `tensorboard` and `wandb`.",
        _trackers_are_known,
    ),
)
