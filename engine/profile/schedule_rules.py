"""Rules between the fields of ``[schedule]``: each is one its kind has, and together they make a schedule.

What a kind has and what fits is said in ``engine.schedule``; here it is only asked.
"""

from __future__ import annotations

from engine.profile.rule import Broken, Rule, Values
from engine.schedule import SETTINGS, Kind, ScheduleError, from_settings, is_used, require_used


def _warmup_fits(values: Values) -> Broken | None:
    steps = values["training.steps"]
    if not _warmup_is_too_long(values):
        return None
    return Broken(f"is longer than training.steps {steps}", f"use at most {steps}; 0 to 10 % of the steps is usual")


def _warmup_is_too_long(values: Values) -> bool:
    return bool(values["schedule.warmup_steps"] > values["training.steps"])


def _schedule_has(name: str) -> Rule:
    """A setting of the schedule is one that its kind has, and goes together with the others."""

    def check(values: Values) -> Broken | None:
        kind = Kind(values["schedule.kind"])
        settings = {other: values[f"schedule.{other}"] for other in SETTINGS}
        try:
            require_used(kind, name, settings[name])
            own = {other: value for other, value in settings.items() if is_used(kind, other)}
            from_settings(SETTINGS | own | {"kind": kind}, values["training.steps"])
        except ScheduleError as error:
            told_elsewhere = name == "warmup_steps" and _warmup_is_too_long(values)
            if error.parameter == name and not told_elsewhere:
                return Broken(error.what, error.hint or "")
        return None

    own_path, others = f"schedule.{name}", [f"schedule.{other}" for other in SETTINGS if other != name]
    kinds = " or ".join(kind.value for kind in Kind if is_used(kind, name))
    sentence = f"`{own_path}` is left at its default unless `schedule.kind` is {kinds}; and it fits the steps."
    return Rule((own_path, "schedule.kind", "training.steps", *others), sentence, check)


SCHEDULE_RULES: tuple[Rule, ...] = (
    Rule(
        ("schedule.warmup_steps", "training.steps"),
        "`schedule.warmup_steps` is at most `training.steps`.",
        _warmup_fits,
    ),
    *(_schedule_has(name) for name in SETTINGS),
)
