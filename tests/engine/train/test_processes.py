"""Two processes train what one with the doubled batch trains, resume exactly, and end together."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from engine.profile.problems import ProfileError
from engine.run.keeper import start_of
from engine.run.layout import RunDirectory
from engine.run.process import is_running
from tests.engine.train.train_runs import (
    EVERYTHING_RANDOM,
    Lab,
    arithmetic,
    events,
    metrics,
    same_tensors,
    start,
    state,
    status,
    train,
)

# 6 pictures in batches of 4: every other batch is short, and an odd accumulation mixes them.
SETTINGS = ("training.steps=4", "training.gradient_accumulation=3", "checkpoints.every_steps=2")


@pytest.fixture(scope="module")
def pair(lab: Lab) -> RunDirectory:
    """Two processes, batches of 2 each, with all that is random and an average of the weights."""
    run = lab.run(*SETTINGS, "launch.processes=2", "training.batch_size=2", "ema.decay=0.9", *EVERYTHING_RANDOM)
    assert start(run).wait(600) == 0, (run.attempt(1).log).read_text(encoding="utf-8")
    return run


def test_two_processes_equal_one_with_the_doubled_batch(lab: Lab) -> None:
    # With a usual rate; AdamW's small epsilon would make whole steps of the round-off where a gradient is nearly zero.
    gentle = ("optimizer.lr=1e-4", "optimizer.eps=1e-6", "schedule.warmup_steps=0")
    two = lab.run(*SETTINGS, *gentle, "launch.processes=2", "training.batch_size=2")
    one = lab.run(*SETTINGS, *gentle, "training.batch_size=4")
    process = start(two)
    assert train(one) == 0
    assert process.wait(600) == 0
    for ours, theirs in zip(metrics(two), metrics(one), strict=True):
        assert ours.loss == pytest.approx(theirs.loss, abs=1e-6)
        assert ours.grad_norm == pytest.approx(theirs.grad_norm, rel=1e-4)
        assert (ours.step, ours.epoch, ours.lr) == (theirs.step, theirs.epoch, theirs.lr)
    left, right = (load_file(run.checkpoint(4) / "trainable.safetensors") for run in (two, one))
    assert left.keys() == right.keys()
    assert max(float((left[name] - right[name]).abs().max()) for name in left) < 1e-6
    assert max(float(tensor.abs().max()) for name, tensor in left.items() if "lora_B" in name) > 1e-4
    for part in ("images_seen", "epoch", "data"):
        assert state(two.checkpoint(4))[part] == state(one.checkpoint(4))[part], part
    assert events(two, "dataset") and len(events(two, "started")) == 1


def test_a_resume_of_two_processes_is_exact(lab: Lab, pair: RunDirectory) -> None:
    again = lab.copy(pair, "pair-again")
    assert start(again, "--from", "step-00000002").wait(600) == 0
    assert arithmetic(metrics(again, attempt=2)) == arithmetic(metrics(pair)[2:])
    for name in ("trainable.safetensors", "optimizer.safetensors", "ema.safetensors"):
        assert same_tensors(again.checkpoint(4), pair.checkpoint(4), name)


def test_another_number_of_processes_rules_a_resume_out(lab: Lab, pair: RunDirectory) -> None:
    again = lab.copy(pair, "pair-alone")
    text = again.profile.read_text(encoding="utf-8")
    again.profile.chmod(0o600)
    again.profile.write_text(text.replace("processes = 2", "processes = 1"), encoding="utf-8")
    assert train(again, checkpoint="step-00000002") == 2
    assert "launch.processes was 2 and is now 1" in events(again, "failed")[-1]["message"]


def test_the_end_of_one_process_ends_the_run_in_words(lab: Lab) -> None:
    run = lab.run("training.steps=100000", "launch.processes=2")
    engine = start(run)
    deadline = time.monotonic() + 600
    while not metrics(run) and engine.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    (follower,) = _children(engine.pid)
    began = start_of(follower)
    os.kill(follower, signal.SIGKILL)
    assert engine.wait(60) == 2
    assert status(run).state == "failed"
    assert events(run, "failed")[0]["message"] == "process 2 of 2 was killed by SIGKILL"
    assert not is_running(follower, began)


def test_the_others_die_with_the_engine(lab: Lab) -> None:
    run = lab.run("training.steps=100000", "launch.processes=2")
    engine = start(run)
    deadline = time.monotonic() + 600
    while not _children(engine.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    (follower,) = _children(engine.pid)
    began = start_of(follower)
    time.sleep(1.0)  # until it has asked the kernel for that
    engine.kill()
    engine.wait(60)
    while is_running(follower, began) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(follower, began)


def test_one_card_for_several_processes_is_refused(lab: Lab) -> None:
    with pytest.raises(ProfileError, match="names one card"):
        lab.run("launch.processes=2", "launch.device=cuda:1")


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text(encoding="ascii").split()] if path.exists() else []
