"""What a run says of its base, and which bases it trains."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors import safe_open

from engine.demo import locate
from tests.engine.train.train_runs import Lab, events, metrics, train


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


def test_a_loss_that_does_not_fit_the_base_is_refused_before_anything_is_prepared(lab: Lab) -> None:
    run = lab.run("loss.zero_terminal_snr=on")
    assert train(run) == 2
    (failed,) = events(run, "failed")
    assert "needs v-prediction" in failed["message"]
    assert failed["where"] == "loss.zero_terminal_snr"
    assert not events(run, "dataset")
