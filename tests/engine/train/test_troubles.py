"""Full disks, damaged checkpoints, diverged trainings, unreadable pictures: nothing good is lost, and what is wrong is said."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.checkpoint.manifest import CheckpointError, verify
from engine.checkpoint.save import SaveError, save_checkpoint
from engine.run.errors import RunError
from engine.run.layout import RunDirectory
from engine.train import saver
from engine.train.attempt import run_engine
from engine.train.loop import optimizer_step
from engine.train.meter import StepResult
from engine.train.objective.loss import Objective
from engine.train.requests import Requests
from engine.train.saver import Patience
from engine.train.training import Training
from tests.engine.train.train_runs import Lab, events, make_lab, metrics, status, train


class FullDisk:
    """``os.fsync`` fails as on a full disk while ``is_full``, for files under ``folder``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.is_full = True
        fsync = os.fsync

        def sync(descriptor: int) -> None:
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            if self.is_full and path.is_relative_to(folder):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", sync)


def test_a_full_disk_costs_a_checkpoint_not_the_training(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.run("checkpoints.every_steps=2", "training.steps=6")
    disk = FullDisk(monkeypatch, run.checkpoints)
    disk.is_full = False

    def refuse(folder: Path, content: Any, **options: Any) -> Any:
        disk.is_full = content.step == 4
        return save_checkpoint(folder, content, **options)

    monkeypatch.setattr(saver, "save_checkpoint", refuse)
    monkeypatch.setattr("engine.train.saver.RETRY_SECONDS", 0.0)
    assert train(run) == 0
    saved = [event["step"] for event in events(run, "saved")]
    assert saved in ([2, 5, 6], [2, 6]), "the refusal is known after step 5 or 6, and then it is tried again"
    (failed,) = events(run, "save_failed")
    assert failed["step"] == 4
    assert "the disk is full" in failed["message"]
    assert [point.step for point in metrics(run)] == [1, 2, 3, 4, 5, 6]
    assert sorted(entry.name for entry in run.checkpoints.iterdir()) == [run.checkpoint(step).name for step in saved]


def test_a_failed_save_is_tried_again_after_a_minute_not_before(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.run("checkpoints.every_steps=1", "training.steps=6")
    tries: list[int] = []

    def refuse(folder: Path, content: Any, **options: Any) -> Any:
        tries.append(content.step)
        if len(tries) == 1:
            raise SaveError("the disk is full")
        return save_checkpoint(folder, content, **options)

    monkeypatch.setattr(saver, "save_checkpoint", refuse)
    assert train(run) == 0
    assert tries == [1, 6], "the minute did not pass within these steps; the last one is saved in any case"


def test_a_last_save_waits_for_space_for_a_while(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.run("training.steps=2", "schedule.warmup_steps=0")
    monkeypatch.setattr(saver, "Patience", lambda: Patience(stop=0.0, finish=60.0, pause=0.01))
    tries: list[int] = []

    def refuse(folder: Path, content: Any, **options: Any) -> Any:
        tries.append(content.step)
        if len(tries) < 3:
            raise SaveError("the disk is full")
        return save_checkpoint(folder, content, **options)

    monkeypatch.setattr(saver, "save_checkpoint", refuse)
    assert train(run) == 0
    assert len(events(run, "save_failed")) == 2
    assert status(run).state == "finished"
    verify(run.checkpoint(2), digests=True)


def test_a_stop_that_cannot_save_is_a_failure_that_says_so(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.run("checkpoints.rehearsal=false")
    FullDisk(monkeypatch, run.checkpoints)
    monkeypatch.setattr(saver, "Patience", lambda: Patience(stop=0.0))
    assert train(run, stop_at=2) == 2
    (failed,) = events(run, "failed")
    assert "step 2 and could not be saved: the disk is full" in failed["message"]
    assert "Free some space" in failed["hint"]
    assert status(run).state == "failed"
    assert list(run.checkpoints.iterdir()) == []


def test_old_checkpoints_go_as_new_ones_come(lab: Lab) -> None:
    run = lab.run("checkpoints.every_steps=2", "checkpoints.keep_last=2", "training.steps=8")
    assert train(run) == 0
    assert run.checkpoint_folders() == [run.checkpoint(6), run.checkpoint(8)]
    assert [event["checkpoint"] for event in events(run, "pruned")] == ["step-00000002", "step-00000004"]


def test_leftovers_of_an_interrupted_save_are_swept_at_the_start(lab: Lab) -> None:
    run = lab.run("training.steps=1", "schedule.warmup_steps=0")
    (run.checkpoints / ".tmp-1-99-abcd").mkdir()
    assert train(run) == 0
    assert run.checkpoint_folders() == list(run.checkpoints.iterdir())


@pytest.mark.parametrize("what", ["loss", "gradient norm"])
def test_a_diverged_training_ends_and_keeps_the_last_good_checkpoint(
    lab: Lab, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = lab.run("checkpoints.every_steps=1")
    calls, compute_loss = 0, Objective.loss

    def diverge(*arguments: Any, **options: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        loss = compute_loss(*arguments, **options)
        if calls < 3:
            return loss
        # The root of a negative zero has a finite value and an infinite slope.
        return loss * float("nan") if what == "loss" else loss + (loss - loss).abs().sqrt()

    monkeypatch.setattr(Objective, "loss", diverge)
    assert train(run) == 2
    assert run.checkpoint_folders() == [run.checkpoint(1), run.checkpoint(2)]
    assert [(event["step"], event["what"]) for event in events(run, "nonfinite")] == [(3, what)]
    (failed,) = events(run, "failed")
    assert f"the {what} of step 3 is" in failed["message"]
    assert "lower LR" in failed["hint"]
    assert all(point.loss is not None for point in metrics(run))


def test_weights_that_are_not_finite_are_never_saved(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.run("checkpoints.every_steps=2")

    def stepped(training: Training) -> StepResult:
        result = optimizer_step(training)
        if result.step == 2:
            training.optimizer.parameters[5].data[0, 0] = float("inf")
        return result

    monkeypatch.setattr("engine.train.loop.optimizer_step", stepped)
    assert train(run) == 2
    assert run.checkpoint_folders() == []
    assert events(run, "nonfinite")[0]["what"] == "weights"


@pytest.fixture(scope="module")
def saved(lab: Lab) -> RunDirectory:
    """A run stopped at step 3, with checkpoints at 2 and 3."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("engine.train.attempt.set_up_logging", lambda *_: None)
        run = lab.run("checkpoints.every_steps=2")
        assert train(run, stop_at=3) == 0
    return run


def damage(checkpoint: Path, name: str = "optimizer.safetensors") -> None:
    """Flip a bit of a file."""
    data = bytearray((checkpoint / name).read_bytes())
    data[-1] ^= 1
    (checkpoint / name).write_bytes(data)


def test_a_damaged_checkpoint_is_refused_by_name(lab: Lab, saved: RunDirectory) -> None:
    run = lab.copy(saved, "damaged-named")
    damage(run.checkpoint(3))
    with pytest.raises(CheckpointError, match=r"optimizer\.safetensors has other contents") as error:
        train(run, checkpoint="step-00000003")
    assert error.value.where == str(run.checkpoint(3))
    assert len(run.existing_attempts()) == 1, "no attempt was begun"


def test_a_damaged_newest_checkpoint_is_passed_over_with_a_warning(lab: Lab, saved: RunDirectory) -> None:
    run = lab.copy(saved, "damaged-newest")
    damage(run.checkpoint(3))
    assert train(run, stop_at=4) == 0
    assert events(run, "resumed")[0]["step"] == 2
    (warning,) = events(run, "warning")
    assert "step-00000003" in warning["message"]
    assert "optimizer.safetensors" in warning["message"]


def test_a_run_whose_checkpoints_are_all_damaged_does_not_start_anew_by_itself(lab: Lab, saved: RunDirectory) -> None:
    run = lab.copy(saved, "damaged-all")
    for checkpoint in run.checkpoint_folders():
        damage(checkpoint)
    with pytest.raises(CheckpointError, match="none of the run's checkpoints is whole"):
        train(run)


def edit_profile(run: RunDirectory, before: str, after: str) -> None:
    """Change a run's snapshot as a person might."""
    text = run.profile.read_text()
    assert before in text
    run.profile.chmod(0o600)
    run.profile.write_text(text.replace(before, after))


def test_another_rank_is_refused_at_a_resume(lab: Lab, saved: RunDirectory) -> None:
    run = lab.copy(saved, "other-rank")
    edit_profile(run, "rank = 2", "rank = 4")
    assert train(run) == 2
    (failed,) = events(run, "failed")
    assert "network.rank was 2 and is now 4" in failed["message"]
    assert "resize" in failed["hint"]


def test_another_rate_is_not_ignored_by_a_resume(lab: Lab, saved: RunDirectory) -> None:
    run = lab.copy(saved, "other-rate")
    edit_profile(run, "lr = 0.01", "lr = 0.5")
    assert train(run) == 2
    (failed,) = events(run, "failed")
    assert "optimizer.lr was 0.01 and is now 0.5: a resume would ignore that" in failed["message"]
    assert "--keep-stored" in failed["hint"]
    assert run.checkpoint_folders() == [run.checkpoint(2), run.checkpoint(3)]


def test_other_pictures_are_refused_at_a_resume(tmp_path: Path) -> None:
    lab = make_lab(tmp_path)
    run = lab.run()
    assert train(run, stop_at=1) == 0
    next(lab.pictures.glob("*.txt")).write_text("another caption")
    assert train(run) == 2
    assert "not those of the checkpoint" in events(run, "failed")[0]["message"]


def test_an_unreadable_picture_is_left_out_and_named(tmp_path: Path) -> None:
    lab = make_lab(tmp_path)
    broken = sorted(lab.pictures.glob("*.png"))[2]
    broken.write_bytes(broken.read_bytes()[:400])
    run = lab.run("training.steps=1", "schedule.warmup_steps=0")
    assert train(run) == 0
    assert any(event["where"] == str(broken) for event in events(run, "warning"))
    dataset = events(run, "dataset")[0]
    assert (dataset["images"], dataset["skipped"]) == (5, 1)


def test_no_readable_picture_is_a_failure_that_says_so(tmp_path: Path) -> None:
    lab = make_lab(tmp_path)
    for picture in lab.pictures.glob("*.png"):
        picture.write_bytes(b"")
    run = lab.run()
    assert train(run) == 2
    assert "none of 6 images can be used" in events(run, "failed")[0]["message"]
    assert status(run).state == "failed"


def test_a_defect_leaves_its_type_in_an_event_and_exits_1(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = lab.run()

    def break_down(_: Training) -> StepResult:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("engine.train.loop.optimizer_step", break_down)
    assert train(run) == 1
    (failed,) = events(run, "failed")
    assert (failed["error"], failed["message"]) == ("ZeroDivisionError", "a defect")
    assert status(run).state == "failed"
    assert "Traceback" in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError(),
    ],
    ids=["GPU", "GPU, of a library", "host"],
)
def test_too_little_memory_says_what_to_lower(lab: Lab, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.run()

    def run_out(_: Training) -> StepResult:
        raise error

    monkeypatch.setattr("engine.train.loop.optimizer_step", run_out)
    assert train(run) == 2
    (failed,) = events(run, "failed")
    assert "memory is full" in failed["message"]
    assert "training.batch_size" in failed["where"]


def test_samples_that_fail_are_a_warning(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.run('samples.prompts=["a"]', "training.steps=1", "schedule.warmup_steps=0")

    def run_out(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("engine.train.sampler.draw_samples", run_out)
    assert train(run) == 0
    assert "no samples of step 1" in events(run, "warning")[0]["message"]
    assert status(run).state == "finished"


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run"):
        run_engine(tmp_path, attempt=None, lock_fd=None, from_checkpoint=None, requests=Requests())


def test_a_checkpoint_that_does_not_exist_is_refused(saved: RunDirectory) -> None:
    for name in ("step-00000099", "../step-00000002", ".tmp-3-1-a"):
        with pytest.raises(CheckpointError, match="there is no checkpoint"):
            train(saved, checkpoint=name)
