"""What the GPUs of this machine do now: use, memory, temperature, power, and whose processes are on them.

Read through NVML where the package ``nvidia-ml-py`` is installed (the extra ``gpu``), else through ``nvidia-smi``, which costs a
process per look; a machine with neither has no readings and everything else works. All GPUs of the machine are read, also
those that ``CUDA_VISIBLE_DEVICES`` keeps from us: who looks wants to know what the others do. Numbers that a card does not tell
(vGPUs, MIG) are None.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, Protocol, TypeVar

from sdxl_tui.fleet.gpu_processes import GpuProcess, OwnRuns, identified
from sdxl_tui.fleet.gpus import MIB, PROGRAM, SECONDS
from sdxl_tui.programs import answer_of
from sdxl_tui.terminal.clean import clean

T = TypeVar("T")

TEMPERATURE_GPU: Final = 0
"""NVML_TEMPERATURE_GPU, the only sensor that NVML names."""
SMI_FIELDS: Final = (
    "index", "uuid", "name", "utilization.gpu", "memory.used", "memory.total",
    "temperature.gpu", "power.draw", "power.limit",
)  # fmt: skip
SMI_SECONDS: Final = 5.0
SMI_MOST_SECONDS: Final = 60.0
SMI_REST: Final = 50.0
"""Times as long as a look took is waited for the next: on a box of many GPUs it takes a second."""
SMI_PROCESS_FIELDS: Final = ("gpu_uuid", "pid", "used_memory")


@dataclass(frozen=True)
class GpuReading:
    """One GPU as it was a moment ago."""

    index: int
    """In the order of the bus."""
    uuid: str
    name: str
    """Safe to print."""
    share: float | None = None
    """Of the time in which any kernel ran, in [0, 1]."""
    used: int | None = None
    """Bytes of memory that any process has taken."""
    total: int | None = None
    temperature: int | None = None
    """Degrees Celsius."""
    watts: float | None = None
    watts_limit: float | None = None
    processes: tuple[GpuProcess, ...] = ()
    problem: str = ""
    """Why nothing is known of it, such as ``GPU is lost``; empty as a rule. Safe to print."""


class GpuReader(Protocol):
    """A way to read the GPUs."""

    seconds: float
    """Between two looks."""

    def read(self, own: OwnRuns) -> tuple[GpuReading, ...]:
        """All of them now, by index. own: the runs of this workspace, to tell their processes from those of others."""


def open_gpu_reader() -> GpuReader | None:
    """The best way that there is on this machine; None where there is no GPU, no driver or no permission."""
    nvml = NvmlReader.open()
    if nvml is not None:
        return nvml
    smi = SmiReader()
    return smi if smi.read({}) else None


class NvmlReader:
    """Through the driver's own library, without a process."""

    seconds = 2.0

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml

    @classmethod
    def open(cls) -> NvmlReader | None:
        """None without the package, or without a driver that answers."""
        try:
            nvml = import_module("pynvml")
            nvml.nvmlInit()
        except Exception:  # no package, an old namesake of it, no driver, no permission: all mean the same here
            return None
        try:
            has_any = nvml.nvmlDeviceGetCount() > 0
        except nvml.NVMLError:
            return None
        return cls(nvml) if has_any else None

    def read(self, own: OwnRuns) -> tuple[GpuReading, ...]:
        count = self._asked(self._nvml.nvmlDeviceGetCount) or 0
        return tuple(self._reading(index, own) for index in range(count))

    def _reading(self, index: int, own: OwnRuns) -> GpuReading:
        nvml = self._nvml
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
        except nvml.NVMLError as error:  # fallen off the bus
            return GpuReading(index, "", "GPU", problem=clean(str(error)))
        use = self._asked(nvml.nvmlDeviceGetUtilizationRates, handle)
        memory = self._asked(nvml.nvmlDeviceGetMemoryInfo, handle)
        watts = self._asked(nvml.nvmlDeviceGetPowerUsage, handle)
        limit = self._asked(nvml.nvmlDeviceGetEnforcedPowerLimit, handle)
        return GpuReading(
            index=index,
            uuid=_text(self._asked(nvml.nvmlDeviceGetUUID, handle)),
            name=clean(_text(self._asked(nvml.nvmlDeviceGetName, handle)) or "GPU"),
            share=None if use is None else use.gpu / 100,
            used=None if memory is None else int(memory.used),
            total=None if memory is None else int(memory.total),
            temperature=self._asked(nvml.nvmlDeviceGetTemperature, handle, TEMPERATURE_GPU),
            watts=None if watts is None else watts / 1000,
            watts_limit=None if limit is None else limit / 1000,
            processes=self._processes(handle, own),
        )

    def _processes(self, handle: Any, own: OwnRuns) -> tuple[GpuProcess, ...]:
        nvml = self._nvml
        found: dict[int, int | None] = {}
        for ask in (nvml.nvmlDeviceGetComputeRunningProcesses, nvml.nvmlDeviceGetGraphicsRunningProcesses):
            for process in self._asked(ask, handle) or ():
                found[int(process.pid)] = process.usedGpuMemory
        return tuple(identified(pid, used, own) for pid, used in sorted(found.items()))

    def _asked(self, ask: Callable[..., T], *words: Any) -> T | None:
        """The answer; None where this card, or this driver, has none."""
        try:
            return ask(*words)
        except self._nvml.NVMLError:
            return None


class SmiReader:
    """Through the program ``nvidia-smi``: two processes a look, so it looks the less often the longer they take."""

    def __init__(self) -> None:
        self.seconds = SMI_SECONDS

    def read(self, own: OwnRuns) -> tuple[GpuReading, ...]:
        began = time.monotonic()
        found = self._read(own)
        self.seconds = min(SMI_MOST_SECONDS, max(SMI_SECONDS, (time.monotonic() - began) * SMI_REST))
        return found

    def _read(self, own: OwnRuns) -> tuple[GpuReading, ...]:
        rows = [row for row in _smi("gpu", SMI_FIELDS) if row[0].isdecimal()]
        if not rows:
            return ()
        processes: dict[str, list[GpuProcess]] = {}
        for uuid, pid, used in _smi("compute-apps", SMI_PROCESS_FIELDS):
            if pid.isdecimal():
                mib = _number(used)
                found = identified(int(pid), None if mib is None else int(mib * MIB), own)
                processes.setdefault(uuid, []).append(found)
        return tuple(_smi_reading(row, tuple(processes.get(row[1], ()))) for row in rows)


def _smi(what: str, fields: tuple[str, ...]) -> list[list[str]]:
    command = [PROGRAM, f"--query-{what}={','.join(fields)}", "--format=csv,noheader,nounits"]
    answer = answer_of(command, SECONDS)
    rows = ([word.strip() for word in line.split(",")] for line in answer.splitlines())
    return [row for row in rows if len(row) == len(fields)]


def _smi_reading(row: list[str], processes: tuple[GpuProcess, ...]) -> GpuReading:
    index, uuid, name, *figures = row
    share, used, total, temperature, watts, limit = map(_number, figures)
    return GpuReading(
        index=int(index),
        uuid=uuid,
        name=clean(name),
        share=None if share is None else share / 100,
        used=None if used is None else int(used * MIB),
        total=None if total is None else int(total * MIB),
        temperature=None if temperature is None else round(temperature),
        watts=watts,
        watts_limit=limit,
        processes=processes,
    )


def _number(word: str) -> float | None:
    """A figure of the answer; None for ``[N/A]``, ``[Not Supported]`` and the like."""
    try:
        return float(word)
    except ValueError:
        return None


def _text(value: str | bytes | None) -> str:
    """Older versions of the package answer in bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""
