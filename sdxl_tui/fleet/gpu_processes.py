"""Whose process it is that uses a GPU: one of this workspace's runs, or somebody's program."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from engine.run.keeper import process_stat
from engine.run.process import Place, place_of
from sdxl_tui.terminal.clean import clean

if TYPE_CHECKING:
    from sdxl_tui.fleet.runs import RunSummary

OwnRuns = Mapping[int, str]
"""Run ids by the pids of their keepers and engines."""


@dataclass(frozen=True)
class GpuProcess:
    """A process on a GPU. Text in it is safe to print."""

    pid: int
    memory: int | None
    """Bytes of the GPU's memory; None where the driver does not tell."""
    run: str | None
    """The run of this workspace that it belongs to."""
    user: str
    """Whose it is; empty where that cannot be seen, such as of a process in another container."""
    program: str

    @property
    def who(self) -> str:
        """In a few words, for somebody who wonders what takes the memory."""
        if self.run is not None:
            return self.run
        return " ".join(part for part in (self.user, self.program) if part) or f"pid {self.pid} (unseen)"


def own_runs(runs: Iterable[RunSummary]) -> dict[int, str]:
    """The pids of the live runs that train on this machine."""
    found: dict[int, str] = {}
    for run in runs:
        process = run.liveness.process
        if run.alive and process is not None and place_of(process) is Place.HERE:
            found |= {pid: run.id for pid in (process.keeper_pid, process.engine_pid) if pid is not None}
    return found


def identified(pid: int, memory: int | None, own: OwnRuns) -> GpuProcess:
    """Look ``pid`` up. A process of a run may be any in the session that its keeper leads."""
    stat = process_stat(pid)
    run = own.get(pid) or (own.get(stat.session) if stat is not None else None)
    if stat is None or run is not None:
        return GpuProcess(pid, memory, run, "", "")
    return GpuProcess(pid, memory, None, _user(pid), _program(pid))


def _user(pid: int) -> str:
    import pwd  # noqa: PLC0415 - only where there are GPUs with strangers on them

    try:
        uid = Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return ""
    try:
        return clean(pwd.getpwuid(uid).pw_name, limit=40)
    except KeyError:
        return f"uid {uid}"


def _program(pid: int) -> str:
    """``blender``; of an interpreter what it runs: ``train.py``."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()[:4096].decode(errors="replace").split("\0")
    except OSError:
        return ""
    program = PurePath(words[0]).name
    if program.startswith("python"):
        script = next((word for word in words[1:] if word and not word.startswith("-")), "")
        program = PurePath(script).name or program
    return clean(program, limit=40)
