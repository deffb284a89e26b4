"""The rehearsal before the first step: it changes nothing, and refuses an optimizer whose state does not come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from engine.profile.optimizer_kinds import OPTIMIZERS, OptimizerKind
from engine.run.layout import RunDirectory
from engine.train import optimizer_recipes
from engine.train.optimizer import NamedOptimizer
from engine.train.optimizer_recipes import Recipe
from tests.engine.train.train_runs import Lab, arithmetic, events, metrics, same_tensors, state, train

QUICK = ("training.steps=3", "schedule.warmup_steps=0", "network.dropout=0.2")


def run_of(lab: Lab, kind: OptimizerKind, *more: str) -> RunDirectory:
    lr = 1.0 if OPTIMIZERS[kind].adaptive else 1e-3
    constant = ["schedule.kind=constant"] if kind is OptimizerKind.SCHEDULE_FREE_ADAMW else []
    return lab.run(*QUICK, f"optimizer.kind={kind.value}", f"optimizer.lr={lr}", *constant, *more)


@pytest.mark.parametrize("kind", list(OptimizerKind))
def test_every_optimizer_that_is_offered_passes_and_the_training_is_the_same(lab: Lab, kind: OptimizerKind) -> None:
    runs = [run_of(lab, kind, f"checkpoints.rehearsal={wanted}") for wanted in ("true", "false")]
    for run in runs:
        assert train(run) == 0
    rehearsed, plain = runs
    assert arithmetic(metrics(rehearsed)) == arithmetic(metrics(plain))
    for name in ("trainable.safetensors", "optimizer.safetensors", "lora.safetensors"):
        assert same_tensors(rehearsed.checkpoint(3), plain.checkpoint(3), name), name
    for part in ("rng", "data", "optimizer", "average", "step"):
        assert state(rehearsed.checkpoint(3))[part] == state(plain.checkpoint(3))[part], part
    (event,) = events(rehearsed, "rehearsed")
    assert event["bytes"] > 100_000 and event["seconds"] < 5
    assert not events(plain, "rehearsed")
    assert [entry.name for entry in rehearsed.checkpoints.iterdir()] == ["step-00000003"]


def test_a_resume_is_not_rehearsed(lab: Lab) -> None:
    run = lab.run(*QUICK, "ema.decay=0.9")
    assert train(run, stop_at=1) == 0
    assert train(run) == 0
    assert [event["attempt"] for event in events(run, "rehearsed")] == [1]


class Forgetful(torch.optim.AdamW):
    """Keeps a counter where nobody looks for it."""

    hidden = 0

    def step(self, closure: Any = None) -> Any:
        """A step whose length depends on how many this object has made."""
        self.hidden += 1
        for group in self.param_groups:
            group["weight_decay"] = 0.1 * self.hidden
        return super().step(closure)


class Hoarder(torch.optim.AdamW):
    """Keeps what no file holds."""

    def step(self, closure: Any = None) -> Any:
        """A step, and a note of it."""
        super().step(closure)
        for state_of in self.state.values():
            state_of["note"] = "made a step"


@pytest.mark.parametrize(
    ("made", "message"),
    [(Forgetful, "after a third step"), (Hoarder, "which cannot be stored exactly")],
)
def test_an_optimizer_whose_state_does_not_come_back_is_refused_by_name(
    lab: Lab, made: Callable[..., Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(lambda _, groups, values: made(groups, lr=0.0))
    monkeypatch.setitem(optimizer_recipes.RECIPES, OptimizerKind.ADAMW, recipe)
    run = lab.run(*QUICK)
    assert train(run) == 2
    (failed,) = events(run, "failed")
    assert "the state of the optimizer adamw does not come back exactly" in failed["message"]
    assert message in failed["message"]
    assert failed["where"] == "optimizer.kind"
    assert metrics(run) == [] and list(run.checkpoints.iterdir()) == []


def test_a_state_of_the_training_that_does_not_come_back_is_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    describe = NamedOptimizer.describe

    def drifting(self: NamedOptimizer) -> dict[str, Any]:
        return {**describe(self), "looked": id(self.inner)}

    monkeypatch.setattr(NamedOptimizer, "describe", drifting)
    monkeypatch.setattr("engine.train.rehearsal._try_optimizer", lambda *_: None)
    run = lab.run(*QUICK)
    assert train(run) == 2
    assert "its optimizer is another after loading" in events(run, "failed")[0]["message"]
    assert metrics(run) == []


def test_a_disk_that_takes_no_checkpoint_is_known_before_the_first_step(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = lab.run(*QUICK)

    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("engine.checkpoint.save.sync_directory", refuse)
    assert train(run) == 2
    assert "no checkpoint can be saved: the disk is full" in events(run, "failed")[0]["message"]
    assert metrics(run) == []
