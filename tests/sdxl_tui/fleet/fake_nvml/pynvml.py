"""A stand-in for ``pynvml`` of nvidia-ml-py 12 and 13 on a machine that has no GPU.

Names, arguments, units, types and errors are the package's: memory in bytes, power in milliwatts, utilisation in per cent,
``usedGpuMemory`` None where the driver does not tell, ``NVMLError`` with ``value`` for what a card cannot answer. What the cards
say is read anew at each call from the JSON file that ``FAKE_NVML`` names, so that it can change while a program runs.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

NVML_ERROR_UNINITIALIZED = 1
NVML_ERROR_INVALID_ARGUMENT = 2
NVML_ERROR_NOT_SUPPORTED = 3
NVML_ERROR_DRIVER_NOT_LOADED = 9
NVML_ERROR_GPU_IS_LOST = 15
NVML_TEMPERATURE_GPU = 0

_WORDS = {1: "Uninitialized", 2: "Invalid Argument", 3: "Not Supported", 9: "Driver Not Loaded", 15: "GPU is lost"}
_initialised = False


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value

    def __str__(self) -> str:
        return _WORDS[self.value]


def _cards() -> list[dict[str, Any]]:
    if not _initialised:
        raise NVMLError(NVML_ERROR_UNINITIALIZED)
    cards: list[dict[str, Any]] = json.loads(Path(os.environ["FAKE_NVML"]).read_text())
    return cards


def nvmlInit() -> None:  # noqa: N802
    global _initialised  # noqa: PLW0603
    if "FAKE_NVML" not in os.environ:
        raise NVMLError(NVML_ERROR_DRIVER_NOT_LOADED)
    _initialised = True


def nvmlDeviceGetCount() -> int:  # noqa: N802
    return len(_cards())


def nvmlDeviceGetHandleByIndex(index: int) -> int:  # noqa: N802
    cards = _cards()
    if not 0 <= index < len(cards):
        raise NVMLError(NVML_ERROR_INVALID_ARGUMENT)
    if cards[index].get("lost"):
        raise NVMLError(NVML_ERROR_GPU_IS_LOST)
    return index


def _told(handle: int, name: str) -> Any:
    value = _cards()[handle].get(name)
    if value is None:
        raise NVMLError(NVML_ERROR_NOT_SUPPORTED)
    return value


def nvmlDeviceGetUUID(handle: int) -> str:  # noqa: N802
    return str(_told(handle, "uuid"))


def nvmlDeviceGetName(handle: int) -> str:  # noqa: N802
    return str(_told(handle, "name"))


def nvmlDeviceGetUtilizationRates(handle: int) -> SimpleNamespace:  # noqa: N802
    return SimpleNamespace(gpu=_told(handle, "percent"), memory=0)


def nvmlDeviceGetMemoryInfo(handle: int, version: int | None = None) -> SimpleNamespace:  # noqa: N802
    used, total = _told(handle, "used"), _told(handle, "total")
    return SimpleNamespace(total=total, free=total - used, used=used)


def nvmlDeviceGetTemperature(handle: int, sensor: int) -> int:  # noqa: N802
    if sensor != NVML_TEMPERATURE_GPU:
        raise NVMLError(NVML_ERROR_INVALID_ARGUMENT)
    return int(_told(handle, "temperature"))


def nvmlDeviceGetPowerUsage(handle: int) -> int:  # noqa: N802
    return int(_told(handle, "milliwatts"))


def nvmlDeviceGetEnforcedPowerLimit(handle: int) -> int:  # noqa: N802
    return int(_told(handle, "milliwatts_limit"))


def nvmlDeviceGetComputeRunningProcesses(handle: int) -> list[SimpleNamespace]:  # noqa: N802
    return [
        SimpleNamespace(pid=pid, usedGpuMemory=used, gpuInstanceId=0xFFFFFFFF, computeInstanceId=0xFFFFFFFF)
        for pid, used in _cards()[handle].get("compute", ())
    ]


def nvmlDeviceGetGraphicsRunningProcesses(handle: int) -> list[SimpleNamespace]:  # noqa: N802
    return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in _cards()[handle].get("graphics", ())]
