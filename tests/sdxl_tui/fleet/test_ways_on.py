"""Resume and continue: from a checkpoint that is whole, into the same run, or into a child with weights of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.checkpoint.describe import describe
from engine.checkpoint.manifest import CheckpointError, write_manifest
from engine.durable import write_json_atomically
from engine.profile.load import read_snapshot
from engine.routes.continuing import plan_continuation
from engine.routes.plan import ChildPlan
from engine.run.errors import RunBusy, RunError
from engine.run.layout import RunDirectory
from engine.run.liveness import RunState
from engine.run.records import Parent, RunRecord
from sdxl_tui.fleet import launch
from sdxl_tui.fleet.children import start_child
from sdxl_tui.fleet.runs import list_runs
from sdxl_tui.workspace import Workspace
from tests.sdxl_tui.fleet.stand_in import engine_of, loaded, pids, process_of, standing_in

TOTAL = 40


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    workspace = Workspace(tmp_path / "workspace")
    with standing_in(monkeypatch, workspace):
        yield workspace


@pytest.fixture
def killed(workspace: Workspace) -> RunDirectory:
    """A run that was killed after it had saved at steps 10 and 20."""
    run = launch.launch(workspace, loaded(workspace.path))
    os.kill(pids(run)[0], signal.SIGKILL)
    launch.wait(run, 10)
    for step in (10, 20):
        write_checkpoint(run, step)
    return run


def write_checkpoint(run: RunDirectory, step: int) -> Path:
    """As docs/files.md describes it; the weights are any bytes, since nothing here looks into them."""
    folder = run.checkpoint(step)
    folder.mkdir(parents=True)
    for name in ("lora", "trainable", "optimizer"):
        (folder / f"{name}.safetensors").write_bytes(f"{name} at {step}".encode() * 100)
    group = {"name": "unet", "base_lr": 1e-4, "lr": 5e-5, "parameters": 4, "values": 64, "hyperparameters": {}}
    state = {
        "format": 1, "run": run.id, "attempt": 1, "created": 1795514160.0, "step": step, "total_steps": TOTAL, "epoch": 1,
        "schedule": {"kind": "cosine", "total_steps": TOTAL, "warmup_steps": 0},
        "optimizer": {"kind": "adamw", "groups": [group]},
        "network": {"kind": "lora", "rank": 8, "alpha": 8.0, "dropout": 0.0, "modules": 2},
    }  # fmt: skip
    write_json_atomically(folder / "state.json", state)
    write_manifest(folder, step)
    return folder


def damage(folder: Path) -> None:
    """Change one byte and no size: only the digest tells."""
    path = folder / "trainable.safetensors"
    path.write_bytes(b"?" + path.read_bytes()[1:])


def plan(run: RunDirectory, folder: Path) -> ChildPlan:
    return plan_continuation(describe(folder), read_snapshot(run.profile), lr=2e-4, steps=30)


def test_a_resume_goes_on_from_the_newest_checkpoint_as_a_new_attempt(killed: RunDirectory) -> None:
    assert launch.resume(killed) == 2
    assert process_of(killed, 2).resumed_from == "step-00000020"


def test_a_resume_can_go_back_to_an_older_checkpoint(killed: RunDirectory) -> None:
    launch.resume(killed, killed.checkpoint(10))
    assert process_of(killed, 2).resumed_from == "step-00000010"


def test_a_damaged_newest_checkpoint_is_passed_over_unless_it_was_asked_for(killed: RunDirectory) -> None:
    damage(killed.checkpoint(20))
    with pytest.raises(CheckpointError, match=r"trainable\.safetensors"):
        launch.resume(killed, killed.checkpoint(20))
    assert len(killed.existing_attempts()) == 1
    launch.resume(killed)
    assert process_of(killed, 2).resumed_from == "step-00000010"


def test_a_start_of_a_run_with_checkpoints_is_a_resume(killed: RunDirectory) -> None:
    launch.start(killed)
    assert process_of(killed, 2).resumed_from == "step-00000020"


def test_a_live_run_is_not_resumed(killed: RunDirectory) -> None:
    launch.resume(killed)
    with pytest.raises(RunBusy):
        launch.resume(killed)
    assert len(killed.existing_attempts()) == 2


def test_a_finished_schedule_leaves_nothing_to_resume(killed: RunDirectory) -> None:
    write_checkpoint(killed, TOTAL)
    with pytest.raises(RunError, match="all 40 steps are done") as error:
        launch.resume(killed)
    assert f"continue {killed.id}@40" in str(error.value)


def test_a_child_run_has_its_own_copy_of_the_weights_and_names_its_parent(
    workspace: Workspace, killed: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "engine_command", engine_of(5))
    folder = killed.checkpoint(20)
    child = start_child(workspace, plan(killed, folder))
    assert launch.wait(child, 10).state is RunState.FINISHED
    assert child.start_weights.read_bytes() == (folder / "trainable.safetensors").read_bytes()
    assert child.start_weights.stat().st_ino != (folder / "trainable.safetensors").stat().st_ino
    record = RunRecord.read(child.record)
    assert record is not None
    assert record.parent == Parent(killed.id, "step-00000020", 20, "continue", attempt=1)
    profile = read_snapshot(child.profile)
    assert (profile.optimizer.lr, profile.training.steps) == (2e-4, 30)
    assert process_of(child).resumed_from is None
    assert [row.parent for row in list_runs(workspace)] == [killed.id, None]


def test_a_damaged_checkpoint_has_no_child(workspace: Workspace, killed: RunDirectory) -> None:
    folder = killed.checkpoint(20)
    planned = plan(killed, folder)
    damage(folder)
    with pytest.raises(CheckpointError, match=r"trainable\.safetensors"):
        start_child(workspace, planned)
    assert [row.id for row in list_runs(workspace)] == [killed.id]


def test_a_child_that_cannot_be_started_is_not_there(
    workspace: Workspace, killed: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "engine_command", lambda *_: ["/nowhere/python"])
    folder = killed.checkpoint(20)
    with pytest.raises(RunError, match="/nowhere/python"):
        start_child(workspace, plan(killed, folder))
    assert [row.id for row in list_runs(workspace)] == [killed.id]
