"""Whether a run is at work on another machine that shares the disk. A lock does not always reach there; what is written does.

A keeper touches its ``exit.json`` every few seconds, whatever its engine does; the engine writes its status. Two machines' clocks
may differ, so what was seen to change within this process counts as well as what is new by our clock.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.run.keeper import OOM_SAMPLE_SECONDS, boot_id
from engine.run.layout import RunDirectory
from engine.run.lock import LockState, lock_state
from engine.run.process import Place, place_of
from engine.run.records import ProcessRecord

ELSEWHERE_SECONDS: Final = 90.0
"""Without a sign of life, and it is taken for gone: a network disk may tell of one a minute late."""
SILENT_SECONDS: Final = 20.0
"""From here on the silence is told."""
DAY: Final = 86_400.0
"""No two clocks differ by more."""
WATCH_SECONDS: Final = OOM_SAMPLE_SECONDS + 1.5

_seen: dict[Path, tuple[float, float | None]] = {}
"""By run: when its files were last written, and when (monotonic) this process saw that change."""


@dataclass(frozen=True)
class Elsewhere:
    """Another machine on which a run is at work."""

    host: str
    silent: float
    """Seconds since it wrote."""

    @property
    def words(self) -> str:
        """``running on gpubox7``"""
        told = f", last heard of {round(self.silent, -1):.0f} s ago" if self.silent >= SILENT_SECONDS else ""
        return f"running on {self.host}{told}"


def seen_elsewhere(run: RunDirectory, attempt: int, process: ProcessRecord) -> Elsewhere | None:
    """The other machine on which attempt ``attempt`` of ``run`` is at work, if it is: asked where its end is not recorded."""
    if (written := _written(run, attempt)) is None or not _may_be_elsewhere(run, process):
        return None
    before, changed = _seen.get(run.path, (written, None))
    if written > before:
        changed = time.monotonic()
    _seen[run.path] = written, changed
    # Another machine of our name is told from ourselves before a restart by what was written since we are up.
    alike = place_of(process) is Place.BEFORE_REBOOT
    host = f"another machine named {process.host}" if alike else process.host
    if changed is not None and (silent := time.monotonic() - changed) < ELSEWHERE_SECONDS:
        return Elsewhere(host, silent)
    silent = time.time() - written
    if abs(silent) < ELSEWHERE_SECONDS and not (alike and written < _up_since()):
        return Elsewhere(host, max(0.0, silent))
    return None


def watch_elsewhere(run: RunDirectory, attempt: int, process: ProcessRecord) -> Elsewhere | None:
    """The same before the run is started here: blocks for some seconds where only that tells whether somebody writes."""
    found = seen_elsewhere(run, attempt, process)
    written = _written(run, attempt)
    if found or written is None or not _may_be_elsewhere(run, process) or abs(time.time() - written) > DAY:
        return found
    if place_of(process) is Place.BEFORE_REBOOT and written < _up_since():
        return None
    until = time.monotonic() + WATCH_SECONDS
    while found is None and time.monotonic() < until:
        time.sleep(0.25)
        found = seen_elsewhere(run, attempt, process)
    return found


def _may_be_elsewhere(run: RunDirectory, process: ProcessRecord) -> bool:
    """A container that is restarted, or made anew under another name, leaves the kernel: where that has locks, it knows each."""
    if place_of(process) not in {Place.OTHER_HOST, Place.BEFORE_REBOOT}:
        return False
    is_our_kernel = bool(process.boot_id) and process.boot_id == boot_id()
    return not is_our_kernel or lock_state(run.lock) is LockState.UNKNOWN


def _written(run: RunDirectory, attempt: int) -> float | None:
    """When keeper or engine last wrote (Unix seconds, by the disk's clock). Opened, for a network disk to ask anew."""
    times = []
    for path in (run.status, run.attempt(attempt).exit):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            times.append(os.fstat(descriptor).st_mtime)
        finally:
            os.close(descriptor)
    return max(times, default=None)


def _up_since() -> float:
    """When this machine was started (Unix seconds), with some seconds for clocks that are set after it."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + 5
