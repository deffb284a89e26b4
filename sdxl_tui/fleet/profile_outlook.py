"""What a profile that is being edited comes to: its data set, and what a run takes of this machine.

The figures are the engine's own, those of ``sdxl-tui dataset`` and ``sdxl-tui check``. Files are read once per version: what is
asked again after an edit costs listing the folders. Everything here reads from disk and belongs into threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.demo import locate
from engine.errors import UserError
from engine.estimate.estimate import Estimate, estimate
from engine.estimate.memory import PROGRAM_BYTES
from engine.profile.places import no_folder
from engine.profile.schema import Profile
from engine.profile.stages import trained_profiles

if TYPE_CHECKING:
    from engine.data.outlook import DataOutlook
    from engine.data.scan import Scan
    from sdxl_tui.fleet.gpus import Gpu

PICTURES: Final = 6
"""Images of a data set that are shown at most."""
Progress = Callable[[int, int], None]
"""Called with the images that were looked at and all of them."""


@dataclass(frozen=True)
class DataAnswer:
    """Of a data set: what it comes to, or why it cannot be trained on."""

    found: DataOutlook | None
    reason: str = ""
    stages: int = 0
    """Of how many stages it is the first one's; 0 without stages."""
    pictures: tuple[Path, ...] = ()
    """Some of its images, from all over it."""


@dataclass
class DataReader:
    """Looks at the data set of one profile after another; one thread at a time, the others wait or give up."""

    _turn: threading.Lock = field(default_factory=threading.Lock)
    _look: Callable[..., object] | None = None
    _scan: Scan | None = None
    _scanned: object = None
    """What ``_scan`` was made for."""

    def read(
        self, profile: Profile, *, anew: bool, progress: Progress, should_stop: Callable[[], bool]
    ) -> DataAnswer | None:
        """What the data set comes to; None if it was stopped. anew: look at the folders even if they are those of before."""
        while not self._turn.acquire(timeout=0.05):
            if should_stop():
                return None
        try:
            return self._read(profile, anew=anew, progress=progress, should_stop=should_stop)
        finally:
            self._turn.release()

    def _read(
        self, whole: Profile, *, anew: bool, progress: Progress, should_stop: Callable[[], bool]
    ) -> DataAnswer | None:
        from engine.data.errors import PreparationStopped  # noqa: PLC0415 - numpy, when first needed
        from engine.data.outlook import outlook_of, scan_of  # noqa: PLC0415
        from engine.data.picture import KnownPictures  # noqa: PLC0415

        profile, stages = trained_profiles(whole)[0], len(whole.stages)
        if reasons := _missing(profile):
            return DataAnswer(None, reasons, stages)
        look = self._look = self._look or KnownPictures()
        wanted = profile.dataset.sources, profile.dataset.smallest_image
        try:
            if anew or self._scan is None or wanted != self._scanned:
                self._scan = None
                self._scan = scan_of(
                    profile,
                    report=lambda _, done, total: progress(done, total),
                    should_stop=should_stop,
                    look=look,  # type: ignore[arg-type]
                )
                self._scanned = wanted
            return DataAnswer(outlook_of(profile, self._scan), stages=stages, pictures=_some_of(self._scan))
        except PreparationStopped:
            return None
        except UserError as error:
            return DataAnswer(None, f"{error.where}: {error.what}" if error.where else error.what, stages)
        except OSError as error:
            return DataAnswer(None, f"{error.filename or 'a folder'} cannot be read: {error.strerror}", stages)


def _some_of(scan: Scan) -> tuple[Path, ...]:
    """Images at even distances, the first one included."""
    stride = max(1, len(scan.images) // PICTURES)
    return tuple(image.path for image in scan.images[::stride][:PICTURES])


def _missing(profile: Profile) -> str:
    """Which folders of images are not there; empty if all are."""
    written = [source.path for source in profile.dataset.sources]
    found = ((path, no_folder(locate(path), path)) for path in written)
    return "; ".join(f"{path} {reason}" for path, reason in found if reason)


@dataclass(frozen=True)
class Machine:
    """Where a run could train."""

    gpus: tuple[Gpu, ...]
    main_memory: int | None
    """Bytes; None where that cannot be asked."""


def this_machine() -> Machine:
    """Asks ``nvidia-smi``, which can take seconds."""
    from sdxl_tui.fleet.gpus import list_gpus  # noqa: PLC0415

    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        memory = None
    return Machine(tuple(list_gpus()), memory)


@dataclass(frozen=True)
class Room:
    """What one device offers beside what the run needs on it."""

    device: str
    needed: int
    """Bytes, with what CUDA or the program itself takes."""
    total: int
    used: int
    """By other programs now."""

    @property
    def suffices(self) -> bool:
        """The device is large enough, whoever uses it now."""
        return self.needed <= self.total

    @property
    def suffices_now(self) -> bool:
        """It is free enough at this moment."""
        return self.needed <= self.total - self.used


def rooms(profile: Profile, found: Estimate, machine: Machine) -> Sequence[Room]:
    """By device that the profile may train on; several GPUs of the same kind and fill are one line."""
    needed = found.memory.total + PROGRAM_BYTES
    if profile.launch.device == "cpu" or not machine.gpus:
        return [] if machine.main_memory is None else [Room("main memory", needed, machine.main_memory, 0)]
    _, _, index = profile.launch.device.partition(":")
    chosen = [machine.gpus[int(index)]] if index and int(index) < len(machine.gpus) else machine.gpus
    return [Room(f"GPU {gpu.index} {gpu.name}", needed, gpu.total, gpu.used) for gpu in chosen]


def estimate_of(profile: Profile, runs: Path) -> Estimate | str:
    """The estimate of ``sdxl-tui check``, or why there is none."""
    try:
        return estimate(profile, runs)
    except (UserError, OSError) as error:
        return str(error)
