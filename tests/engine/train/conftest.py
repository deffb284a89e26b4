"""One workspace for all runs of these tests, and an engine that runs in the test's own process."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from tests.engine.train.train_runs import Lab, make_lab

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A workspace with pictures."""
    return make_lab(tmp_path_factory.mktemp("lab"))


@pytest.fixture(autouse=True)
def engine_in_this_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The engine leaves this process's streams and signals alone; accelerate forgets the run before."""
    monkeypatch.setattr("engine.train.attempt.set_up_logging", lambda *_: None)
    AcceleratorState._reset_state(reset_partial_state=True)
    generators = random.getstate(), np.random.get_state(), torch.get_rng_state()
    yield
    AcceleratorState._reset_state(reset_partial_state=True)  # a module's fixture may train before the next test begins
    random.setstate(generators[0])
    np.random.set_state(generators[1])
    torch.set_rng_state(generators[2])
