"""``fork`` and ``--finish-first`` on real runs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from engine.checkpoint.describe import describe
from engine.run.events import read_events
from engine.run.liveness import RunState, assess
from engine.run.records import RunRecord
from tests.sdxl_tui.cli.cli_runner import CommandLine
from tests.sdxl_tui.cli.conftest import SHORTER

SETTINGS = [word for setting in (*SHORTER, "schedule.warmup_steps=0") for word in ("--set", setting)]


@pytest.fixture(autouse=True)
def _own_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def until_finished(cli: CommandLine, *runs: str) -> None:
    deadline = time.monotonic() + 180
    while not all(assess(cli.run(run)).state is RunState.FINISHED for run in runs):
        assert time.monotonic() < deadline, cli("runs").out
        time.sleep(0.2)


def test_what_a_stopped_run_has_left_is_said_before_anything_is_queued(copied: CommandLine) -> None:
    parent = copied("launch", "demo", *SETTINGS, "--set", "training.steps=400").out.strip()
    deadline = time.monotonic() + 60
    while not copied.run(parent).checkpoint(2).is_dir():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert copied("stop", parent, "--wait").code == 0
    stood = describe(copied.run(parent).checkpoint_folders()[-1]).step

    dry = copied("continue", parent, "--lr", "5e-5", "--steps", "2", "--finish-first", "--dry-run")
    assert f"First {parent} trains the {400 - stood} steps that are left" in dry.err
    assert "step-00000400" in dry.err and copied("queue", "--json").json["waiting"] == []


def test_the_child_of_a_finished_chain_has_the_weights_its_parent_ended_with(copied: CommandLine) -> None:
    parent = copied("launch", "demo", *SETTINGS, "--set", "training.steps=12", "--queue").out.strip()
    deadline = time.monotonic() + 60
    while not copied.run(parent).checkpoint(2).is_dir():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    said = copied("continue", parent, "--lr", "5e-5", "--steps", "2", "--finish-first")
    assert said.code == 0, said.err
    child = said.out.strip()
    assert "its end  not reached yet" in copied("tree", parent).out
    too_early = copied("inspect", child)
    assert too_early.code == 2
    until_finished(copied, parent, child)
    end = copied.run(parent).checkpoint(12)
    given = load_file(copied.run(child).start_weights)
    left = load_file(end / "trainable.safetensors")
    assert given.keys() == left.keys() and all((given[name] == left[name]).all() for name in given)
    record = RunRecord.read(copied.run(child).record)
    assert record is not None and record.parent is not None
    assert (record.parent.checkpoint, record.parent.step, record.parent.route) == ("step-00000012", 12, "continue")
    continued = [event for event in read_events(copied.run(child).events) if event["event"] == "continued"]
    assert [(event["parent_run"], event["checkpoint"]) for event in continued] == [(parent, "step-00000012")]


def test_a_chain_is_not_begun_where_there_is_nothing_to_finish(copied: CommandLine) -> None:
    run = copied("runs", "--json").json[0]["id"]
    said = copied("continue", run, "--lr", "5e-5", "--finish-first")
    assert said.code == 2 and "has finished: there is nothing to wait for" in said.err
    assert len(copied("runs", "--json").json) == 1


def test_a_fork_makes_siblings_that_train_one_after_another(copied: CommandLine) -> None:
    run = copied("runs", "--json").json[0]["id"]
    dry = copied("fork", f"{run}@2", "--lr", "1e-4,5e-5", "--steps", "2", "--dry-run")
    assert dry.code == 0 and "demo-lr1e-4" in dry.err and len(copied("runs", "--json").json) == 1
    said = copied("fork", f"{run}@2", "--lr", "1e-4,5e-5", "--steps", "2")
    assert said.code == 0, said.err
    children = said.out.split()
    assert [child.rpartition("-20")[0] for child in children] == ["demo-lr1e-4", "demo-lr5e-5"]
    assert "1 of 2 started, the others wait" in said.err
    until_finished(copied, *children)
    rates = [describe(copied.run(child).checkpoint(2)).groups[0].base_lr for child in children]
    assert rates == [1e-4, 5e-5]
    starts = [load_file(copied.run(child).start_weights) for child in children]
    assert all((starts[0][name] == starts[1][name]).all() for name in starts[0])


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--lr", "1e-4"), "makes one child only"),
        (("--lr", "1e-4,fast"), "'fast' is not a learning rate"),
        (("--schedule", "cosine,wavy"), "wavy"),
        ((), "nothing to try was given"),
        (("--lr", "1e-4,5e-5", "--warmup", "99999"), "a warmup of 99,999 steps does not fit"),
    ],
)
def test_a_fork_that_cannot_be_made_leaves_nothing(copied: CommandLine, words: tuple[str, ...], what: str) -> None:
    run = copied("runs", "--json").json[0]["id"]
    said = copied("fork", f"{run}@2", *words)
    assert said.code == 2 and what in said.err and "Traceback" not in said.err
    assert len(copied("runs", "--json").json) == 1


STAGES = """
[[stages]]
name = "rough"
steps = 300
schedule = "constant"

[[stages]]
name = "fine"
steps = 3
lr = 2e-4
keep = "state"
"""


def test_a_chain_of_stages_that_was_stopped_goes_on_in_the_stage_it_was_in(copied: CommandLine) -> None:
    profile = copied.workspace / "profiles" / "demo.toml"
    text = profile.read_text()
    profile.write_text(text.replace("steps = 6", "steps = 4") + STAGES)
    began = copied("launch", str(profile))
    assert began.code == 0, began.err
    rough, fine = began.out.split()
    assert [run.rpartition("-20")[0] for run in (rough, fine)] == ["demo-rough", "demo-fine"]
    deadline = time.monotonic() + 60
    while not copied.run(rough).checkpoint(4).is_dir():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert copied("stop", rough, "--wait").code == 0
    waiting = copied("queue", "--json").json["waiting"]
    assert [(one["run"], one["why"]) for one in waiting] == [(fine, f"after {rough}, which was stopped")]
    resumed = copied("resume", rough)
    assert resumed.code == 0, resumed.err
    until_finished(copied, rough, fine)
    assert [describe(copied.run(run).checkpoint_folders()[-1]).step for run in (rough, fine)] == [300, 3]
    end = describe(copied.run(fine).checkpoint(3))
    assert (end.groups[0].base_lr, end.schedule.kind.value) == (2e-4, "cosine")
    left, given = copied.run(rough).checkpoint(300), copied.run(fine).start_checkpoint
    assert (given / "optimizer.safetensors").read_bytes() == (left / "optimizer.safetensors").read_bytes()
    tree = copied("tree", rough).out
    assert f"{rough}  stage 1, finished 300/300" in tree and f"{fine}  stage 2, finished 3/3" in tree
    (family,) = copied("tree", rough, "--json").json
    assert (family["stage"], family["children"][0]["stage"]) == (1, 2)


def test_stages_wait_in_the_queue_together_and_none_is_left_if_one_cannot_be_made(copied: CommandLine) -> None:
    profile = copied.workspace / "profiles" / "demo.toml"
    text = profile.read_text()
    profile.write_text(text + STAGES)
    copied("queue", "pause")
    rough, fine = copied("launch", str(profile), "--queue", "--priority", "3").out.split()
    waiting = copied("queue", "--json").json["waiting"]
    assert [(one["run"], one["after"], one["priority"]) for one in waiting] == [(rough, None, 3), (fine, rough, 3)]
    profile.write_text(text + STAGES.replace("2e-4", "2e4"))
    said = copied("launch", str(profile), "--queue")
    assert said.code == 2 and "stages" in said.err
    assert len(copied("queue", "--json").json["waiting"]) == 2
