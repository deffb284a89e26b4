"""Deleting by hand: what goes is said in bytes, and nothing goes that a run or its user still needs."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.checkpoint.pins import pin, unpin
from engine.run.layout import RunDirectory
from engine.run.liveness import assess
from engine.run.lock import RunLock
from engine.run.records import Parent, RunRecord
from engine.run.status import StatusWriter
from sdxl_tui.fleet.deletion import delete, plan_deletion
from sdxl_tui.fleet.queue.record import Entry, Queue, queue_file
from sdxl_tui.workspace import Workspace
from tests.engine.checkpoint.checkpoint_files import add_attempt, make_run


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """An ended run with checkpoints at 10, 20, 30 and 40."""
    run = make_run(tmp_path / "runs", "demo", 10, 20, 30, 40)
    run.record.write_text(json.dumps(RunRecord("demo", "demo", 1.0, None, "0").to_json()))
    add_attempt(run, 1, None)
    (run.attempt(1).exit).write_text('{"code": 0, "signal": null, "cause": "exited", "message": "", "ended": 2.0}')
    return run


@pytest.fixture
def alive(run: RunDirectory) -> Iterator[RunDirectory]:
    """The run, resumed from step 20 and at work."""
    add_attempt(run, 2, 20)
    with RunLock.acquire(run.lock):
        yield run


def steps(run: RunDirectory) -> list[int]:
    return [int(folder.name[5:]) for folder in run.checkpoint_folders()]


def all_of(run: RunDirectory) -> list[Path]:
    return run.checkpoint_folders()


def refused(folders: list[Path]) -> dict[str, str]:
    return {item.folder.name: item.reason for item in plan_deletion(folders).refused}


def damage(folder: Path) -> None:
    """Change one byte: the sizes still fit."""
    file = folder / "trainable.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"#")


def test_a_plan_changes_nothing_and_says_how_many_bytes(run: RunDirectory) -> None:
    folders = [run.checkpoint(10), run.checkpoint(20), run.checkpoint(10)]
    plan = plan_deletion(folders)
    assert [going.folder for going in plan.goes] == folders[:2]
    assert plan.bytes == sum(file.stat().st_size for folder in folders[:2] for file in folder.iterdir())
    assert plan.refused == ()
    assert steps(run) == [10, 20, 30, 40]
    done = delete(plan)
    assert (done.goes, done.bytes, done.refused) == (plan.goes, plan.bytes, ())
    assert steps(run) == [30, 40]
    assert [entry.name for entry in run.checkpoints.iterdir() if entry.name.startswith(".")] == []


def test_a_pinned_one_stays_also_if_it_was_pinned_after_the_plan(run: RunDirectory) -> None:
    plan = plan_deletion([run.checkpoint(10), run.checkpoint(20)])
    pin(run, "step-00000010")
    assert refused([run.checkpoint(10)]) == {"step-00000010": "it is pinned"}
    done = delete(plan)
    assert [item.reason for item in done.refused] == ["it is pinned"]
    assert steps(run) == [10, 30, 40]
    unpin(run, "step-00000010")
    assert not refused([run.checkpoint(10)])


def test_the_last_whole_one_stays(run: RunDirectory) -> None:
    assert refused(all_of(run)) == {"step-00000040": "it is the last whole one of its run"}
    delete(plan_deletion(all_of(run)))
    assert steps(run) == [40]
    assert refused(all_of(run)) == {"step-00000040": "it is the last whole one of its run"}


def test_one_that_only_looks_whole_is_not_what_stays(run: RunDirectory) -> None:
    damage(run.checkpoint(40))
    assert refused([run.checkpoint(step) for step in (10, 20, 30)]) == {
        "step-00000030": "it is the last whole one of its run"
    }
    assert refused(all_of(run)) == {"step-00000030": "it is the last whole one of its run"}
    delete(plan_deletion(all_of(run)))
    assert steps(run) == [30]


def test_damaged_ones_may_all_go(run: RunDirectory) -> None:
    for folder in all_of(run):
        (folder / "manifest.json").unlink()
    assert refused(all_of(run)) == {}
    delete(plan_deletion(all_of(run)))
    assert steps(run) == []


def test_where_a_live_run_began_and_what_it_replaces_stays(alive: RunDirectory) -> None:
    (alive.checkpoints / ".tmp-30-123-abcd").mkdir()
    folders = [alive.checkpoint(step) for step in (10, 20, 30)]
    assert refused(folders) == {
        "step-00000020": "its run is alive and began there",
        "step-00000030": "it is being written now",
    }
    delete(plan_deletion(folders))
    assert steps(alive) == [20, 30, 40]


def test_a_run_that_is_just_being_started_keeps_all(run: RunDirectory) -> None:
    run.attempt(2).path.mkdir(parents=True)
    with RunLock.acquire(run.lock):
        assert refused([run.checkpoint(10)]) == {"step-00000010": "its run is just being started"}
    assert refused([run.checkpoint(10)]) == {}


def test_a_run_that_was_resumed_after_the_plan_keeps_what_it_began_at(run: RunDirectory) -> None:
    plan = plan_deletion([run.checkpoint(10), run.checkpoint(20)])
    add_attempt(run, 2, 20)
    with RunLock.acquire(run.lock):
        done = delete(plan)
    assert [(item.folder.name, item.reason) for item in done.refused] == [
        ("step-00000020", "its run is alive and began there")
    ]
    assert steps(run) == [20, 30, 40]


def test_what_is_no_checkpoint_of_a_run_is_refused(run: RunDirectory, tmp_path: Path) -> None:
    stranger = make_run(tmp_path / "elsewhere", "not-a-run", 10).checkpoint(10)
    link = run.checkpoint(50)
    link.symlink_to(stranger)
    folders = [run.path, tmp_path, stranger, run.checkpoint(60), link, run.checkpoints]
    plan = plan_deletion(folders)
    assert plan.goes == ()
    assert [item.reason for item in plan.refused] == ["it is not a checkpoint of a run"] * len(folders)
    delete(plan)
    assert stranger.exists() and steps(run) == [10, 20, 30, 40, 50]


def test_one_that_cannot_be_moved_is_said_to_stay(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path, __: Path) -> Path:
        raise PermissionError

    plan = plan_deletion([run.checkpoint(10)])
    monkeypatch.setattr(Path, "rename", refuse)
    done = delete(plan)
    assert done.goes == () and "permissions" in done.refused[0].reason
    assert steps(run) == [10, 20, 30, 40]


def waits(run: RunDirectory, name: str) -> None:
    """Put a run into the queue of the workspace around ``run``."""
    file = queue_file(Workspace(run.path.parent.parent))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(Queue((Entry(name, 1.0),)).to_json()))


def test_the_newest_stays_while_a_child_waits_for_its_runs_end(run: RunDirectory, tmp_path: Path) -> None:
    """The child would else begin at an older one without a word."""
    child = RunDirectory(tmp_path / "runs" / "child")
    child.path.mkdir()
    parent = Parent(run.id, "", 40, "continue")
    child.record.write_text(json.dumps(RunRecord("child", "child", 2.0, None, "0", parent=parent).to_json()))
    waits(run, "child")
    folders = all_of(run)
    assert refused(folders) == {"step-00000040": "child waits in the queue and begins there"}
    delete(plan_deletion(folders))
    assert steps(run) == [40]


def test_the_newest_whole_one_stays_while_its_run_waits_to_be_resumed(run: RunDirectory) -> None:
    waits(run, run.id)
    damage(run.checkpoint(40))
    assert refused(all_of(run)) == {"step-00000030": "its run waits in the queue and goes on from there"}


def test_another_run_in_the_queue_keeps_nothing_and_a_queue_that_cannot_be_read_keeps_the_newest(
    run: RunDirectory,
) -> None:
    waits(run, "other")
    assert refused(all_of(run)[1:]) == {}
    queue_file(Workspace(run.path.parent.parent)).write_text('{"entries": 5')
    assert list(refused(all_of(run)[1:])) == ["step-00000040"]


def test_a_run_at_work_on_a_machine_whose_clock_differs_keeps_what_it_began_at(run: RunDirectory) -> None:
    """One look takes it for lost; what is written while it is watched tells."""
    add_attempt(run, 2, 20)
    StatusWriter(run, 2).update(force=True, state="training", step=25)
    os.utime(run.status, (time.time() - 3000,) * 2)
    assert not assess(run).alive
    plan = plan_deletion([run.checkpoint(20)])
    assert plan.refused == ()
    beat = threading.Timer(0.5, os.utime, (run.status, (time.time() - 2995,) * 2))
    beat.start()
    done = delete(plan)
    beat.join()
    assert [one.reason for one in done.refused] == ["its run is alive and began there"]
    assert 20 in steps(run)
