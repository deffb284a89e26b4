"""Learning-rate schedules as pure functions of the step, without torch: kinds, curves, and what each kind is set to."""

from engine.schedule.kinds import SHAPES, TAIL, DecayShape, Kind, Phase, ScheduleError, TailShape
from engine.schedule.schedule import Schedule
from engine.schedule.settings import SETTINGS, from_settings, is_used, require_used, settings_of

__all__ = [
    "SETTINGS",
    "SHAPES",
    "TAIL",
    "DecayShape",
    "Kind",
    "Phase",
    "Schedule",
    "ScheduleError",
    "TailShape",
    "from_settings",
    "is_used",
    "require_used",
    "settings_of",
]
