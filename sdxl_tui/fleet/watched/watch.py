"""Looking for watched runs again and again, in a thread of its own: a folder on a slow disk holds up nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final

from sdxl_tui.fleet.watch import Watch

if TYPE_CHECKING:
    from sdxl_tui.fleet.runs import RunSummary
    from sdxl_tui.fleet.watched.runs import WatchedRuns
    from sdxl_tui.workspace import Workspace

FRESH_SECONDS: Final = 2.0
"""Between looks while any of them writes."""
QUIET_SECONDS: Final = 5.0


class WatchedWatch(Watch):
    """Of watched runs; nothing is told while there are none.

    troubled: is told of a folder that cannot be listed, once. ours: the ids that no watched run may have. Both are called in the
    watch's thread.
    """

    what = "the runs of others"

    def __init__(
        self,
        workspace: Workspace,
        seen: Callable[[tuple[RunSummary, ...]], None],
        failed: Callable[[str], None],
        ours: Callable[[], Collection[str]],
        troubled: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__("watched-runs", seen, failed)
        self.workspace = workspace
        self._ours, self._troubled = ours, troubled
        self._told: tuple[str, ...] = ()
        self._runs: WatchedRuns | None = None
        self._last = ()
        self.has_begun = False

    def start(self) -> None:
        """Look for the first time, then again and again; not twice."""
        if not self.has_begun:
            self.has_begun = True
            super().start()

    def _found(self) -> tuple[RunSummary, ...] | str:
        """Of each folder that cannot be listed it is told once, until it can be again."""
        found = super()._found()
        problems = self._runs.problems if self._runs is not None else ()
        for problem in problems:
            if problem not in self._told and not self._ended:
                self._troubled(problem)
        self._told = problems
        return found

    def _look(self) -> tuple[RunSummary, ...]:
        if self._runs is None:
            if not self.workspace.state_folders.exists():
                return ()
            from sdxl_tui.fleet.watched.runs import WatchedRuns  # noqa: PLC0415 - few have any

            self._runs = WatchedRuns(self.workspace)
        return self._runs.look(self._ours())

    def _rest(self, found: tuple[RunSummary, ...]) -> float:
        now = time.time()
        is_fresh = any(run.moves(now) for run in found)
        return max(self._pace.rest(FRESH_SECONDS if is_fresh else QUIET_SECONDS), self._pace.passed)
