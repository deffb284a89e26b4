"""Looking at the runs again and again, in a thread of its own; whoever is interested is told when something changed."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Final

from engine.errors import UserError

if TYPE_CHECKING:
    from sdxl_tui.fleet.runs import RunSummary
    from sdxl_tui.workspace import Workspace

LIVE_SECONDS: Final = 1.0
QUIET_SECONDS: Final = 2.0
"""Between looks while no run is alive: what starts then was started elsewhere."""


class Pace:
    """How long to leave between two looks so that looking stays cheap, however much there is, and however slow the disk."""

    LONGEST: Final = 15.0

    def __init__(self) -> None:
        self._own, self._passed = 0.0, 0.0
        self._began = 0.0, 0.0

    def __enter__(self) -> Pace:
        self._began = time.thread_time(), time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._own, self._passed = time.thread_time() - self._began[0], time.monotonic() - self._began[1]

    @property
    def passed(self) -> float:
        """Seconds that the last look took by the clock."""
        return self._passed

    def rest(self, seconds: float) -> float:
        """``seconds``, or more: a fortieth of a core, and a third of the disk's time, are the most that looking takes."""
        return max(seconds, min(self.LONGEST, max(40 * self._own, 2 * self._passed)))


class Watch(ABC):
    """Looks again and again in a thread of its own, and calls ``seen(runs)``, newest first, or ``failed(reason)`` where they
    cannot be read; only on changes.

    Both are called in the watch's thread. The thread is a daemon: it never holds up the end of the program.
    """

    def __init__(
        self, name: str, seen: Callable[[tuple[RunSummary, ...]], None], failed: Callable[[str], None]
    ) -> None:
        self._seen = seen
        self._failed = failed
        self._last: tuple[RunSummary, ...] | str | None = None
        self._wake = threading.Event()
        self._ended = False
        self._pace = Pace()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Look for the first time, then again and again."""
        self._thread.start()

    @property
    def last(self) -> tuple[RunSummary, ...] | str | None:
        """What was found last: the runs, or why they cannot be read; None before the first look is over."""
        return self._last

    def look_now(self) -> None:
        """Do not wait for the next look: something was just done."""
        self._wake.set()

    def stop(self) -> None:
        """No more calls after the one that may be under way."""
        self._ended = True
        self._wake.set()

    def _run(self) -> None:
        while not self._ended:
            self._wake.clear()
            with self._pace:
                found = self._found()
            if found != self._last and not self._ended:
                self._last = found
                if isinstance(found, str):
                    self._failed(found)
                else:
                    self._seen(found)
            self._wake.wait(self._rest(() if isinstance(found, str) else found))

    def _found(self) -> tuple[RunSummary, ...] | str:
        try:
            return self._look()
        except (UserError, OSError) as error:
            return str(error)
        except Exception as error:  # a defect must be seen, not leave a table that is silently out of date
            return f"{self.what} cannot be read: {error!r}"

    what: ClassVar[str]
    """In words, what is looked at."""

    @abstractmethod
    def _look(self) -> tuple[RunSummary, ...]:
        """The runs as they are."""

    @abstractmethod
    def _rest(self, found: tuple[RunSummary, ...]) -> float:
        """Seconds until the next look; found: by the last one, nothing where it failed."""


class RunsWatch(Watch):
    """Of our runs."""

    what = "the runs"

    def __init__(
        self, workspace: Workspace, seen: Callable[[tuple[RunSummary, ...]], None], failed: Callable[[str], None]
    ) -> None:
        super().__init__("runs-watch", seen, failed)
        self.workspace = workspace

    def _look(self) -> tuple[RunSummary, ...]:
        from sdxl_tui.fleet.runs import list_runs  # noqa: PLC0415 - off the start of the app

        known = () if self._last is None or isinstance(self._last, str) else self._last
        return tuple(list_runs(self.workspace, known))

    def _rest(self, found: tuple[RunSummary, ...]) -> float:
        return self._pace.rest(LIVE_SECONDS if any(run.alive for run in found) else QUIET_SECONDS)
