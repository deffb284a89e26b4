"""Going on with the queue while the app is open, in a thread of its own: for what became free without anybody's saying so."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from engine.errors import UserError

if TYPE_CHECKING:
    from sdxl_tui.fleet.queue.going_on import WentOn
    from sdxl_tui.workspace import Workspace

SECONDS: Final = 5.0
STRANGERS_SECONDS: Final = 20.0
"""Between looks at memory that other programs have taken."""


class QueueWatch:
    """Calls ``went(what came of it)`` after each round that started or refused something, and ``failed(reason)`` once where
    the queue cannot be read. Both are called in the watch's thread, which never holds up the end of the program.
    """

    def __init__(self, workspace: Workspace, went: Callable[[WentOn], None], failed: Callable[[str], None]) -> None:
        self.workspace = workspace
        self._went = went
        self._failed = failed
        self._reason = ""
        self._strangers = False
        self._wake = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="queue-watch", daemon=True)

    def start(self) -> None:
        """Begin, some seconds from now: the app's first picture comes first."""
        self._thread.start()

    def look_now(self) -> None:
        """Do not wait for the next round: something was just put into the queue."""
        self._wake.set()

    def stop(self) -> None:
        """No more rounds. Where memory of other programs is waited for, a process of its own goes on waiting."""
        self._ended = True
        self._wake.set()
        if self._strangers:
            from sdxl_tui.fleet.queue.going_on import let_others_go_on  # noqa: PLC0415 - rarely

            let_others_go_on(self.workspace)

    def _run(self) -> None:
        while True:
            self._wake.wait(STRANGERS_SECONDS if self._strangers else SECONDS)
            self._wake.clear()
            if self._ended:
                return
            self._round()

    def _round(self) -> None:
        from sdxl_tui.fleet.queue.going_on import go_on  # noqa: PLC0415 - off the start of the app
        from sdxl_tui.fleet.queue.record import read_queue  # noqa: PLC0415

        reason = ""
        try:
            if not self.workspace.read_only and any(not entry.held for entry in read_queue(self.workspace).entries):
                went = go_on(self.workspace)
                self._strangers = went.waits_for_strangers
                if (went.started or went.refused) and not self._ended:
                    self._went(went)
        except (UserError, OSError) as error:
            reason = str(error)
        except Exception as error:  # a defect must be seen, not leave a queue that silently stands still
            reason = f"the queue cannot go on: {error!r}"
        if reason and reason != self._reason and not self._ended:
            self._failed(reason)
        self._reason = reason
