"""``events.jsonl``: what happened to a run, written by the engine and read by everyone. The kinds stand in docs/files.md."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from engine.run.json_lines import JsonLines, JsonLinesWriter, read_json_lines

__all__ = ["EventLog", "JsonLines", "read_events"]


class EventLog:
    """Appends events of one attempt to ``path``. Never raises for the disk's sake: what is lost is counted."""

    def __init__(self, path: Path, attempt: int) -> None:
        self.attempt = attempt
        self._writer = JsonLinesWriter(path)

    @property
    def lost(self) -> int:
        """Events that the disk did not take."""
        return self._writer.lost

    def write(self, event: str, **fields: Any) -> None:
        """Append ``event`` with the time, the attempt and ``fields`` (JSON values; not finite becomes null), synced."""
        self._writer.write({"time": time.time(), "attempt": self.attempt, "event": event, **fields})
        self._writer.sync()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


def read_events(path: Path) -> list[dict[str, Any]]:
    """Every readable event in ``path``, oldest first; none if there is no such file."""
    return read_json_lines(path)
