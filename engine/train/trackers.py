"""Metrics and samples for other programs, TensorBoard and Weights & Biases, through accelerate's trackers.

They come beside the run's own files and never in their way: a tracker that cannot start is an error before the first step, since
it was asked for; one that fails later is left out with a warning, and the training goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from accelerate.tracking import TensorBoardTracker, WandBTracker
from PIL import Image

from engine.errors import UserError
from engine.run.layout import RunDirectory
from engine.run.metrics import MetricPoint
from engine.train.training import Training

FOLDER: Final = "tensorboard"


class TrackerError(UserError):
    """A tracker that the profile names cannot be used."""


class Trackers:
    """The trackers of one attempt."""

    def __init__(self, trackers: dict[str, Any], warn: Callable[[str, str], None]) -> None:
        self._trackers = trackers
        self._warn = warn

    def step(self, point: MetricPoint) -> None:
        """The numbers of one optimizer step, under the names of the metrics file."""
        values = {
            "loss": point.loss,
            "loss_avg": point.loss_avg,
            "grad_norm": point.grad_norm,
            "epoch": point.epoch,
            "step_seconds": point.step_seconds,
            "images_per_second": point.images_per_second,
            "memory_mb": point.memory_mb,
            **{f"lr/{group}": rate for group, rate in point.lr.items()},
        }
        known = {f"train/{name}": value for name, value in values.items() if value is not None}
        self._each(lambda tracker: tracker.log(known, step=point.step))

    def validation(self, step: int, loss: float) -> None:
        """The loss on held-out images."""
        self._each(lambda tracker: tracker.log({"validation/loss": loss}, step=step))

    def samples(self, step: int, files: list[Path]) -> None:
        """The sample pictures of a step."""

        def log(tracker: Any) -> None:
            pictures = {f"samples/{index:02d}": _picture(file) for index, file in enumerate(files)}
            how = {"dataformats": "NHWC"} if isinstance(tracker, TensorBoardTracker) else {}
            tracker.log_images(pictures, step=step, **how)

        self._each(log)

    def close(self) -> None:
        """Write what is held back and let go of them."""
        self._each(lambda tracker: tracker.finish())
        self._trackers = {}

    def _each(self, act: Callable[[Any], None]) -> None:
        for name, tracker in list(self._trackers.items()):
            try:
                act(tracker)
            except Exception as error:
                del self._trackers[name]
                self._warn(f"{name} failed and gets no more of this run: {error}", "logging.trackers")


def open_trackers(run: RunDirectory, training: Training, warn: Callable[[str, str], None]) -> Trackers:
    """The trackers that the profile names, ready. Raises ``TrackerError`` for one that is not installed or does not start."""
    names = training.profile.logging.trackers
    for name in names:
        if find_spec(name) is None:
            raise TrackerError(
                f"{name} is not installed",
                where="logging.trackers",
                hint=f"pip install 'sdxl-tui[{name}]', or take it out of logging.trackers.",
            )
    return Trackers({name: _open(name, run, training) for name in names}, warn)


def _open(name: str, run: RunDirectory, training: Training) -> Any:
    settings = {path: _plain(value) for path, value in training.profile.values().items()}
    try:
        if name == "tensorboard":
            # What an earlier attempt wrote beyond the step it was resumed from is hidden by the purge.
            tracker: Any = TensorBoardTracker(FOLDER, run.path, purge_step=training.progress.step + 1)
            tracker.start()
            tracker.writer.add_text("profile", run.profile.read_text(encoding="utf-8"), training.progress.step)
        else:
            project = training.profile.logging.project
            tracker = WandBTracker(project, name=run.id, id=run.id, resume="allow", dir=str(run.path))
            tracker.start()
            tracker.store_init_configuration(settings)
    except Exception as error:
        raise TrackerError(
            f"{name} does not start: {error}",
            where="logging.trackers",
            hint="wandb login, or WANDB_MODE=offline, or take it out of logging.trackers." if name == "wandb" else None,
        ) from error
    return tracker


def _picture(file: Path) -> Any:
    """(1, height, width, 3) for one picture."""
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB"))[None]


def _plain(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str)) else str(value)
