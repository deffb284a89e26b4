"""Where a resume starts: the newest whole checkpoint on the lineage of the latest attempt."""

from __future__ import annotations

from pathlib import Path

from engine.checkpoint.describe import resume_candidates, resume_point
from tests.engine.checkpoint.checkpoint_files import add_attempt, make_run


def steps_of(folders: list[Path]) -> list[int]:
    return [int(folder.name.rpartition("-")[2]) for folder in folders]


def test_without_checkpoints_there_is_no_point(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert resume_point(run) is None
    add_attempt(run, 1, None)
    assert resume_point(run) is None


def test_the_newest_of_a_first_attempt(tmp_path: Path) -> None:
    run = make_run(tmp_path, "demo", 10, 20)
    add_attempt(run, 1, None)
    assert resume_point(run) == run.checkpoint(20)


def test_a_damaged_newest_one_is_passed_over(tmp_path: Path) -> None:
    run = make_run(tmp_path, "demo", 10, 20, 30)
    add_attempt(run, 1, None)
    (run.checkpoint(30) / "lora.safetensors").write_bytes(b"")
    (run.checkpoint(20) / "manifest.json").unlink()
    assert resume_point(run) == run.checkpoint(10)


def test_after_a_resume_from_an_older_one_the_newer_ones_are_a_left_branch(tmp_path: Path) -> None:
    run = make_run(tmp_path, "demo", 10, 20, 30, 40)
    add_attempt(run, 1, None)
    add_attempt(run, 2, 20)
    assert resume_point(run) == run.checkpoint(20), "the second attempt saved nothing yet"
    make_run(tmp_path, "demo", 25, attempt=2)
    assert steps_of(resume_candidates(run)) == [25, 20, 10]


def test_a_step_reached_again_belongs_to_the_later_attempt(tmp_path: Path) -> None:
    run = make_run(tmp_path, "demo", 10, 20, attempt=1)
    make_run(tmp_path, "demo", 30, attempt=2)
    make_run(tmp_path, "demo", 40, attempt=1)
    add_attempt(run, 1, None)
    add_attempt(run, 2, 20)
    assert steps_of(resume_candidates(run)) == [30, 20, 10]


def test_a_chain_of_resumes_is_followed(tmp_path: Path) -> None:
    run = make_run(tmp_path, "demo", 10, 20, 30, attempt=1)
    make_run(tmp_path, "demo", 25, 35, 45, attempt=2)
    make_run(tmp_path, "demo", 40, attempt=3)
    add_attempt(run, 1, None)
    add_attempt(run, 2, 20)
    add_attempt(run, 3, 35)
    assert steps_of(resume_candidates(run)) == [40, 35, 25, 20, 10]


def test_going_back_to_the_first_branch_leaves_the_second(tmp_path: Path) -> None:
    run = make_run(tmp_path, "demo", 10, 20, 30, attempt=1)
    make_run(tmp_path, "demo", 25, attempt=2)
    add_attempt(run, 1, None)
    add_attempt(run, 2, 20)
    add_attempt(run, 3, 30)
    assert steps_of(resume_candidates(run)) == [30, 20, 10]


def test_attempts_that_died_early_do_not_hide_what_came_before(tmp_path: Path) -> None:
    run = make_run(tmp_path, "demo", 10, 20)
    add_attempt(run, 1, None)
    add_attempt(run, 2, 20)
    add_attempt(run, 3, None)
    run.attempt(4).path.mkdir()
    assert resume_point(run) == run.checkpoint(20)


def test_a_lineage_whose_origin_is_gone_falls_back_to_older_ones(tmp_path: Path) -> None:
    run = make_run(tmp_path, "demo", 10, 30)
    add_attempt(run, 1, None)
    add_attempt(run, 2, 20)
    assert resume_point(run) == run.checkpoint(10)


def test_checkpoints_without_any_attempt_record_still_count(tmp_path: Path) -> None:
    run = make_run(tmp_path, "demo", 10)
    make_run(tmp_path, "demo", 20, attempt=2)
    assert steps_of(resume_candidates(run)) == [20, 10]
