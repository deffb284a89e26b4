"""How an attempt begins: by hand or under a keeper, fresh, resumed, or with another run's weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from engine import __main__ as command_line
from engine.profile.load import read_snapshot
from engine.run.attempt import begin_attempt
from engine.run.create import Inheritance
from engine.run.errors import RunBusy, RunError
from engine.run.layout import RunDirectory
from engine.run.lock import RunLock, is_held
from engine.run.records import ExitRecord, Parent, ProcessRecord
from engine.schedule import Kind, Schedule
from engine.train.assemble import assemble
from engine.train.attempt import run_engine
from engine.train.compute import set_up_compute
from engine.train.reporter import Reporter
from engine.train.requests import Requests
from tests.engine.train.train_runs import PICTURES, Lab, events, metrics, state, status, train


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """The command line takes over signals; give them back."""
    handlers = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]
    yield
    for number, handler in handlers:
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def parent(lab: Lab) -> RunDirectory:
    """A run of 3 steps, finished."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("engine.train.attempt.set_up_logging", lambda *_: None)
        run = lab.run("training.steps=3", "schedule.warmup_steps=1", "optimizer.lr=0.02")
        assert train(run) == 0
    return run


def test_a_fresh_run_tells_its_story_in_events(parent: RunDirectory) -> None:
    told = [event["event"] for event in events(parent)]
    before, after = (
        ["started", "base", "cached", "cached", "dataset", "estimate", "rehearsed"],
        ["estimate_result", "finished"],
    )
    assert told == [*before, "saved", *after]
    started = events(parent, "started")[0]
    assert (started["step"], started["total_steps"], started["device"]) == (0, 3, "cpu")
    assert started["versions"]["torch"] == torch.__version__
    assert events(parent, "dataset")[0]["batches_per_epoch"] == 3
    word = status(parent)
    assert (word.state, word.step, word.total_steps, word.epoch, word.epochs) == ("finished", 3, 3, 1, 1)
    assert (word.checkpoint, word.eta_seconds, word.progress) == ("step-00000003", 0.0, None)
    assert word.loss == metrics(parent)[-1].loss
    assert word.lr == metrics(parent)[-1].lr


def test_metrics_carry_every_measurement(parent: RunDirectory) -> None:
    for point in metrics(parent):
        assert point.attempt == 1
        assert point.grad_norm is not None
        assert point.step_seconds is not None
        assert point.step_seconds > 0
        assert point.images_per_second == pytest.approx(2 / point.step_seconds)
        assert point.memory_mb is not None
        assert 50 < point.memory_mb < 100_000


def test_the_lora_file_says_what_was_really_used(parent: RunDirectory) -> None:
    with safe_open(parent.checkpoint(3) / "lora.safetensors", framework="pt") as file:
        metadata = file.metadata()
    assert metadata["ss_learning_rate"] == "0.02"
    assert metadata["ss_lr_scheduler"] == "cosine"
    assert metadata["ss_lr_warmup_steps"] == "1"
    assert (metadata["ss_steps"], metadata["ss_max_train_steps"]) == ("3", "3")
    assert metadata["ss_optimizer"] == "torch.optim.adamw.AdamW(weight_decay=0.01,betas=(0.9, 0.999),eps=1e-08)"
    assert json.loads(metadata["ss_dataset_dirs"]) == {"pictures": {"n_repeats": 1, "img_count": PICTURES}}
    assert "in a forest" in json.loads(metadata["ss_tag_frequency"])["pictures"]


def test_a_child_run_starts_from_its_parents_weights_and_nothing_else_of_it(lab: Lab, parent: RunDirectory) -> None:
    weights = parent.checkpoint(3) / "trainable.safetensors"
    origin = Parent(parent.id, "step-00000003", 3, "continue")
    child = lab.run("optimizer.lr=0.001", parent=origin, inherits=Inheritance(weights=weights))
    reporter = Reporter(child, 1)
    training = assemble(child, 1, None, reporter, Requests())
    reporter.close()
    expected = load_file(weights)
    assert training.adapter.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in training.adapter.state_dict().items())
    assert training.optimizer.tensors() == {}
    assert training.optimizer.base_lrs == {"unet": 0.001}
    assert (training.progress.step, training.order.position) == (0, 0)
    assert training.schedule == Schedule(Kind.COSINE, 8, 2)
    (continued,) = events(child, "continued")
    assert (continued["parent_run"], continued["checkpoint"]) == (parent.id, "step-00000003")


def test_a_resumed_child_goes_on_from_its_own_checkpoint(lab: Lab, parent: RunDirectory) -> None:
    weights = parent.checkpoint(3) / "trainable.safetensors"
    child = lab.run(parent=Parent(parent.id, "step-00000003", 3, "continue"), inherits=Inheritance(weights=weights))
    assert train(child, stop_at=2) == 0
    assert train(child, stop_at=3) == 0
    assert len(events(child, "continued")) == 1
    assert events(child, "resumed")[0]["step"] == 2
    assert ProcessRecord.read(child.attempt(2).process).resumed_from == "step-00000002"  # type: ignore[union-attr]


def test_start_weights_of_another_rank_are_refused(lab: Lab, parent: RunDirectory) -> None:
    weights = parent.checkpoint(3) / "trainable.safetensors"
    child = lab.run(
        "network.rank=4",
        parent=Parent(parent.id, "step-00000003", 3, "continue"),
        inherits=Inheritance(weights=weights),
    )
    assert train(child) == 2
    assert "rank" in events(child, "failed")[0]["message"]


def test_under_a_keeper_it_uses_the_attempt_and_the_lock_it_was_given(lab: Lab) -> None:
    run = lab.run("training.steps=1", "schedule.warmup_steps=0")
    with RunLock.acquire(run.lock) as lock:
        attempt = begin_attempt(run)
        own = os.dup(lock.fileno())
        code = run_engine(run.path, attempt=attempt.number, lock_fd=own, from_checkpoint=None, requests=Requests())
        assert is_held(run.lock), "the keeper's descriptor still holds it"
    assert code == 0
    assert not attempt.process.exists(), "the keeper records the process"
    assert ExitRecord.read(attempt.exit) is None, "and how it ended"
    assert len(run.existing_attempts()) == 1


def test_under_a_keeper_a_damaged_checkpoint_is_told_in_an_event(lab: Lab, parent: RunDirectory) -> None:
    run = lab.copy(parent, "kept-damaged")
    (run.checkpoint(3) / "state.json").write_text("{}")
    with RunLock.acquire(run.lock) as lock:
        attempt = begin_attempt(run)
        own = os.dup(lock.fileno())
        code = run_engine(
            run.path, attempt=attempt.number, lock_fd=own, from_checkpoint="step-00000003", requests=Requests()
        )
    assert code == 2
    assert "state.json" in events(run, "failed")[0]["message"]
    assert status(run).state == "failed"


def test_a_run_that_is_alive_is_not_started_twice(lab: Lab) -> None:
    run = lab.run()
    with RunLock.acquire(run.lock), pytest.raises(RunBusy, match="already running"):
        train(run)
    assert run.existing_attempts() == []


def test_a_descriptor_that_is_not_the_lock_is_refused(lab: Lab, tmp_path: Path) -> None:
    run = lab.run()
    run.lock.touch()
    (tmp_path / "other").touch()
    descriptor = os.open(tmp_path / "other", os.O_RDWR)
    with pytest.raises(RunError, match="not this run's lock"):
        run_engine(run.path, attempt=1, lock_fd=descriptor, from_checkpoint=None, requests=Requests())
    with pytest.raises(RunError, match="belong together"):
        run_engine(run.path, attempt=1, lock_fd=None, from_checkpoint=None, requests=Requests())
    os.close(descriptor)


def test_fp16_on_a_cpu_and_a_gpu_that_is_not_there_are_refused(lab: Lab) -> None:
    run = lab.run("precision.compute=fp16")
    assert train(run) == 2
    failed = events(run, "failed")[0]
    assert (failed["message"], failed["where"]) == ("fp16 needs a GPU", "precision.compute")
    run = lab.run(f"launch.device=cuda:{torch.cuda.device_count()}")
    assert train(run) == 2
    assert events(run, "failed")[0]["where"] == "launch.device"


def test_inspect_prints_the_stored_schedule(parent: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["inspect", str(parent.checkpoint(3))]) == 0
    text = capsys.readouterr().out
    for part in (
        parent.id,
        "3 of 3",
        "cosine, total steps 3, warmup steps 1",
        "base LR 2.0000e-02",
        f"last step used {metrics(parent)[-1].lr['unet']:.4e}",
        "none: the schedule is done",
        "whole",
        f"{state(parent.checkpoint(3))['network']['modules']} modules",
    ):
        assert part in text


def test_inspect_names_a_damaged_file(lab: Lab, parent: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    run = lab.copy(parent, "inspected")
    path = run.checkpoint(3) / "lora.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert command_line.main(["inspect", str(run.checkpoint(3))]) == 0
    assert "damaged: lora.safetensors" in capsys.readouterr().out


def test_inspect_of_something_else_is_one_message_and_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["inspect", str(tmp_path / "nothing")]) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("command", [[], ["train"], ["inspect"]])
def test_every_command_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.main([*command, "--help"])
    assert ended.value.code == 0
    assert "usage: python -m engine" in capsys.readouterr().out


def test_help_inspect_and_refusals_load_no_training_library(lab: Lab, parent: RunDirectory) -> None:
    program = """
import sys
from engine.__main__ import main
assert main(["inspect", sys.argv[1]]) == 0
assert main(["train", sys.argv[2]]) == 2
assert not {"torch", "diffusers", "transformers", "peft", "accelerate", "numpy"} & set(sys.modules)
"""
    arguments = [sys.executable, "-c", program, str(parent.checkpoint(3)), str(parent.path)]
    result = subprocess.run(arguments, capture_output=True, text=True, cwd=Path(__file__).parents[3], check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(("wanted", "size", "expected"), [(3, 10**6, 3), (0, 10**6, 1), (0, 10**9, 2)])
def test_a_small_model_gets_one_thread_unless_told_otherwise(lab: Lab, wanted: int, size: int, expected: int) -> None:
    profile = read_snapshot(lab.run(f"launch.cpu_threads={wanted}").profile)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        set_up_compute(profile, model_bytes=size)
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)
