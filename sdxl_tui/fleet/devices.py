"""Who trains where: one kernel lock per GPU, and one for a machine without, handed on to the run that uses it.

The locks lie outside of the workspace, so that two workspaces on a machine share them, and are inherited by keeper and
engine: a GPU is free again when the last process of its run is gone, however it ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from engine.run.errors import RunError
from sdxl_tui.fleet.gpus import VISIBLE, Gpu
from sdxl_tui.terminal.clean import clean

if TYPE_CHECKING:
    from engine.profile.schema import Profile

BUS_ORDER: Final = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
ROOM: Final = 0.9
"""Share of a GPU's memory that is enough for a run whose estimate is more: it may be wrong, and nothing more can come free."""


class DevicesBusy(RunError):  # noqa: N818 - reads as what it says
    """The devices that a run needs are not free now."""

    def __init__(self, what: str, *, by_strangers: bool = False, hint: str | None = None) -> None:
        super().__init__(what, hint=hint)
        self.by_strangers = by_strangers
        """Their memory is taken by programs that are no runs: nobody tells us when they end."""


@dataclass(frozen=True)
class Needs:
    """What a run asks of the machine."""

    gpus: int
    """How many; 0: it trains on the processor."""
    chosen: tuple[str, ...] = ()
    """UUIDs of GPUs that it must have; empty: any."""
    memory: int = 0
    """Bytes free on each; 0: no matter."""
    index: int | None = None
    """The GPU that its profile names, ``cuda:1``, among those visible."""


def needs_of(profile: Profile, chosen: Sequence[str] = (), memory: int = 0) -> Needs:
    """What a run of ``profile`` needs. chosen: UUIDs of the GPUs it is to have."""
    _, _, index = profile.launch.device.partition(":")
    count = 0 if profile.launch.device == "cpu" else profile.launch.processes
    return Needs(count, tuple(chosen), memory, int(index) if index else None)


class Claim:
    """Devices taken for a run. Hand ``descriptors`` to its keeper, then ``close``."""

    def __init__(self, descriptors: Sequence[int] = (), environment: dict[str, str] | None = None) -> None:
        self.descriptors = tuple(descriptors)
        self.environment = environment or {}
        """What the engine's environment says of them."""

    def close(self) -> None:
        """Let go, unless a keeper has them by now."""
        for descriptor in self.descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self.descriptors = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def claim(needs: Needs, gpus: Sequence[Gpu], run: str, *, without: Collection[str] = (), alone: bool = True) -> Claim:
    """Take what ``needs`` asks for, of ``gpus`` those with the most free memory.

    run: the id that others will be told. without: UUIDs that are kept for someone else. alone: a run on the processor has it
    for itself; else it is only marked as in use, and shares it. Raises ``DevicesBusy``, saying what is in the way.
    """
    if not needs.gpus or not gpus:
        return _claim_processor(run, alone=alone)
    wanted = _candidates(needs, gpus)
    taken: list[tuple[Gpu, int]] = []
    in_use: list[str] = []
    cramped: list[Gpu] = []
    try:
        for gpu in wanted:
            if len(taken) == needs.gpus:
                break
            descriptor = None if gpu.uuid in without else _lock(gpu.uuid, run)
            if descriptor is None:
                in_use.append(gpu.uuid)
            elif gpu.free < min(needs.memory, ROOM * gpu.total):
                cramped.append(gpu)
                os.close(descriptor)
            else:
                taken.append((gpu, descriptor))
        if len(taken) < needs.gpus:
            raise _busy(needs, gpus, in_use, cramped)
    except BaseException:
        for _, descriptor in taken:
            os.close(descriptor)
        raise
    uuids = ",".join(gpu.uuid for gpu, _ in taken)
    # A profile that counts GPUs itself, cuda:1, counts those that everybody sees.
    environment = {} if needs.index is not None else {VISIBLE: uuids, **BUS_ORDER}
    return Claim([descriptor for _, descriptor in taken], environment)


def _candidates(needs: Needs, gpus: Sequence[Gpu]) -> list[Gpu]:
    """The GPUs it may have, the emptiest first. Raises ``RunError`` if there can never be enough."""
    by_uuid = {gpu.uuid: gpu for gpu in gpus}
    if strangers := [uuid for uuid in needs.chosen if uuid not in by_uuid]:
        hint = "There are: " + "; ".join(f"{gpu.index} {clean(gpu.name)} {gpu.uuid}" for gpu in gpus)
        raise RunError(f"there is no GPU {clean(strangers[0])} here", hint=hint)
    if needs.index is not None:
        if needs.index >= len(gpus):
            raise RunError(f"launch.device is cuda:{needs.index}, and there are {len(gpus)} GPUs, counted from 0")
        return [gpus[needs.index]]
    found = [by_uuid[uuid] for uuid in needs.chosen] or list(gpus)
    if len(found) < needs.gpus:
        raise RunError(f"launch.processes is {needs.gpus}, and there are {len(found)} GPUs for it")
    return sorted(found, key=lambda gpu: -gpu.free)


def _busy(needs: Needs, gpus: Sequence[Gpu], in_use: Sequence[str], cramped: Sequence[Gpu]) -> DevicesBusy:
    if cramped:
        most = max(gpu.free for gpu in cramped)
        return DevicesBusy(
            f"other programs leave {most / 1e9:.1f} GB free on a GPU, and it needs about {needs.memory / 1e9:.1f} GB",
            by_strangers=True,
        )
    by_uuid = {gpu.uuid: gpu for gpu in gpus}
    users = {uuid: _user_of(uuid) for uuid in in_use}
    words = ", ".join(f"{by_uuid[uuid].index} by {user or 'another run'}" for uuid, user in users.items())
    return DevicesBusy(f"GPU in use: {words}" if len(users) == 1 else f"GPUs in use: {words}")


def _claim_processor(run: str, *, alone: bool) -> Claim:
    name = "processor"
    if not alone:
        try:
            descriptor = _lock(name, run, shared=True)
        except RunError:
            descriptor = None
        return Claim([] if descriptor is None else [descriptor])
    descriptor = _lock(name, run)
    if descriptor is None:
        raise DevicesBusy(f"the processor trains {_user_of(name) or 'another run'}")
    return Claim([descriptor])


def _lock(name: str, run: str, *, shared: bool = False) -> int | None:
    """A descriptor that holds the lock of a device; None if someone else has it."""
    path = lock_folder() / f"{name}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise RunError(f"the lock of a device cannot be opened: {error.strerror}", where=str(path)) from error
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError as error:
        os.close(descriptor)
        hint = "Set XDG_STATE_HOME to a folder on a disk of this machine."
        raise RunError(f"a device cannot be locked: {error.strerror}", where=str(path), hint=hint) from error
    with contextlib.suppress(OSError):  # a full disk: then nobody is told who it is
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, run.encode(), 0)
    return descriptor


def _user_of(name: str) -> str:
    """The run that took a device last; empty if that is not known."""
    try:
        return clean((lock_folder() / f"{name}.lock").read_bytes()[:200].decode(errors="replace"))
    except (OSError, RunError):
        return ""


def lock_folder() -> Path:
    """Where the locks lie: ``$XDG_STATE_HOME/sdxl-tui/devices``, by default under ``~/.local/state``.

    A machine without a home that can be written has them in its folder for temporary files. Raises ``RunError`` if neither
    is to be had.
    """
    state = os.path.expanduser(os.environ.get("XDG_STATE_HOME") or "~/.local/state")  # noqa: PTH111 - as it is without a home
    places = (
        *([Path(state) / "sdxl-tui" / "devices"] if not state.startswith("~") else []),
        Path(tempfile.gettempdir()) / f"sdxl-tui-{os.getuid()}",
    )
    for place in places:
        with contextlib.suppress(OSError):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            if place.stat().st_uid == os.getuid() and os.access(place, os.W_OK):
                return place
    raise RunError("there is no folder for the locks of devices", where=str(places[0]), hint="Set XDG_STATE_HOME.")
