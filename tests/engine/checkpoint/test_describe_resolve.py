"""What a person may write for a checkpoint, and what is said when nothing fits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.checkpoint.describe import CheckpointError, resolve_checkpoint
from engine.run.layout import RunDirectory
from engine.run.records import RunRecord
from tests.engine.checkpoint.checkpoint_files import add_attempt, make_run, write_checkpoint


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    root = tmp_path / "runs"
    for name, created, steps in (("cat-20261124-1", 1.0, (10, 20)), ("cat-20261124-2", 3.0, (10,)), ("dog", 2.0, ())):
        run = make_run(root, name, *steps)
        run.record.write_text(json.dumps(RunRecord(name, name, created, None, "0.1.0").to_json()))
    return root


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat-20261124-1", "cat-20261124-1/checkpoints/step-00000020"),
        ("cat-20261124-1/", "cat-20261124-1/checkpoints/step-00000020"),
        ("cat-20261124-1@10", "cat-20261124-1/checkpoints/step-00000010"),
        ("cat-20261124-1@step-00000010", "cat-20261124-1/checkpoints/step-00000010"),
        ("cat-20261124-1@latest", "cat-20261124-1/checkpoints/step-00000020"),
        ("cat-20261124-1/step-00000010", "cat-20261124-1/checkpoints/step-00000010"),
        ("cat-20261124-1/step-10", "cat-20261124-1/checkpoints/step-00000010"),
        ("latest", "cat-20261124-2/checkpoints/step-00000010"),
        ("latest@10", "cat-20261124-2/checkpoints/step-00000010"),
        ("cat-20261124-2", "cat-20261124-2/checkpoints/step-00000010"),
    ],
)
def test_what_may_be_written(runs: Path, text: str, expected: str) -> None:
    assert resolve_checkpoint(text, runs) == runs / expected


def test_a_beginning_that_fits_one_run_only_is_enough(runs: Path) -> None:
    write_checkpoint(RunDirectory(runs / "dog").checkpoint(5), 5)
    assert resolve_checkpoint("do", runs) == runs / "dog/checkpoints/step-00000005"
    with pytest.raises(CheckpointError) as caught:
        resolve_checkpoint("cat", runs)
    assert str(caught.value).endswith("2 runs begin with 'cat'\n  They are cat-20261124-1, cat-20261124-2.")


def test_paths_are_taken_as_they_are(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunDirectory(runs / "cat-20261124-1").checkpoint(10)
    assert resolve_checkpoint(str(folder), tmp_path / "elsewhere") == folder
    assert resolve_checkpoint(f"{folder}/", tmp_path / "elsewhere") == folder
    assert resolve_checkpoint(str(runs / "cat-20261124-1"), tmp_path / "elsewhere") == folder.with_name("step-00000020")
    assert resolve_checkpoint(f"{runs}/cat-20261124-1@10", tmp_path / "elsewhere") == folder
    monkeypatch.chdir(folder.parent)
    assert resolve_checkpoint("step-00000010", runs) == folder
    monkeypatch.chdir(folder)
    assert resolve_checkpoint(".", runs) == folder
    copied = write_checkpoint(tmp_path / "copied", 10)
    assert resolve_checkpoint(str(copied), runs) == copied


def test_the_run_alone_means_its_resume_point(runs: Path) -> None:
    run = RunDirectory(runs / "cat-20261124-1")
    add_attempt(run, 1, None)
    add_attempt(run, 2, 10)
    assert resolve_checkpoint("cat-20261124-1", runs) == run.checkpoint(10)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "cat-20261124-1@30",
            "cat-20261124-1: the run has no checkpoint at step 30\n  It has cat-20261124-1@10, cat-20261124-1@20.",
        ),
        ("cat-20261124-1@x", "'x' is not a step\n  Write RUN@20"),
        ("cat-20261124-1/step-99", "has no checkpoint at step 99"),
        ("dog", "dog: the run has no checkpoint yet"),
        ("dog@3", "has no checkpoint at step 3, nor any other yet"),
        ("kat-20261124-1", "there is no run 'kat-20261124-1'\n  Did you mean cat-20261124-1"),
        ("zzz", "there is no run 'zzz'\n  The newest runs are"),
        ("some/path", "some/path: neither a checkpoint folder nor a run"),
        ("", "there is no run ''"),
        ("@20", "there is no run ''"),
        ("a\0b", "there is no run"),
        ("~nobody-of-this-name/x", "is not a path or a run"),
        ("x" * 5000, "is not a path or a run"),
    ],
)
def test_what_fits_nothing_is_told_with_the_nearest(runs: Path, text: str, message: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        resolve_checkpoint(text, runs)
    assert message in str(caught.value)


def test_a_workspace_without_runs_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There are no runs here yet"):
        resolve_checkpoint("cat", tmp_path / "runs")


def test_a_run_whose_checkpoints_are_all_damaged_says_so(runs: Path) -> None:
    for step in (10, 20):
        (RunDirectory(runs / "cat-20261124-1").checkpoint(step) / "lora.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no checkpoint that is whole: 2 are damaged"):
        resolve_checkpoint("cat-20261124-1", runs)
