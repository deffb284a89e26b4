"""What a run says of its base, and which bases it trains."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors import safe_open

from engine.demo import locate
from engine.model.base import BaseFolder
from engine.run.layout import RunDirectory
from tests.engine.model.original_file import write_original
from tests.engine.train.train_runs import Lab, arithmetic, events, metrics, same_tensors, state, train


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled base as a single file."""
    return write_original(BaseFolder(locate("bundled:demo-base")), tmp_path_factory.mktemp("file") / "base.safetensors")


@pytest.fixture(scope="module")
def run_of_file(lab: Lab, file: Path) -> RunDirectory:
    """A run of 3 steps on it, finished."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("engine.train.attempt.set_up_logging", lambda *_: None)
        run = lab.run(f"model.base={file}", "training.steps=3")
        assert train(run) == 0
    return run


def test_a_single_file_trains_as_the_folder_does(lab: Lab, run_of_file: RunDirectory, file: Path) -> None:
    folder = lab.run("training.steps=3")
    assert train(folder) == 0
    assert arithmetic(metrics(run_of_file)) == arithmetic(metrics(folder))
    assert same_tensors(run_of_file.checkpoint(3), folder.checkpoint(3), "trainable.safetensors")
    assert state(run_of_file.checkpoint(3))["base_model"]["path"] == str(file)


def test_a_resume_knows_the_base_by_its_content(lab: Lab, run_of_file: RunDirectory, file: Path) -> None:
    run = lab.run(f"model.base={file}", "training.steps=3")
    assert train(run, stop_at=2) == 0
    other = lab.copy(run, "other-vae")
    moved = file.with_name("renamed.safetensors")
    moved.write_bytes(file.read_bytes())
    text = run.profile.read_text()
    run.profile.write_text(text.replace(str(file), str(moved)))
    assert train(run) == 0
    assert same_tensors(run.checkpoint(3), run_of_file.checkpoint(3), "trainable.safetensors")

    other.profile.write_text(text.replace("[network]", f'vae = "{locate("bundled:demo-base")}"\n\n[network]', 1))
    assert train(other) == 2
    (failed,) = events(other, "failed")
    vae = locate("bundled:demo-base")
    assert failed["message"].startswith(f"model.vae was not set and is now {vae}, which holds other content")


@pytest.fixture(scope="module")
def velocity_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo base, said to predict v with zero terminal SNR."""
    target = shutil.copytree(locate("bundled:demo-base"), tmp_path_factory.mktemp("bases") / "velocity")
    file = target / "scheduler" / "scheduler_config.json"
    changes = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    return target


def test_a_velocity_base_is_trained_as_one_and_as_the_profile_would_say(lab: Lab, velocity_base: Path) -> None:
    by_base = lab.run(f"model.base={velocity_base}")
    by_profile = lab.run("loss.prediction=v_prediction", "loss.zero_terminal_snr=on")
    epsilon = lab.run()
    for run in (by_base, by_profile, epsilon):
        assert train(run, stop_at=2) == 0
    assert [point.loss for point in metrics(by_base)] == [point.loss for point in metrics(by_profile)]
    assert [point.loss for point in metrics(by_base)] != [point.loss for point in metrics(epsilon)]
    with safe_open(by_base.checkpoint(2) / "lora.safetensors", framework="pt") as file:
        told = file.metadata()
    assert (told["modelspec.prediction_type"], told["ss_zero_terminal_snr"]) == ("v", "True")
    said = [events(run, "base")[0] for run in (by_base, by_profile, epsilon)]
    assert [(one["prediction"], one["zero_terminal_snr"], one["said_by"]) for one in said] == [
        ("v_prediction", True, "scheduler/scheduler_config.json"),
        ("v_prediction", True, "loss.prediction"),
        ("epsilon", False, "scheduler/scheduler_config.json"),
    ]


def test_a_loss_that_does_not_fit_the_base_is_refused_before_anything_is_prepared(lab: Lab) -> None:
    run = lab.run("loss.zero_terminal_snr=on")
    assert train(run) == 2
    (failed,) = events(run, "failed")
    assert "needs v-prediction" in failed["message"]
    assert failed["where"] == "loss.zero_terminal_snr"
    assert not events(run, "dataset")
