"""A step asks the device for no number: whatever reads one makes a GPU wait until the host has prepared what comes next.

On a CPU nothing waits, but the same operation is dispatched (``_local_scalar_dense``, of ``item`` and ``bool``) and
is counted here. Numbers drawn from the generator on the CPU wait for nothing there either; none of these settings draws one.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torch.utils._python_dispatch import TorchDispatchMode

from engine.train import loop
from tests.engine.train.train_runs import Lab, train

READS = ("_local_scalar_dense", "nonzero", "equal.default", "masked_select")


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operations whose result only the host can know, by the file that asks."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(name in str(func) for name in READS):
            who = [frame for frame in traceback.extract_stack()[:-1] if "/torch/" not in frame.filename][-1]
            self.found[Path(who.filename).name] += 1
        return func(*args, **(kwargs or {}))


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Watch]:
    """Watches every optimizer step of the runs of a test."""
    watching, step = _Watch(), loop.optimizer_step

    def watched(*args: Any, **kwargs: Any) -> Any:
        with watching:
            return step(*args, **kwargs)

    monkeypatch.setattr(loop, "optimizer_step", watched)
    yield watching


@pytest.mark.parametrize(
    "how",
    [
        ("training.gradient_accumulation=2", "network.scale_weight_norms=0.5", "ema.decay=0.9", "loss.min_snr_gamma=5"),
        ("network.dropout=0.1", "network.rank_dropout=0.1", "network.module_dropout=0.1", "loss.noise_offset=0.1"),
        ("network.dora=true", "loss.kind=huber", "optimizer.kind=adafactor", "optimizer.lr=1e-4"),
    ],
)
def test_a_step_reads_no_number_from_the_device(lab: Lab, watch: _Watch, how: tuple[str, ...]) -> None:
    assert train(lab.run(*how, "training.steps=3")) == 0
    assert not watch.found


def test_the_watch_sees_the_one_wait_that_skipping_costs(lab: Lab, watch: _Watch) -> None:
    assert train(lab.run("training.on_nonfinite=skip", "training.steps=3")) == 0
    assert watch.found == {"loop.py": 3}


@pytest.mark.parametrize(("kind", "module"), [("prodigy", "prodigy.py"), ("dadapt_adam", "dadapt.py")])
def test_an_adaptive_optimizer_reads_its_own_numbers_and_the_metrics_none(
    lab: Lab, watch: _Watch, kind: str, module: str
) -> None:
    assert train(lab.run(f"optimizer.kind={kind}", "optimizer.lr=1.0", "training.steps=3")) == 0
    assert set(watch.found) == {module}
    assert watch.found[module] <= 2 * 3
