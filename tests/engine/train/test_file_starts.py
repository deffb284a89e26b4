"""Runs that start from a LoRA file or a state of sd-scripts begin with the file's model, whatever their profile asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.foreign.fitting import misfit, modules_left_out
from engine.foreign.starting_point import StartKind, read_starting_point
from engine.profile.load import parse_profile, read_snapshot
from engine.profile.schema import Profile
from engine.routes.starting import plan_start
from engine.run.create import Inheritance, create_run
from engine.run.layout import RunDirectory
from engine.run.records import Origin
from tests.engine.foreign.made_states import (
    REAL_LORA,
    REAL_STATE,
    base_of_the_real_states,
    real_state_of_torch_cosine,
    state_around,
)
from tests.engine.train.train_runs import PROFILE, Lab, events, metrics, train

TINY = 1e-9
"""A rate at which a step moves nothing that a test could see."""


def profile(lab: Lab, *overrides: str) -> Profile:
    """The small profile, which asks for a LoRA of rank 2 on the UNet."""
    return parse_profile(PROFILE.replace("PICTURES", str(lab.pictures)), folder=lab.root, overrides=overrides).profile


def run_from(lab: Lab, path: Path, given: Profile | None, **options: object) -> RunDirectory:
    """The run of a plan, as the manager makes it."""
    start = read_starting_point(path)
    plan = plan_start(start, given, **({"lr": TINY} | options))  # type: ignore[arg-type]
    assert misfit(start.network, plan.profile.model.base) is None
    origin = Origin(str(start.path), start.kind.value, plan.route.value, start.step)
    inherits = Inheritance(lora=start.weights)
    return create_run(lab.root / "runs", plan.profile, source=None, origin=origin, inherits=inherits)


KINDS = {
    "own ranks": (
        *("network.rank=4", "network.alpha=2", "network.feed_forward_rank=3", "network.convolutions=true"),
        *("network.conv_rank=2", "network.conv_alpha=1", "network.text_encoder=true", "network.text_encoder_rank=1"),
    ),
    "dora": ("network.dora=true", "network.rank=3", "network.feed_forward=false"),
    "loha": ("network.kind=loha", "network.convolutions=true", "network.rank=3"),
    "lokr": ("network.kind=lokr", "network.lokr_factor=4", "network.convolutions=true"),
    "whole lokr": ("network.kind=lokr", "network.rank=1024"),
}


@pytest.mark.parametrize("overrides", KINDS.values(), ids=KINDS)
def test_a_run_begins_with_the_model_in_the_file(lab: Lab, overrides: tuple[str, ...]) -> None:
    trained = lab.run(*overrides, "schedule.warmup_steps=0")
    assert train(trained, stop_at=1) == 0
    checkpoint = trained.checkpoint(1)
    child = run_from(lab, checkpoint / "lora.safetensors", profile(lab))
    wanted, had = read_snapshot(child.profile).network, read_snapshot(trained.profile).network
    assert (wanted.kind, wanted.dora) == (had.kind, had.dora)
    assert train(child, stop_at=1) == 0
    before, after = (
        load_file(checkpoint / "trainable.safetensors"),
        load_file(child.checkpoint(1) / "trainable.safetensors"),
    )
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert torch.allclose(after[name], tensor, rtol=1e-6, atol=10 * TINY), name


def test_the_first_loss_is_that_of_the_checkpoint_the_file_was_saved_with(lab: Lab) -> None:
    trained = lab.run("network.rank_stabilized=true", "network.rank=4", "network.alpha=2", "schedule.warmup_steps=0")
    assert train(trained, stop_at=1) == 0
    checkpoint = trained.checkpoint(1)
    child = run_from(lab, checkpoint / "lora.safetensors", profile(lab))
    network = read_snapshot(child.profile).network
    assert (network.rank_stabilized, network.rank, network.alpha) == (False, 4, 4.0), "alpha · √rank, as files have it"
    assert train(child, stop_at=1) == 0
    same = create_run(
        lab.root / "runs",
        read_snapshot(trained.profile).model_copy(
            update={
                "schedule": read_snapshot(child.profile).schedule,
                "optimizer": read_snapshot(child.profile).optimizer,
            }
        ),
        source=None,
        inherits=Inheritance(weights=checkpoint / "trainable.safetensors"),
    )
    assert train(same, stop_at=1) == 0
    (one,), (other,) = metrics(child), metrics(same)
    assert one.loss == pytest.approx(other.loss, rel=1e-6)


def test_the_network_of_the_file_is_in_the_profile_part_by_part(lab: Lab) -> None:
    trained = lab.run(*KINDS["own ranks"])
    assert train(trained, stop_at=1) == 0
    plan = plan_start(read_starting_point(trained.checkpoint(1) / "lora.safetensors"), profile(lab), lr=1e-4)
    network, had = plan.profile.network, read_snapshot(trained.profile).network
    parts = [part for part in type(next(iter(plan.start.network.parts))) if had.trains(part)]
    assert list(plan.start.network.parts) == parts
    assert [(network.rank_of(part), network.alpha_of(part)) for part in parts] == [
        (had.rank_of(part), had.alpha_of(part)) for part in parts
    ]
    lost = {effect.field: (effect.stored, effect.new) for effect in plan.effects if "gives way" in effect.what_happens}
    assert lost["network.rank"] == (2, 4)
    assert lost["network.convolutions"] == (False, True)
    assert modules_left_out(plan.start.network, "bundled:demo-base") == 0


@pytest.mark.parametrize("torch_cosine", [False, True], ids=["lambda", "torch"])
def test_the_real_states_are_trained_on_with_a_base_of_their_widths(
    lab: Lab, tmp_path: Path, torch_cosine: bool
) -> None:
    base = base_of_the_real_states(tmp_path / "base")
    state = real_state_of_torch_cosine(tmp_path) if torch_cosine else REAL_STATE
    child = run_from(lab, state, profile(lab, f"model.base={base}", "training.steps=2", "schedule.kind=constant"))
    assert train(child) == 0
    stored, after = load_file(REAL_STATE / "model.safetensors"), load_file(child.checkpoint(2) / "lora.safetensors")
    assert stored.keys() == after.keys()
    for name, tensor in stored.items():
        assert torch.allclose(after[name], tensor, rtol=1e-6, atol=10 * TINY), name
    (said,) = events(child, "continued")
    assert (said["origin"], said["kind"], said["step"]) == (str(state), StartKind.STATE, 20)


def test_the_real_files_are_told_to_be_of_another_base() -> None:
    for path in (REAL_STATE, REAL_LORA):
        reason = misfit(read_starting_point(path).network, "bundled:demo-base")
        assert reason is not None
        assert "128 inputs and 128 outputs, the base's has 64 and 64" in reason


def test_a_run_from_a_file_is_resumed_from_its_own_checkpoint_when_the_file_is_gone(lab: Lab, tmp_path: Path) -> None:
    trained = lab.run()
    assert train(trained, stop_at=1) == 0
    state = state_around(trained.checkpoint(1) / "lora.safetensors", tmp_path / "output")
    child = run_from(lab, state, profile(lab), lr=1e-3, steps=4)
    for file in sorted((tmp_path / "output").rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    assert train(child, stop_at=2) == 0
    assert train(child) == 0
    assert [point.step for point in metrics(child)] == [1, 2, 3, 4]
    assert len(events(child, "continued")) == 1
