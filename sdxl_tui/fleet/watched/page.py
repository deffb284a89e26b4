"""All that a watched run's page shows beyond its summary: curves, the files it saved, what those say of the training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from engine.errors import UserError
from engine.foreign.errors import ForeignFileError
from engine.foreign.lora_facts import read_lora_facts
from engine.foreign.report import lora_lines
from sdxl_tui.fleet.run_page import Plan, RunCurves
from sdxl_tui.fleet.runs import RunSummary
from sdxl_tui.fleet.watched.history import WatchedHistory
from sdxl_tui.fleet.watched.record import SavedFile, Watched
from sdxl_tui.terminal.clean import clean

CLOSE: Final = 0.01
"""Share of a rate by which the stored schedule may miss it."""


class WatchedPageData(RunCurves):
    """``summary`` is replaced by whoever follows the runs. Read by ``poll``, in one thread at a time."""

    def __init__(self, run: RunSummary) -> None:
        """run: a watched one."""
        if run.watched is None:
            raise ValueError(f"{run.id} is no watched run")
        self._all = WatchedHistory(run.watched.folder)
        super().__init__(run.directory, history=self._all)
        self.summary = run
        self.saved: tuple[tuple[SavedFile, int | None], ...] = ()
        """What it saved, the newest first, with bytes; None of a folder, or of what is gone."""
        self.facts: tuple[tuple[str, str], ...] = ()
        """(name, value) of what its newest LoRA file tells, safe to print."""
        self.is_gone = False
        """Its event files are gone or cannot be read."""
        self._facts_of: SavedFile | None = None
        self._plan_of: SavedFile | None = None
        self._seen: Watched | None = None

    @property
    def damaged(self) -> int:
        """Records of its event files that were passed over."""
        return self._all.damaged

    @property
    def is_cut(self) -> bool:
        """More is written than is kept."""
        return self._all.is_cut

    def looks(self) -> dict[str, Callable[[], bool]]:
        looks = super().looks() | {"files": self._look_at_files, "facts": self._read_facts, "gone": self._look_for_it}
        return looks | {"plan": looks.pop("plan")}  # the file that it is known by is found first

    def _look_for_it(self) -> bool:
        before, self.is_gone = self.is_gone, bool(self._all.problem) or not self.run.path.is_dir()
        return self.is_gone != before

    def _look_at_files(self) -> bool:
        watched = self.summary.watched
        if watched is None or (self._seen is not None and watched.saved == self._seen.saved):
            return False
        self._seen = watched
        self.saved = tuple((file, None if file.is_state else _bytes(file)) for file in watched.saved)
        return True

    def _read_facts(self) -> bool:
        """Of the newest LoRA file, once."""
        newest = next((file for file, _ in self.saved if not file.is_state), None)
        if newest == self._facts_of:
            return False
        self._facts_of, self.facts = newest, ()
        if newest is not None:
            try:
                lines = lora_lines(read_lora_facts(newest.path))
            except (ForeignFileError, OSError):
                lines = []
            self.facts = tuple((clean(name), clean(value)) for name, value in lines)
        return True

    def _read_plan(self) -> bool:
        """What its newest LoRA file names as the schedule, where the rates that it wrote meet it."""
        newest, last = self._facts_of, self.history.last
        if newest is None or newest == self._plan_of or not self.caught_up or last is None or not last.lr:
            return False
        from engine.foreign.starting_point import read_starting_point  # noqa: PLC0415 - pydantic

        self._plan_of = newest
        try:
            point = read_starting_point(newest.path)
        except (UserError, OSError):
            return False
        schedule, used = point.stored.schedule, next(iter(last.lr.values()))
        base = point.rate.base
        if schedule is None or not base or not 0 < last.step <= schedule.total_steps:
            return False
        # The rate that is written may be that of the step after.
        near = (schedule.lr(step, base) for step in (last.step - 1, min(last.step, schedule.total_steps - 1)))
        if not any(math.isclose(rate, used, rel_tol=CLOSE) for rate in near):
            return False
        self.plan = Plan(schedule, base, ())
        return True


def _bytes(file: SavedFile) -> int | None:
    try:
        return file.path.stat().st_size
    except OSError:
        return None
