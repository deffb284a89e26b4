"""Writing ``status.json``, the engine's latest word about itself. Reading it is ``records.Status.read``."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Final

from engine.durable import write_json_atomically
from engine.run.json_lines import finite
from engine.run.layout import RunDirectory
from engine.run.records import Status

MIN_SECONDS: Final = 0.5


class StatusWriter:
    """Keeps the status of one attempt and rewrites the file at most twice a second, and at each change of state.

    A write that the disk refuses is counted in ``lost`` and never raised: a full disk must not end a training.
    """

    def __init__(self, run: RunDirectory, attempt: int) -> None:
        self.lost = 0
        self.status = Status(attempt=attempt, state="starting", step=0, total_steps=0, heartbeat=time.time())
        self._path = run.status
        self._written: float | None = None
        self._pending = False

    def update(self, force: bool = False, **changes: Any) -> None:
        """Change fields of ``Status`` by name. Written now if ``force``, if the state changes, or if it is time.

        What is not written now goes out with the next update.
        """
        before = self.status.state
        self.status = replace(self.status, **changes)
        self._pending = True
        now = time.monotonic()
        if force or self.status.state != before or self._written is None or now - self._written >= MIN_SECONDS:
            self._write(now)

    def flush(self) -> None:
        """Write what is still pending."""
        if self._pending:
            self._write(time.monotonic())

    def _write(self, now: float) -> None:
        self.status = replace(self.status, heartbeat=time.time())
        try:
            write_json_atomically(self._path, finite(self.status.to_json()), durable=False)
        except OSError:
            self.lost += 1
        self._written = now
        self._pending = False
