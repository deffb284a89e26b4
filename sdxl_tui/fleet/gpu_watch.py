"""Looking at the GPUs again and again, in a thread of its own; on a machine without any the thread ends at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdxl_tui.fleet.gpu_processes import OwnRuns
    from sdxl_tui.fleet.gpu_readings import GpuReading


class GpuWatch:
    """Calls ``seen(readings)`` in its thread when something is different. own: which pids are runs of this workspace."""

    def __init__(self, seen: Callable[[tuple[GpuReading, ...]], None], own: Callable[[], OwnRuns]) -> None:
        self._seen = seen
        self._own = own
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gpu-watch", daemon=True)

    def start(self) -> None:
        """Look for the first time, then again and again."""
        self._thread.start()

    def stop(self) -> None:
        """No more calls after the one that may be under way."""
        self._ended.set()

    def _run(self) -> None:
        from sdxl_tui.fleet.gpu_readings import open_gpu_reader  # noqa: PLC0415 - off the start of the app

        reader = open_gpu_reader()
        last: tuple[GpuReading, ...] = ()
        while reader is not None and not self._ended.is_set():
            found = reader.read(self._own())
            if found != last and not self._ended.is_set():
                last = found
                self._seen(found)
            self._ended.wait(reader.seconds)
