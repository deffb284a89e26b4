"""Places that read from disk: in a thread, one read at a time, again and again while they are looked at."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual import work

from sdxl_tui.fleet.watch import Pace
from sdxl_tui.screens.place import Place

if TYPE_CHECKING:
    from sdxl_tui.workspace import Workspace


class ReadingPlace(Place):
    """A place whose ``read_and_show`` runs in a thread, never twice at once."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._reading = False
        self._pace = Pace()
        self._ended_reading = 0.0

    def read_every(self, seconds: float, *, paced: bool = False) -> None:
        """Read now, and every so many seconds while this screen is in front. paced: less often where a read takes long."""
        self.set_interval(seconds, self._read_at_its_pace if paced else self.read_if_seen)
        self.read_soon()

    def _read_at_its_pace(self) -> None:
        if time.monotonic() >= self._ended_reading + self._pace.rest(0.0):
            self.read_if_seen()

    def read_soon(self) -> None:
        """Start a read, unless one is going on."""
        if not self._reading:
            self._reading = True
            self._read()

    def read_and_show(self) -> None:
        """Read what the place shows and hand it to the app's thread (``call_from_thread``). Runs in a thread."""
        raise NotImplementedError

    def read_if_seen(self) -> None:
        """Start a read while this screen is in front."""
        if self.is_active:
            self.read_soon()

    @work(thread=True, group="read")
    def _read(self) -> None:
        try:
            with self._pace:
                self.read_and_show()
        finally:
            self._ended_reading = time.monotonic()
            self._reading = False
