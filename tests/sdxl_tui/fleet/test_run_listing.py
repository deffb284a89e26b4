"""The list of runs: complete, in order, fast, and never undone by one damaged folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.durable import write_json_atomically
from engine.run.attempt import begin_attempt, record_own_exit, record_own_process
from engine.run.errors import RunError
from engine.run.events import EventLog
from engine.run.layout import RunDirectory
from engine.run.liveness import RunState
from engine.run.lock import RunLock
from engine.run.records import Parent, RunRecord
from engine.run.status import StatusWriter
from sdxl_tui.fleet import runs
from sdxl_tui.fleet.runs import RunSummary, find_run, list_runs
from sdxl_tui.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "workspace")
    workspace.create()
    return workspace


def add_run(workspace: Workspace, run_id: str, created: float, *, parent: Parent | None = None) -> RunDirectory:
    run = RunDirectory(workspace.runs / run_id)
    run.path.mkdir()
    record = RunRecord(run_id, run_id.partition("-")[0], created, None, "0.1.0", parent)
    write_json_atomically(run.record, record.to_json(), durable=False)
    return run


def finish(run: RunDirectory, state: str = "finished") -> None:
    attempt = begin_attempt(run)
    record_own_process(attempt, ["engine"], None)
    StatusWriter(run, 1).update(
        state=state, step=30, total_steps=40, loss=0.2, loss_avg=0.1, lr={"unet": 1e-4}, steps_per_second=5.0,
        eta_seconds=2.0, device="cpu", checkpoint="step-00000030", message="all well",
    )  # fmt: skip
    EventLog(run.events, 1).write(state, step=30)
    record_own_exit(attempt, 0)


def test_without_a_runs_folder_there_are_no_runs(tmp_path: Path) -> None:
    assert list_runs(Workspace(tmp_path / "nowhere")) == []


def test_runs_are_listed_newest_first_with_what_is_known_of_them(workspace: Workspace) -> None:
    finish(add_run(workspace, "old-1", 100.0))
    add_run(workspace, "new-1", 300.0)
    finish(add_run(workspace, "child-1", 200.0, parent=Parent("old-1", "step-00000020", 20, "continue")), "stopped")
    new, child, old = list_runs(workspace)
    assert [new.id, child.id, old.id] == ["new-1", "child-1", "old-1"]
    assert (old.state, old.alive, old.name, old.parent) == (RunState.FINISHED, False, "old", None)
    assert (old.step, old.total_steps, old.share) == (30, 40, 0.75)
    assert (old.loss, old.loss_avg, old.lr, old.steps_per_second) == (0.2, 0.1, 1e-4, 5.0)
    assert (old.device, old.checkpoint, old.message, old.reason) == ("cpu", "step-00000030", "all well", "")
    assert old.eta_seconds is None, "an ended run has no time left"
    assert (child.state, child.parent) == (RunState.STOPPED, "old-1")
    assert (new.state, new.step, new.total_steps, new.share, new.lr) == (RunState.QUEUED, 0, 0, None, None)


def test_a_live_run_has_its_time_left(workspace: Workspace) -> None:
    run = add_run(workspace, "demo-1", 1.0)
    with RunLock.acquire(run.lock):
        record_own_process(begin_attempt(run), ["engine"], None)
        StatusWriter(run, 1).update(state="training", step=10, total_steps=40, eta_seconds=6.0)
        (summary,) = list_runs(workspace)
    assert (summary.state, summary.alive, summary.eta_seconds) == (RunState.TRAINING, True, 6.0)


def test_before_the_engine_speaks_the_profile_says_how_many_steps(workspace: Workspace) -> None:
    run = add_run(workspace, "demo-1", 1.0)
    run.profile.write_text("[training]\nsteps = 60\n")
    assert list_runs(workspace)[0].total_steps == 60
    run.attempt(1).path.mkdir(parents=True)
    run.attempt(1).profile.write_text("[training]\nsteps = 70\n")
    assert list_runs(workspace)[0].total_steps == 70, "what its newest start trains"
    shutil.rmtree(run.attempts)
    run.profile.write_text("[training]\nsteps = 'many'\n")
    assert list_runs(workspace)[0].total_steps == 0


def test_what_is_no_run_is_left_out(workspace: Workspace) -> None:
    (workspace.runs / ".new-12-abcd").mkdir()
    (workspace.runs / "notes.txt").write_text("mine")
    (workspace.runs / "a folder").mkdir()
    assert list_runs(workspace) == []


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b'{"id": 5}', b'{"created": "x"}', b"\x00" * 100, None])
def test_a_damaged_run_is_a_row_with_a_reason(workspace: Workspace, damage: bytes | None) -> None:
    finish(add_run(workspace, "whole-1", 1.0))
    broken = RunDirectory(workspace.runs / "broken-1")
    broken.path.mkdir()
    if damage is not None:
        for path in (broken.record, broken.status, broken.events, broken.profile, broken.attempts, broken.lock):
            path.write_bytes(damage)
    rows = {row.id: row for row in list_runs(workspace)}
    assert rows["broken-1"].reason.startswith("run.json is missing or damaged")
    assert rows["broken-1"].name == "broken-1"
    assert abs(rows["broken-1"].created - time.time()) < 60
    assert rows["whole-1"].state is RunState.FINISHED


def test_text_of_a_run_cannot_reach_the_terminal_raw(workspace: Workspace) -> None:
    run = add_run(workspace, "demo-1", 1.0)
    hostile = "a\x1b]52;c;aGk=\x07b\x9b31m\u202ec"
    StatusWriter(run, 1).update(message=hostile, device=hostile, checkpoint=hostile, state="training")
    record = RunRecord("demo-1", hostile, 1.0, None, "0.1.0", Parent(hostile, "step-00000001", 1, "continue"))
    write_json_atomically(run.record, record.to_json())
    EventLog(run.events, 1).write("failed", message=hostile)
    record_own_exit(begin_attempt(run), 1)
    (row,) = list_runs(workspace)
    shown = [row.name, row.message, row.device, row.checkpoint or "", row.parent or "", row.reason, row.liveness.reason]
    assert row.state is RunState.FAILED
    assert not [text for text in shown if not text or any(control in text for control in "\x1b\x07\x9b\u202e")]


def test_a_run_is_found_by_id_by_beginning_and_by_age(workspace: Workspace) -> None:
    for run_id, created in [("demo-1", 1.0), ("demo-10", 2.0), ("style-1", 3.0), ("char-1", 0.0)]:
        add_run(workspace, run_id, created)
    assert find_run(workspace, "demo-1").id == "demo-1"
    assert find_run(workspace, "sty").id == "style-1"
    assert find_run(workspace, "latest").id == "style-1"
    assert find_run(workspace, "demo-1") == RunDirectory(workspace.runs / "demo-1")


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("demo", "2 runs begin with 'demo'", "demo-1, demo-10"),
        ("dmeo-1", "there is no run 'dmeo-1'", "demo-1"),
        ("", "there is no run ''", "style-1"),
        ("../demo-1", "there is no run '../demo-1'", "demo-1"),
    ],
)
def test_what_names_no_run_or_several_is_answered_with_the_nearest(
    workspace: Workspace, text: str, what: str, hint: str
) -> None:
    for run_id in ("demo-1", "demo-10", "style-1"):
        add_run(workspace, run_id, 1.0)
    with pytest.raises(RunError, match=what) as error:
        find_run(workspace, text)
    assert error.value.hint is not None and hint in error.value.hint


def test_in_an_empty_workspace_the_way_to_a_first_run_is_shown(workspace: Workspace) -> None:
    with pytest.raises(RunError, match="no runs yet") as error:
        find_run(workspace, "latest")
    assert "sdxl-tui demo" in str(error.value)


def test_listing_fifty_runs_takes_a_fraction_of_the_time_one_can_see(workspace: Workspace) -> None:
    for number in range(50):
        finish(add_run(workspace, f"demo-{number:03d}", float(number)))

    def seconds() -> float:
        begun = time.process_time()  # of the processor, so that a busy machine is no reason to fail
        assert len(list_runs(workspace)) == 50
        return time.process_time() - begun

    assert min(seconds() for _ in range(5)) < 0.1


def test_asking_again_looks_only_at_runs_that_may_have_changed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, queued, ended = (add_run(workspace, f"{name}-1", 1.0) for name in ("live", "queued", "ended"))
    finish(ended)
    with RunLock.acquire(live.lock):
        record_own_process(begin_attempt(live), ["engine"], None)
        first = list_runs(workspace)
        looked_at = []
        summarize = runs.summarize

        def noted(run: RunDirectory) -> RunSummary:
            looked_at.append(run)
            return summarize(run)

        monkeypatch.setattr(runs, "summarize", noted)
        assert list_runs(workspace, first) == first
    assert sorted(run.id for run in looked_at) == [live.id, queued.id]


def test_an_ended_run_that_is_started_again_deleted_or_written_to_is_seen(workspace: Workspace) -> None:
    again, deleted, renamed, written = (add_run(workspace, f"{name}-1", 1.0) for name in ("a", "d", "r", "w"))
    for run in (again, deleted, renamed, written):
        finish(run)
    first = list_runs(workspace)
    attempt = begin_attempt(again)
    shutil.rmtree(deleted.path)
    renamed.path.rename(workspace.runs / "s-1")
    StatusWriter(written, 1).update(state="finished", step=39)
    rows = {row.id: row for row in list_runs(workspace, first)}
    assert sorted(rows) == ["a-1", "s-1", "w-1"]
    assert (rows["a-1"].liveness.attempt, rows["a-1"].state) == (attempt.number, RunState.LOST)
    assert rows["w-1"].step == 39
    assert list(rows.values()) == list_runs(workspace)


def test_listing_loads_none_of_the_heavy_libraries() -> None:
    program = "import sys, json, sdxl_tui.fleet.runs; print(json.dumps(sorted(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(result.stdout)}
    assert not loaded & {"pydantic", "tomlkit", "textual", "rich", "torch", "numpy", "argparse"}
    assert "engine" in loaded
