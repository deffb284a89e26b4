"""Folders as sd-scripts leaves them, written through accelerate's tracker as it does, for the tests of watched runs."""

from __future__ import annotations

import json
import os
import shutil
import struct
import warnings
from pathlib import Path
from typing import Any

import tests.engine.foreign
from sdxl_tui.workspace import Workspace

DATA = Path(tests.engine.foreign.__path__[0]) / "data"
STATE = DATA / "base_cosine-step00000020-state"
NETWORK_TRAIN = "network_train"


class Training:
    """One run of sd-scripts' ``train_network.py`` with ``--logging_dir``; ``train`` logs on."""

    def __init__(
        self, logs: Path, name: str = "20240612103000", *, tracker: str = NETWORK_TRAIN, began: int = 0
    ) -> None:
        """began: Unix seconds that its event file's name says, if not now."""
        from accelerate.tracking import TensorBoardTracker  # noqa: PLC0415 - slow

        self.folder = logs / name / tracker
        self._tracker = TensorBoardTracker(tracker, logs / name)
        self._began = began
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._tracker.start()
        self.step = 0

    def train(self, steps: int, *, first: int | None = None, loss: float | None = None, **more: float) -> Training:
        """Log steps as ``generate_step_logs`` has them: ``loss/current``, ``loss/average``, ``lr/unet``, ``lr/textencoder``."""
        self.step = self.step if first is None else first - 1
        for _ in range(steps):
            self.step += 1
            value = 1 / (1 + self.step / 50) if loss is None else loss
            logs = {"loss__current": value, "loss__average": value + 0.01}
            self.log(self.step, **logs, lr__unet=1e-4, lr__textencoder=5e-5, **more)
        return self

    def log(self, step: int, **values: float) -> Training:
        """Any scalars; two underscores are a slash."""
        self._tracker.log({name.replace("__", "/"): value for name, value in values.items()}, step=step)
        return self

    def settings(self, **values: Any) -> Training:
        """What ``--log_config`` writes."""
        self._tracker.store_init_configuration(values)
        return self

    def end(self) -> Path:
        """Close it; the folder with the event files."""
        self._tracker.finish()
        if self._began:
            for path in self.folder.glob("events*"):
                _, _, _, _, rest = path.name.split(".", 4)
                path.rename(path.with_name(f"events.out.tfevents.{self._began}.{rest}"))
        return self.folder


def made_lora(path: Path, **metadata: Any) -> Path:
    """The LoRA file of the tests with other metadata."""
    shutil.copy(DATA / "base_cosine-step00000020.safetensors", path)
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] |= {name: str(value) for name, value in metadata.items()}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])
    return path


def made_state(path: Path) -> Path:
    """A training state of sd-scripts."""
    shutil.copytree(STATE, path)
    os.utime(path)
    return path


def aged(folder: Path, seconds: float) -> None:
    """As if all files in ``folder`` had been written so long ago."""
    for path in folder.rglob("*"):
        if path.is_file():
            moment = path.stat().st_mtime - seconds
            os.utime(path, (moment, moment))


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Every name below ``folder`` with size and time of change, to see that nothing was touched."""
    return {str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def empty_workspace(path: Path) -> Workspace:
    """A workspace without runs."""
    workspace = Workspace(path)
    workspace.create()
    return workspace
