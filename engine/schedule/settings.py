"""Between a schedule and how a profile writes it: the warmup may be a share of all steps, rules are one text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.schedule.kinds import SHAPES, TAIL, DecayShape, Kind, ScheduleError, TailShape
from engine.schedule.piecewise import parse_rules, rules_text
from engine.schedule.schedule import DEFAULTS, Schedule

SETTINGS: Final[dict[str, Any]] = {"warmup_share": 0.0, **DEFAULTS, "rules": ""}
"""What a profile may say besides the kind, with what holds where it does not."""


def from_settings(settings: Mapping[str, Any], total_steps: int) -> Schedule:
    """The schedule that ``kind`` and every name of ``SETTINGS`` describe.

    Raises ``ScheduleError`` naming the setting that is wrong: one that the kind has not, or values that do not fit together.
    """
    kind = Kind(settings["kind"])
    for name in SETTINGS:
        require_used(kind, name, settings[name])
    if settings["warmup_share"] and settings["warmup_steps"]:
        raise ScheduleError(
            "is given besides schedule.warmup_steps", parameter="warmup_share", hint="keep one of the two"
        )
    shape = {name: settings[name] for name in SHAPES[kind] + TAIL}
    if settings["warmup_share"]:
        shape["warmup_steps"] = round(settings["warmup_share"] * total_steps)
    if "rules" in shape:
        shape["rules"] = parse_rules(shape["rules"]) if shape["rules"] else ()
    if "decay_shape" in shape:
        shape["decay_shape"] = DecayShape(shape["decay_shape"])
    shape["tail_shape"] = TailShape(shape["tail_shape"])
    return Schedule(kind, total_steps, **shape)


def settings_of(schedule: Schedule) -> dict[str, Any]:
    """``kind`` and a value for every name of ``SETTINGS``, from which ``from_settings`` makes this schedule again."""
    own = {name: getattr(schedule, name) for name in SHAPES[schedule.kind] + TAIL}
    if "rules" in own:
        own["rules"] = rules_text(schedule.rules)
    return {"kind": schedule.kind, **SETTINGS, **own}


def require_used(kind: Kind, name: str, value: Any) -> None:
    """Raises ``ScheduleError`` where a setting differs from its default and ``kind`` has no use for it."""
    if is_used(kind, name) or value == SETTINGS[name]:
        return
    users = [other.value for other in Kind if is_used(other, name)]
    where = f"set schedule.kind to {' or '.join(users)}" if len(users) <= 2 else "choose another schedule.kind"
    raise ScheduleError(f"is not used by the schedule {kind}", parameter=name, hint=f"remove it, or {where}")


def is_used(kind: Kind, name: str) -> bool:
    """Whether a setting shapes the schedules of a kind."""
    return ("warmup_steps" if name == "warmup_share" else name) in SHAPES[kind] + TAIL
