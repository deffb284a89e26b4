"""Which checkpoints go: only whole ones, only older ones, counted along the lineage a resume would follow."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.checkpoint.describe import resume_candidates
from engine.checkpoint.pins import pin
from engine.checkpoint.retention import Kept, Retention, prune, superfluous, sweep_leftovers
from engine.run.layout import RunDirectory
from tests.engine.checkpoint.checkpoint_files import add_attempt, make_run, write_checkpoint


def steps_left(run: RunDirectory) -> list[int]:
    return [int(folder.name.rpartition("-")[2]) for folder in run.checkpoint_folders()]


checkpoints = st.lists(
    st.builds(
        Kept,
        step=st.integers(0, 40).map(lambda number: 25 * number),
        is_on_lineage=st.booleans(),
        validation_loss=st.none() | st.sampled_from([0.1, 0.2, 0.3]) | st.floats(0, 1),
    ),
    unique_by=lambda item: item.step,
    max_size=20,
)
retentions = st.builds(
    Retention, st.integers(0, 5), st.sampled_from([0, 25, 50, 100, 250]), keep_best=st.integers(0, 4)
)
pins = st.sets(st.integers(0, 40).map(lambda number: 25 * number), max_size=5)


@given(whole=checkpoints, retention=retentions, pinned=pins)
def test_what_must_stay_stays(whole: list[Kept], retention: Retention, pinned: set[int]) -> None:
    gone = superfluous(whole, retention, pinned)
    steps = {item.step for item in whole}
    lineage = sorted((item.step for item in whole if item.is_on_lineage), reverse=True)
    assert gone == sorted(set(gone)) and steps.issuperset(gone)
    assert not pinned.intersection(gone)
    assert not set(lineage[: max(1, retention.keep_last)]).intersection(gone), "above all not the newest whole one"
    if retention.keep_every_steps:
        assert all(step % retention.keep_every_steps for step in gone)
    losses = {item.step: item.validation_loss for item in whole if item.validation_loss is not None}
    for step in gone:
        if step in losses:
            better = [other for other in losses if losses[other] <= losses[step] and other != step]
            assert len(better) >= retention.keep_best
    assert not gone or retention.keep_last


@given(whole=checkpoints, retention=retentions, pinned=pins)
def test_what_nothing_keeps_goes(whole: list[Kept], retention: Retention, pinned: set[int]) -> None:
    lineage = sorted((item.step for item in whole if item.is_on_lineage), reverse=True)
    alone = Retention(retention.keep_last)
    older = {item.step for item in whole if lineage and item.step < lineage[0]}
    expected = older - set(lineage[: alone.keep_last]) - pinned if alone.keep_last else set()
    assert set(superfluous(whole, alone, pinned)) == expected
    assert superfluous([item for item in whole if item.step not in expected], alone, pinned) == []
    assert set(superfluous(whole, retention, pinned)) <= expected


def test_milestones_the_best_and_pinned_ones_stay_beside_the_newest(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "demo")
    losses = {10: 0.5, 20: 0.2, 30: 0.9, 40: 0.6, 50: 0.8, 60: 0.7, 70: 0.75}
    for step, loss in losses.items():
        write_checkpoint(run.checkpoint(step), step, validation_loss=loss, validated_step=step)
    write_checkpoint(run.checkpoint(5), 5, validation_loss=0.01, validated_step=0)
    add_attempt(run, 1, None)
    pin(run, "step-00000030")
    gone = prune(run, Retention(2, keep_every_steps=40, keep_best=1), latest=run.checkpoint(70))
    assert gone == [run.checkpoint(step) for step in (5, 10, 50)], "a loss of another step does not count"
    assert steps_left(run) == [20, 30, 40, 60, 70]


def test_the_newest_ones_stay(tmp_path: Path) -> None:
    run = make_run(tmp_path, "demo", 10, 20, 30, 40)
    add_attempt(run, 1, None)
    gone = prune(run, Retention(2), latest=run.checkpoint(40))
    assert gone == [run.checkpoint(10), run.checkpoint(20)]
    assert steps_left(run) == [30, 40]
    assert sorted(entry.name for entry in run.checkpoints.iterdir()) == ["step-00000030", "step-00000040"]


def test_zero_keeps_all(tmp_path: Path) -> None:
    run = make_run(tmp_path, "demo", 10, 20, 30)
    add_attempt(run, 1, None)
    assert prune(run, Retention(), latest=run.checkpoint(30)) == []
    assert steps_left(run) == [10, 20, 30]


def test_a_damaged_one_neither_counts_nor_goes(tmp_path: Path) -> None:
    run = make_run(tmp_path, "demo", 10, 20, 30, 40)
    add_attempt(run, 1, None)
    (run.checkpoint(30) / "optimizer.safetensors").write_bytes(b"cut")
    assert prune(run, Retention(2), latest=run.checkpoint(40)) == [run.checkpoint(10)]
    assert steps_left(run) == [20, 30, 40]


def test_a_left_branch_does_not_push_out_the_lineage(tmp_path: Path) -> None:
    run = make_run(tmp_path, "demo", 10, 20, 40, 60, attempt=1)
    make_run(tmp_path, "demo", 30, 50, attempt=2)
    add_attempt(run, 1, None)
    add_attempt(run, 2, 20)
    assert prune(run, Retention(2), latest=run.checkpoint(50)) == [
        run.checkpoint(10),
        run.checkpoint(20),
        run.checkpoint(40),
    ]
    assert steps_left(run) == [30, 50, 60], "60 was not reached again yet"
    assert resume_candidates(run)[0] == run.checkpoint(50)


def test_nothing_goes_when_the_one_just_saved_is_not_the_newest_to_resume_from(tmp_path: Path) -> None:
    run = make_run(tmp_path, "demo", 10, 20, 30)
    add_attempt(run, 1, None)
    (run.checkpoint(30) / "lora.safetensors").write_bytes(b"")
    assert prune(run, Retention(1), latest=run.checkpoint(30)) == []
    assert steps_left(run) == [10, 20, 30]


def test_one_that_cannot_be_moved_stays_and_is_not_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path, "demo", 10, 20, 30)
    add_attempt(run, 1, None)

    def refuse(_: Path, __: Path) -> Path:
        raise PermissionError

    monkeypatch.setattr(Path, "rename", refuse)
    assert prune(run, Retention(2), latest=run.checkpoint(30)) == []
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
