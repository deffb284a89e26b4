"""Metrics and samples that other programs get: read back with TensorBoard itself."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
from accelerate.tracking import TensorBoardTracker
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from engine.profile.load import ProfileError
from engine.run.layout import RunDirectory
from tests.engine.train.train_runs import Lab, events, metrics, train

ON = 'logging.trackers=["tensorboard"]'


def _logged(run: RunDirectory) -> EventAccumulator:
    reader = EventAccumulator(str(run.path / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    reader.Reload()
    return reader


def test_tensorboard_gets_what_the_metrics_file_gets_through_a_resume(lab: Lab) -> None:
    run = lab.run(ON, "training.steps=6", 'samples.prompts=["a red robot"]')
    assert train(run, stop_at=3) == 0
    assert train(run) == 0
    reader = _logged(run)
    written = {point.step: point for point in metrics(run)}
    for tag, value in (("train/loss", "loss"), ("train/grad_norm", "grad_norm")):
        read = {scalar.step: scalar.value for scalar in reader.Scalars(tag)}
        assert read == pytest.approx({step: getattr(point, value) for step, point in written.items()})
    rates = {scalar.step: scalar.value for scalar in reader.Scalars("train/lr/unet")}
    assert rates == pytest.approx({step: point.lr["unet"] for step, point in written.items()})
    assert [image.step for image in reader.Images("samples/00")] == [6]


def test_a_tracker_that_fails_on_the_way_is_left_out_and_the_run_goes_on(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("the disk of event files is full")

    monkeypatch.setattr(TensorBoardTracker, "log", refuse)
    run = lab.run(ON, "training.steps=3")
    assert train(run) == 0
    (warning,) = [event for event in events(run, "warning") if event["where"] == "logging.trackers"]
    assert "the disk of event files is full" in warning["message"]
    assert len(metrics(run)) == 3


def test_a_tracker_that_is_not_installed_is_an_error_before_the_first_step(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("engine.train.trackers.find_spec", lambda name: None if name == "wandb" else found(name))
    run = lab.run('logging.trackers=["wandb"]', "training.steps=3")
    assert train(run) != 0
    (failed,) = events(run, "failed")
    assert failed["where"] == "logging.trackers"
    assert "sdxl-tui[wandb]" in failed["hint"]
    assert metrics(run) == []


def test_a_name_that_is_no_tracker_is_a_problem_of_the_profile(lab: Lab) -> None:
    with pytest.raises(ProfileError, match=r"'mlflow', which is no tracker"):
        lab.run('logging.trackers=["tensorboard", "mlflow"]')
