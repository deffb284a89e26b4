"""Which checkpoints go: only whole ones, only older ones, counted along the lineage a resume would follow."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.checkpoint.describe import resume_candidates
from engine.checkpoint.retention import prune, sweep_leftovers
from engine.run.layout import RunDirectory
from tests.engine.checkpoint.checkpoint_files import add_attempt, make_run


def steps_left(run: RunDirectory) -> list[int]:
    return [int(folder.name.rpartition("-")[2]) for folder in run.checkpoint_folders()]


def test_the_newest_ones_stay(tmp_path: Path) -> None:
    run = make_run(tmp_path, "demo", 10, 20, 30, 40)
    add_attempt(run, 1, None)
    gone = prune(run, 2, latest=run.checkpoint(40))
    assert gone == [run.checkpoint(10), run.checkpoint(20)]
    assert steps_left(run) == [30, 40]
    assert sorted(entry.name for entry in run.checkpoints.iterdir()) == ["step-00000030", "step-00000040"]


def test_zero_keeps_all(tmp_path: Path) -> None:
    run = make_run(tmp_path, "demo", 10, 20, 30)
    add_attempt(run, 1, None)
    assert prune(run, 0, latest=run.checkpoint(30)) == []
    assert steps_left(run) == [10, 20, 30]


def test_a_damaged_one_neither_counts_nor_goes(tmp_path: Path) -> None:
    run = make_run(tmp_path, "demo", 10, 20, 30, 40)
    add_attempt(run, 1, None)
    (run.checkpoint(30) / "optimizer.safetensors").write_bytes(b"cut")
    assert prune(run, 2, latest=run.checkpoint(40)) == [run.checkpoint(10)]
    assert steps_left(run) == [20, 30, 40]


def test_a_left_branch_does_not_push_out_the_lineage(tmp_path: Path) -> None:
    run = make_run(tmp_path, "demo", 10, 20, 40, 60, attempt=1)
    make_run(tmp_path, "demo", 30, 50, attempt=2)
    add_attempt(run, 1, None)
    add_attempt(run, 2, 20)
    assert prune(run, 2, latest=run.checkpoint(50)) == [run.checkpoint(10), run.checkpoint(20), run.checkpoint(40)]
    assert steps_left(run) == [30, 50, 60], "60 was not reached again yet"
    assert resume_candidates(run)[0] == run.checkpoint(50)


def test_nothing_goes_when_the_one_just_saved_is_not_the_newest_to_resume_from(tmp_path: Path) -> None:
    run = make_run(tmp_path, "demo", 10, 20, 30)
    add_attempt(run, 1, None)
    (run.checkpoint(30) / "lora.safetensors").write_bytes(b"")
    assert prune(run, 1, latest=run.checkpoint(30)) == []
    assert steps_left(run) == [10, 20, 30]


def test_one_that_cannot_be_moved_stays_and_is_not_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path, "demo", 10, 20, 30)
    add_attempt(run, 1, None)

    def refuse(_: Path, __: Path) -> Path:
        raise PermissionError

    monkeypatch.setattr(Path, "rename", refuse)
    assert prune(run, 2, latest=run.checkpoint(30)) == []
    assert steps_left(run) == [10, 20, 30]


def test_leftovers_are_swept_and_nothing_else(tmp_path: Path) -> None:
    run = make_run(tmp_path, "demo", 10)
    for name in (".tmp-20-123-abcd", ".dead-step-00000005-abcd", "step-12-backup", ".hidden"):
        (run.checkpoints / name).mkdir()
        (run.checkpoints / name / "state.json").write_text("{}")
    (run.checkpoints / ".tmp-link").symlink_to(tmp_path)
    sweep_leftovers(run)
    assert sorted(entry.name for entry in run.checkpoints.iterdir()) == [
        ".hidden",
        ".tmp-link",
        "step-00000010",
        "step-12-backup",
    ]
    sweep_leftovers(RunDirectory(tmp_path / "a run without checkpoints"))
