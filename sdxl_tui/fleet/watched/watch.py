"""Looking for watched runs again and again, in a thread of its own: a folder on a slow disk holds up nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final

from engine.errors import UserError
from sdxl_tui.fleet.watch import Pace

if TYPE_CHECKING:
    from sdxl_tui.fleet.runs import RunSummary
    from sdxl_tui.fleet.watched.runs import WatchedRuns
    from sdxl_tui.workspace import Workspace

FRESH_SECONDS: Final = 2.0
"""Between looks while any of them writes."""
QUIET_SECONDS: Final = 5.0


class WatchedWatch:
    """Calls ``seen(runs)`` with the watched runs, newest first, or ``failed(reason)``; only on changes.

    troubled: is told of a folder that cannot be listed, once. ours: the ids that no watched run may have. All are called in the
    watch's thread, a daemon.
    """

    def __init__(
        self,
        workspace: Workspace,
        seen: Callable[[tuple[RunSummary, ...]], None],
        failed: Callable[[str], None],
        ours: Callable[[], Collection[str]],
        troubled: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.workspace = workspace
        self._seen, self._failed, self._ours, self._troubled = seen, failed, ours, troubled
        self._told: tuple[str, ...] = ()
        self._runs: WatchedRuns | None = None
        self._last: tuple[RunSummary, ...] | str = ()
        self.has_begun = False
        self._wake = threading.Event()
        self._ended = False
        self._pace = Pace()
        self._thread = threading.Thread(target=self._run, name="watched-runs", daemon=True)

    def start(self) -> None:
        """Look for the first time, then again and again; not twice."""
        if not self.has_begun:
            self.has_begun = True
            self._thread.start()

    def look_now(self) -> None:
        """Do not wait for the next look: a folder was just added or taken away."""
        self._wake.set()

    def stop(self) -> None:
        """No more calls after the one that may be under way."""
        self._ended = True
        self._wake.set()

    def _run(self) -> None:
        while not self._ended:
            self._wake.clear()
            began = time.monotonic()
            with self._pace:
                found = self._look()
            self._tell_problems()
            if found != self._last and not self._ended:
                self._last = found
                if isinstance(found, str):
                    self._failed(found)
                else:
                    self._seen(found)
            took, now = time.monotonic() - began, time.time()
            is_fresh = not isinstance(found, str) and any(run.moves(now) for run in found)
            self._wake.wait(max(self._pace.rest(FRESH_SECONDS if is_fresh else QUIET_SECONDS), took))

    def _tell_problems(self) -> None:
        """Once of each folder, until it can be listed again."""
        problems = self._runs.problems if self._runs is not None else ()
        for problem in problems:
            if problem not in self._told and not self._ended:
                self._troubled(problem)
        self._told = problems

    def _look(self) -> tuple[RunSummary, ...] | str:
        if self._runs is None:
            if not self.workspace.state_folders.exists():
                return ()
            from sdxl_tui.fleet.watched.runs import WatchedRuns  # noqa: PLC0415 - few have any

            self._runs = WatchedRuns(self.workspace)
        try:
            return self._runs.look(self._ours())
        except (UserError, OSError) as error:
            return str(error)
        except Exception as error:  # a defect must be seen, not leave rows that are silently out of date
            return f"the runs of others cannot be read: {error!r}"
