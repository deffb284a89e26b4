"""All that a run's page shows beyond its summary, read off the run's files and followed: curves, log, events, samples, plan."""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.errors import UserError
from engine.run.json_lines import JsonLines
from engine.run.layout import RunDirectory
from engine.schedule import Schedule
from sdxl_tui.fleet.log_tail import LogTail
from sdxl_tui.fleet.run_history import RunHistory
from sdxl_tui.fleet.runs import RunSummary
from sdxl_tui.terminal.clean import clean

EVENTS: Final = 500
SAMPLES: Final = 200
SECONDS_PER_LOOK: Final = 0.3
"""Of reading a long history, before what was read so far is shown."""
SAMPLE_NAME: Final = re.compile(r"step-(\d{8})-(\d+)\.[a-z]+")


@dataclass(frozen=True)
class Plan:
    """What the run's profile says about what is to come."""

    schedule: Schedule
    base_lr: float
    prompts: tuple[str, ...]
    """Of the samples, safe to print."""


@dataclass(frozen=True)
class Sample:
    """A picture in the run's samples folder."""

    step: int
    number: int
    name: str


def read_prompts(run: RunDirectory) -> tuple[str, ...]:
    """The prompts of the run's samples, safe to print; none if its profile cannot be read."""
    from engine.profile.load import read_snapshot  # noqa: PLC0415 - pydantic

    try:
        profile = read_snapshot(run.latest_profile)
    except (UserError, OSError):
        return ()
    return tuple(clean(prompt, limit=300) for prompt in profile.samples.prompts)


class RunCurves:
    """The measured curves of a run and what its profile plans. Read by ``poll``, in one thread at a time."""

    def __init__(
        self, run: RunDirectory, attempt: int | None = None, *, brief: bool = False, history: RunHistory | None = None
    ) -> None:
        """attempt, brief: as of ``RunHistory``. history: of a run that is no run of ours, so that it has no profile either."""
        self.run = run
        self._whole = history or RunHistory(run, attempt, brief=brief)
        self.history = self._whole
        """Of a long run an overview first, then all of it."""
        self._has_begun = False
        self.plan: Plan | None = None
        self._has_profile = history is None
        self._planned: Path | None = None
        """The profile that the plan is of."""

    def poll(self) -> frozenset[str]:
        """Read on; which of the parts that ``looks`` names are different now."""
        return frozenset(name for name, look in self.looks().items() if look())

    def looks(self) -> dict[str, Callable[[], bool]]:
        """What is read for each part; each says whether anything is different."""
        return {"history": self._poll_history, "plan": self._read_plan}

    @property
    def caught_up(self) -> bool:
        """There is no more to read than what is added from now on."""
        return self.history is self._whole and self._whole.caught_up

    def _poll_history(self) -> bool:
        if not self._has_begun:
            self._has_begun = True
            if (overview := self._whole.overview()) is not None:
                self.history = overview
                return True
        until = time.monotonic() + SECONDS_PER_LOOK
        changed = self._whole.poll()
        while not self._whole.caught_up and time.monotonic() < until:
            changed |= self._whole.poll()
        if self.history is self._whole:
            return changed
        if self._whole.caught_up:
            self.history = self._whole
        return self._whole.caught_up

    def _read_plan(self) -> bool:
        """What the newest start trains; a snapshot never changes, but a start may bring one of its own."""
        try:
            path = self.run.latest_profile if self._has_profile else self._planned
        except OSError:
            return False
        if path is None or path == self._planned:
            return False
        from engine.profile.load import read_snapshot  # noqa: PLC0415 - pydantic, not for the app's first frame

        self._planned = path
        try:
            profile = read_snapshot(path)
            schedule = profile.schedule.over(profile.training.steps)
        except (UserError, OSError):
            return False  # the curves do without; the run's state says what is wrong
        prompts = tuple(clean(prompt, limit=300) for prompt in profile.samples.prompts)
        self.plan = Plan(schedule, profile.leading_lr, prompts)
        return True


def history_of(run: RunSummary, *, brief: bool = False) -> RunHistory:
    """What was measured of a run, of ours or of another trainer's."""
    if run.watched is None:
        return RunHistory(run.directory, brief=brief)
    from sdxl_tui.fleet.watched.history import WatchedHistory  # noqa: PLC0415 - few have any

    return WatchedHistory(run.watched.folder, brief=brief)


def curves_of(run: RunSummary, *, brief: bool = False) -> RunCurves:
    """The curves of a run, of ours or of another trainer's."""
    history = history_of(run, brief=brief) if run.watched is not None else None
    return RunCurves(run.directory, brief=brief, history=history)


class RunPageData(RunCurves):
    """All of a page: ``log``, ``events``, ``samples``, and whether the run is ``gone``."""

    def __init__(self, run: RunDirectory) -> None:
        super().__init__(run)
        self.log = LogTail(run)
        self.events: deque[dict[str, Any]] = deque(maxlen=EVENTS)
        self.samples: tuple[Sample, ...] = ()
        self.is_gone = False
        """There is no such folder (any more)."""
        self._events = JsonLines(run.events)
        self._samples_seen: int | None = None

    def looks(self) -> dict[str, Callable[[], bool]]:
        return super().looks() | {
            "log": self.log.poll,
            "events": self._poll_events,
            "samples": self._poll_samples,
            "gone": self._poll_folder,
        }

    def _poll_folder(self) -> bool:
        before, self.is_gone = self.is_gone, not self.run.path.is_dir()
        return self.is_gone != before

    def _poll_events(self) -> bool:
        found = self._events.poll()
        if self._events.restarted:
            self.events.clear()
        self.events += found
        return bool(found) or self._events.restarted

    def _poll_samples(self) -> bool:
        """The folder is listed again only when it changed."""
        try:
            changed_at = self.run.samples.stat().st_mtime_ns
            if changed_at == self._samples_seen:
                return False
            names = os.listdir(self.run.samples)  # noqa: PTH208 - names are all that is needed
        except OSError:
            return False
        self._samples_seen = changed_at
        found = [
            Sample(int(match[1]), int(match[2]), clean(name))
            for name in names
            if (match := SAMPLE_NAME.fullmatch(name))
        ]
        self.samples = tuple(sorted(found, key=lambda sample: (-sample.step, sample.number))[:SAMPLES])
        return True
