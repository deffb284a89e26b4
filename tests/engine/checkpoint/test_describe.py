"""A checkpoint tells the scheduler state stored in it; a damaged or foreign folder tells why it cannot."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest

from engine.checkpoint.describe import (
    BrokenCheckpoint,
    CheckpointError,
    CheckpointSummary,
    describe,
    list_checkpoints,
)
from engine.schedule import Kind, Phase, Schedule
from tests.engine.checkpoint.checkpoint_files import make_run, state_of, write_checkpoint


def test_it_holds_what_the_state_says(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "step-00000020", 20)
    summary = describe(folder)
    assert (summary.name, summary.run_id, summary.step, summary.total_steps) == (
        "step-00000020",
        "demo-20261124-101500",
        20,
        40,
    )
    assert (summary.epoch, summary.attempt, summary.images_seen) == (1, 1, 40)
    assert (summary.created, summary.elapsed_seconds) == (1795514160.5, 12.5)
    assert (summary.loss, summary.loss_avg) == (0.113, 0.109)
    assert summary.schedule == Schedule(Kind.COSINE, 40)
    assert summary.optimizer == "adamw"
    (group,) = summary.groups
    assert (group.name, group.base_lr, group.parameters, group.values) == ("unet", 1e-4, 264, 12345)
    assert group.last_lr == summary.schedule.lr(19, 1e-4)
    assert group.hyperparameters == {"weight_decay": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
    assert (summary.network.kind, summary.network.rank, summary.network.modules) == ("lora", 8, 132)
    assert summary.versions["torch"] == "2.13.0"
    assert (summary.device, summary.base_model) == ("cpu", "bundled:demo-base")
    assert summary.bytes == sum(path.stat().st_size for path in folder.iterdir() if path.name != "manifest.json")
    assert summary.is_whole


def test_the_next_rates_are_those_of_the_schedule_at_its_step(tmp_path: Path) -> None:
    summary = describe(write_checkpoint(tmp_path / "step-00000020", 20))
    expected = [1e-4 * 0.5 * (1 + math.cos(math.pi * step / 40)) for step in range(20, 25)]
    assert summary.next_lrs()["unet"] == pytest.approx(expected, rel=1e-12)
    assert (summary.phase, summary.share_done, summary.steps_left) == (Phase.DECAY, 0.5, 20)


def test_near_the_end_fewer_rates_follow_and_at_it_none(tmp_path: Path) -> None:
    near = describe(write_checkpoint(tmp_path / "step-00000038", 38))
    assert len(near.next_lrs(5)["unet"]) == 2
    done = describe(write_checkpoint(tmp_path / "step-00000040", 40))
    assert done.next_lrs() == {"unet": ()}
    assert (done.phase, done.share_done, done.steps_left) == (Phase.FINISHED, 1.0, 0)


def test_before_the_first_step_there_is_no_last_rate(tmp_path: Path) -> None:
    summary = describe(write_checkpoint(tmp_path / "step-00000000", 0))
    assert summary.groups[0].last_lr is None
    assert summary.next_lrs(1) == {"unet": (1e-4,)}


def test_a_loss_that_is_not_finite_is_no_loss(tmp_path: Path) -> None:
    summary = describe(write_checkpoint(tmp_path / "step-00000020", 20, loss=math.nan, loss_avg=None))
    assert (summary.loss, summary.loss_avg) == (None, None)


GROUP = state_of(20)["optimizer"]["groups"][0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "written by a newer version (state format 2; this one reads 1)"),
        ({"step": 21}, "its state is of step 21, its manifest of step 20"),
        ({"step": None}, "has no step"),
        ({"schedule": {"kind": "spiral", "total_steps": 40}}, "the stored schedule is not readable"),
        ({"schedule": {"kind": "cosine", "total_steps": 0}}, "at least 1 step"),
        ({"schedule": None}, "has no schedule"),
        ({"optimizer": {"kind": "adamw", "groups": []}}, "has no optimizer groups"),
        ({"optimizer": {"kind": "adamw", "groups": [3]}}, "has no optimizer groups"),
        ({"optimizer": {"kind": "adamw", "groups": [GROUP | {"base_lr": None}]}}, "has no base_lr"),
        ({"optimizer": {"kind": "adamw", "groups": [GROUP | {"base_lr": math.inf}]}}, "has no base_lr"),
        ({"optimizer": {"kind": "adamw", "groups": [GROUP | {"base_lr": -1.0}]}}, "negative base_lr"),
        ({"network": {"kind": "lora"}}, "has no rank"),
    ],
)
def test_a_state_that_makes_no_sense_is_refused_with_the_reason(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    folder = write_checkpoint(tmp_path / "step-00000020", 20, **changes)
    with pytest.raises(CheckpointError) as caught:
        describe(folder)
    assert message in caught.value.what
    assert "\n" not in caught.value.what
    assert caught.value.where == str(folder)


def test_damage_that_sizes_show_is_told_with_the_file(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "step-00000020", 20)
    (folder / "optimizer.safetensors").write_bytes(b"")
    summary = describe(folder)
    assert not summary.is_whole
    assert summary.integrity.startswith("optimizer.safetensors has 0 bytes instead of")


@pytest.mark.parametrize("content", [b"", b"{", b"null"])
def test_a_torn_state_is_told(tmp_path: Path, content: bytes) -> None:
    folder = write_checkpoint(tmp_path / "step-00000020", 20)
    (folder / "state.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"state\.json has \d+ bytes? instead of"):
        describe(folder)


def test_a_list_holds_every_checkpoint_with_the_reasons_of_the_broken_ones(tmp_path: Path) -> None:
    run = make_run(tmp_path, "demo", 10, 20, 30, 40)
    (run.checkpoint(20) / "manifest.json").unlink()
    manifest = run.checkpoint(30) / "manifest.json"
    manifest.write_text(manifest.read_text().replace("lora.safetensors", "../lora"))
    run.checkpoint(40).rename(run.checkpoint(41))
    (run.checkpoints / "step-00000050").write_text("a file")
    (run.checkpoints / ".tmp-00000060-1").mkdir()
    (run.checkpoints / "step-7").mkdir()
    found = list_checkpoints(run)
    assert [(item.step, isinstance(item, CheckpointSummary)) for item in found] == [
        (10, True),
        (20, False),
        (30, False),
        (41, False),
        (50, False),
    ]
    reasons = [item.reason for item in found if isinstance(item, BrokenCheckpoint)]
    assert reasons == [
        "not a checkpoint: it has no manifest.json",
        "its manifest names '../lora', which is no plain file name",
        "the folder's name says step 41, its state 40",
        "not a checkpoint: a file, not a folder",
    ]


def test_a_run_without_checkpoints_has_none(tmp_path: Path) -> None:
    assert list_checkpoints(make_run(tmp_path)) == []


def test_a_thousand_checkpoints_list_in_well_under_a_second(tmp_path: Path) -> None:
    run = make_run(tmp_path, "demo", 1)
    first = run.checkpoint(1)
    for step in range(2, 1001):
        folder = run.checkpoint(step)
        folder.mkdir()
        for name in ("lora.safetensors", "trainable.safetensors", "optimizer.safetensors"):
            (folder / name).hardlink_to(first / name)
        state = json.dumps(state_of(step))
        (folder / "state.json").write_text(state)
        manifest = json.loads((first / "manifest.json").read_text()) | {"step": step}
        manifest["files"]["state.json"]["bytes"] = len(state)
        (folder / "manifest.json").write_text(json.dumps(manifest))
    began = time.process_time()
    found = list_checkpoints(run)
    assert time.process_time() - began < 0.9
    assert len(found) == 1000
    assert all(isinstance(item, CheckpointSummary) and item.is_whole for item in found)
