"""Where and in which number format a run is computed: the device, accelerate's Accelerator, threads and memory.

accelerate brings mixed precision (autocast, and the loss scaler of fp16) and gradient accumulation; data, order and
checkpoints are ours.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin

from engine.errors import UserError
from engine.profile.schema import Profile
from engine.train.crew import Place
from engine.train.exchange import Exchange

DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
SMALL_MODEL_BYTES: Final = 32_000_000
_MIXED: Final = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


class DeviceError(UserError):
    """The profile asks for a device or number format that this machine does not have."""


@dataclass(frozen=True)
class Compute:
    """The device of a run and what is needed to compute on it."""

    accelerator: Accelerator
    device: torch.device
    dtype: torch.dtype
    """Of the frozen base and the forward pass; trained weights are float32."""
    label: str
    """``cpu``, or ``cuda:0`` and the card's name; with several processes their number, too."""
    exchange: Exchange = field(default_factory=Exchange)
    """Connects this process with the others that train the run."""

    @property
    def scaler(self) -> Any:
        """The loss scaler of fp16 (a ``torch.amp.GradScaler``); None in the other formats."""
        return self.accelerator.scaler


def set_up_compute(profile: Profile, *, model_bytes: int, place: Place | None = None) -> Compute:
    """Choose the device that ``profile`` asks for and prepare it. Raises ``DeviceError`` if it cannot be had.

    model_bytes: size of the UNet's files, which decides how many threads are worth while where the profile does not.
    place: this process's among several, which are waited for; None if it trains alone.
    """
    processes = place.count if place else 1
    device = _choose_device(profile.launch.device, place.rank if place else 0, processes)
    _set_threads(profile.launch.cpu_threads, device, model_bytes, processes)
    _check_format(profile.precision.compute, device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # The count of micro-batches is given as a plugin, since accelerate lets an environment variable overrule the number.
    accumulation = GradientAccumulationPlugin(
        num_steps=profile.training.gradient_accumulation, sync_with_dataloader=False
    )
    exchange = Exchange.join(place, device) if place else Exchange()
    with _accelerate_takes(device, place):
        accelerator = Accelerator(
            cpu=device.type == "cpu",
            mixed_precision=_MIXED[profile.precision.compute],
            gradient_accumulation_plugin=accumulation,
            step_scheduler_with_optimizer=False,
        )
    label = f"{device} {torch.cuda.get_device_name(device)}" if device.type == "cuda" else str(device)
    label += f" and {processes - 1} more" if processes > 1 else ""
    return Compute(accelerator, device, DTYPES[profile.precision.compute], label, exchange)


def _choose_device(wanted: str, rank: int, processes: int) -> torch.device:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    device = torch.device(wanted) if wanted != "auto" else torch.device("cuda" if count else "cpu")
    if device.type == "cpu":
        return device
    if 0 < count < processes:
        raise DeviceError(
            f"{processes} processes were asked for, and torch can use {count} GPU{'' if count == 1 else 's'}",
            where="launch.processes",
            hint=f"Set it to at most {count}: each process needs a card of its own.",
        )
    index = rank if processes > 1 else device.index or 0
    if index >= count:
        have = (
            f"there {'is' if count == 1 else 'are'} {count or 'no'} GPU{'' if count == 1 else 's'} that torch can use"
        )
        raise DeviceError(
            f"{wanted} was asked for, and {have}",
            where="launch.device",
            hint="Set launch.device to auto; nvidia-smi lists the GPUs, and torch must be a CUDA build.",
        )
    return torch.device("cuda", index)


def _set_threads(wanted: int, device: torch.device, model_bytes: int, processes: int) -> None:
    """As many as are wanted; with 0 one for a small model on a CPU, and torch's own choice (shared out) for any other.

    In a small model a parallel loop is over sooner than its threads have met. Alone on two cores two threads gain
    nothing then; and beside another busy process a step, with its thousands of barriers, takes up to a hundred times as long,
    since each thread spins away the time that the other one needs to arrive.
    """
    if wanted:
        torch.set_num_threads(wanted)
    elif device.type == "cpu" and model_bytes < SMALL_MODEL_BYTES:
        torch.set_num_threads(1)
    elif processes > 1:
        torch.set_num_threads(max(1, torch.get_num_threads() // processes))


def _check_format(compute: str, device: torch.device) -> None:
    if compute == "fp16" and device.type == "cpu":
        raise DeviceError(
            "fp16 needs a GPU", where="precision.compute", hint="On a CPU use fp32, which is exact, or bf16."
        )
    if compute == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise DeviceError(
            f"{torch.cuda.get_device_name(device)} does not compute in bf16",
            where="precision.compute",
            hint="Use fp16 on this card.",
        )


@contextmanager
def _accelerate_takes(device: torch.device, place: Place | None) -> Iterator[None]:
    """Have accelerate take exactly this device and place, not what its launcher or another one left in the environment."""
    wanted: dict[str, str | None] = {"ACCELERATE_TORCH_DEVICE": str(device), "RANK": None, "LOCAL_RANK": None}
    wanted |= {"WORLD_SIZE": None, "LOCAL_WORLD_SIZE": None}
    if place is not None:
        rank, count = str(place.rank), str(place.count)
        # The number of threads is set already; without this accelerate would choose one, too.
        threads = str(torch.get_num_threads())
        wanted |= {"RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": threads}
        wanted |= {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    before = {name: os.environ.get(name) for name in wanted}
    try:
        _set_environment(wanted)
        yield
    finally:
        _set_environment(before)


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


class MemoryGauge:
    """Memory in use, in MB (10^6 bytes): the peak that torch allocated on a GPU, the resident size on a CPU."""

    def __init__(self, device: torch.device) -> None:
        """Costs a system call per reading on a CPU, less on a GPU."""
        self._device = device
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._statm = Path("/proc/self/statm")

    def megabytes(self) -> float | None:
        """The reading now; None where there is no ``/proc``."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) / 1e6
        try:
            return int(self._statm.read_bytes().split()[1]) * self._page / 1e6
        except OSError:
            return None
