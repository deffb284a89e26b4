"""Places that read from disk: in a thread, one read at a time, again and again while they are looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import work

from sdxl_tui.screens.place import Place

if TYPE_CHECKING:
    from sdxl_tui.workspace import Workspace


class ReadingPlace(Place):
    """A place whose ``read_and_show`` runs in a thread, never twice at once."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._reading = False

    def read_every(self, seconds: float) -> None:
        """Read now, and every so many seconds while this screen is in front."""
        self.set_interval(seconds, self.read_if_seen)
        self.read_soon()

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
            self.read_and_show()
        finally:
            self._reading = False
