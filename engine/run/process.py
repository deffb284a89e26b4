"""Processes as records know them: is the one that was recorded still there, and may it be signalled?

A pid alone says nothing: it may have passed to another process, or belong to another boot, container or machine. The
readings of ``/proc`` are the keeper's.
"""

from __future__ import annotations

import socket
from enum import StrEnum
from functools import cache

from engine.run.keeper import boot_id, pid_namespace, process_stat, send_signal, start_of
from engine.run.records import ProcessRecord


class Place(StrEnum):
    """Where a recorded process was started, seen from here."""

    HERE = "here"
    BEFORE_REBOOT = "before a reboot"
    OTHER_CONTAINER = "in another container"
    OTHER_HOST = "on another machine"


@cache
def _here() -> tuple[str, str, int | None, str]:
    return boot_id(), pid_namespace(), start_of(1), socket.gethostname()


def place_of(record: ProcessRecord) -> Place:
    """Where the recorded processes live or lived. Only for ``HERE`` do their pids mean anything.

    ``boot_id`` is the host's and survives a restart of the container; the start of PID 1 does not.
    """
    boot, namespace, init_start, host = _here()
    same_boot = record.boot_id in (boot, "")
    same_container = record.pid_namespace in (namespace, "") and record.init_start in (init_start, None)
    if same_boot and same_container:
        return Place.HERE
    if record.host != host:
        return Place.OTHER_HOST
    return Place.OTHER_CONTAINER if same_boot else Place.BEFORE_REBOOT


def is_running(pid: int | None, start: int | None) -> bool:
    """Whether the process ``pid`` that started at ``start`` (ticks since boot) still runs; a zombie does not."""
    found = None if pid is None else process_stat(pid)
    return found is not None and found.start == start and found.state not in "ZX"


def is_suspended(pid: int | None, start: int | None) -> bool:
    """Whether that process is stopped by SIGSTOP or a debugger."""
    found = None if pid is None else process_stat(pid)
    return found is not None and found.start == start and found.state in "Tt"


def any_running(record: ProcessRecord) -> bool:
    """Whether the recorded engine or keeper runs on this machine."""
    return place_of(record) is Place.HERE and (
        is_running(record.engine_pid, record.engine_start) or is_running(record.keeper_pid, record.keeper_start)
    )


def signal_process(pid: int | None, start: int | None, number: int) -> bool:
    """Signal that very process; False if it is gone or cannot be told apart, or is somebody else's."""
    if pid is None or start is None:
        return False
    try:
        send_signal(pid, number, start)
    except OSError:
        return False
    return True
