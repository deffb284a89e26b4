"""Rules between the fields of ``[checkpoints]``: what is asked to be kept is saved, measured and otherwise deleted."""

from __future__ import annotations

from typing import Final

from engine.profile.rule import Broken, Rule, Values


def _one_checkpoint_is_not_safe(values: Values) -> Broken | None:
    if values["checkpoints.keep_last"] != 1:
        return None
    return Broken("would leave nothing when the newest checkpoint is damaged", "use 0 (keep all) or at least 2")


def _kept_steps_are_saved(values: Values) -> Broken | None:
    kept, saved = values["checkpoints.keep_every_steps"], values["checkpoints.every_steps"]
    if not kept:
        return None
    if not values["checkpoints.keep_last"]:
        return _nothing_goes()
    if not saved:
        return Broken(
            "keeps nothing: checkpoints.every_steps = 0 saves at no fixed steps", "set checkpoints.every_steps"
        )
    if kept % saved:
        nearest = max(1, round(kept / saved)) * saved
        return Broken(f"is no multiple of checkpoints.every_steps {saved}, so nothing is saved there", f"use {nearest}")
    return None


def _kept_best_are_measured(values: Values) -> Broken | None:
    saved, measured = values["checkpoints.every_steps"], values["validation.every_steps"]
    if not values["checkpoints.keep_best"]:
        return None
    if not values["checkpoints.keep_last"]:
        return _nothing_goes()
    if not (values["validation.folders"] or values["validation.share"]):
        return Broken("has nothing to compare: no images are held out", "set validation.share or validation.folders")
    if not measured or not saved or saved % measured:
        sentence = (
            f"compares nothing: checkpoints are saved every {saved} steps and measured every {measured}"
            if measured and saved
            else "compares nothing: checkpoints are not both saved and measured at fixed steps"
        )
        return Broken(sentence, "make checkpoints.every_steps a multiple of validation.every_steps")
    return None


def _nothing_goes() -> Broken:
    return Broken("changes nothing: checkpoints.keep_last = 0 keeps all", "set checkpoints.keep_last to at least 2")


CHECKPOINT_RULES: Final = (
    Rule(
        ("checkpoints.keep_last",),
        "`checkpoints.keep_last` is 0 or at least 2: one alone would leave nothing when it is damaged.",
        _one_checkpoint_is_not_safe,
    ),
    Rule(
        ("checkpoints.keep_every_steps", "checkpoints.keep_last", "checkpoints.every_steps"),
        "`checkpoints.keep_every_steps` goes with `checkpoints.keep_last` and is a multiple of `checkpoints.every_steps`.",
        _kept_steps_are_saved,
    ),
    Rule(
        (
            "checkpoints.keep_best",
            "checkpoints.keep_last",
            "checkpoints.every_steps",
            "validation.every_steps",
            "validation.folders",
            "validation.share",
        ),
        "`checkpoints.keep_best` goes with `checkpoints.keep_last` and held-out images, and `checkpoints.every_steps` is a "
        "multiple of `validation.every_steps`.",
        _kept_best_are_measured,
    ),
)
