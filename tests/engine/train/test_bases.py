"""What a run says of its base, and which bases it trains."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from engine.demo import locate
from tests.engine.train.train_runs import Lab, events, train


def test_a_velocity_base_is_not_trained_on_the_noise(lab: Lab, tmp_path: Path) -> None:
    target = shutil.copytree(locate("bundled:demo-base"), tmp_path / "velocity")
    file = target / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "prediction_type": "v_prediction"}))
    run = lab.run(f"model.base={target}")
    assert train(run) == 2
    (failed,) = events(run, "failed")
    assert "predicts v_prediction (scheduler/scheduler_config.json)" in json.dumps(failed)
