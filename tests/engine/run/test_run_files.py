"""Metrics, status, commands and new run folders: written, read back, and safe against what disks and people do."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.durable import write_json_atomically
from engine.profile.schema import Dataset, Model, Profile, Source
from engine.run.attempt import begin_attempt, record_own_exit
from engine.run.commands import CommandBox, send_command
from engine.run.create import Inheritance, create_run
from engine.run.errors import RunBusy, RunError
from engine.run.layout import RUN_ID, RunDirectory
from engine.run.liveness import assess
from engine.run.metrics import MetricPoint, MetricsLog, MetricsReader, newest_attempt_wins
from engine.run.records import Parent, RunRecord, Status, read_json_object
from engine.run.status import StatusWriter
from tests.engine.mounts import small_disk
from tests.engine.run.kept_process import bare_run

PROFILE = Profile(
    name="demo", model=Model(base="bundled:demo-base"), dataset=Dataset(sources=(Source(path="bundled:demo-images"),))
)


def point(step: int, attempt: int = 1, loss: float | None = 0.1) -> MetricPoint:
    return MetricPoint(step, attempt, 0, 1795514160.0, loss, loss, {"unet": 1e-4}, 0.4, 0.16, 6.2, 812.0)


def test_metrics_are_read_back_as_written(tmp_path: Path) -> None:
    log, reader = MetricsLog(tmp_path / "m.jsonl"), MetricsReader(tmp_path / "m.jsonl")
    log.write(point(1))
    assert reader.poll() == [point(1)]
    log.write(point(2, loss=float("nan")))
    log.write(point(3))
    log.close()
    assert reader.poll() == [point(2, loss=None), point(3)]
    assert reader.poll() == []
    assert log.lost == 0


def test_metric_lines_of_foreign_shape_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    lines = [
        '{"step": true}',
        '{"step": "4"}',
        '{"loss": 1}',
        '{"step": 5, "loss": "x", "lr": [1], "time": 1e999}',
        "nonsense",
    ]
    path.write_text("\n".join(lines) + "\n")
    reader = MetricsReader(path)
    assert reader.poll() == [MetricPoint(5, 1, 0, 0.0, None, None, {})]
    assert reader.unreadable == 1


def test_a_newer_attempt_replaces_everything_from_its_first_step_on() -> None:
    first = [point(step, 1) for step in range(1, 27)]
    second = [point(step, 2) for step in range(21, 24)]
    assert newest_attempt_wins(first + second) == first[:20] + second


@given(st.lists(st.builds(point, st.integers(1, 12), st.integers(1, 4), st.just(0.5)), max_size=40))
def test_the_lineage_of_the_newest_attempt_is_what_the_definition_says(points: list[MetricPoint]) -> None:
    def survives(candidate: MetricPoint) -> bool:
        return all(candidate.step < other.step for other in points if other.attempt > candidate.attempt) or not any(
            other.attempt > candidate.attempt for other in points
        )

    expected = {candidate.step: candidate for candidate in points if survives(candidate)}
    assert newest_attempt_wins(points) == [expected[step] for step in sorted(expected)]


def test_status_is_written_at_each_change_of_state_and_else_twice_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = bare_run(tmp_path)
    now = [100.0]
    monkeypatch.setattr("engine.run.status.time.monotonic", lambda: now[0])
    writer = StatusWriter(run, attempt=1)

    def written() -> Status:
        status = Status.read(run.status)
        assert status is not None
        return status

    writer.update(state="training", step=1, total_steps=40)
    assert (written().state, written().step) == ("training", 1)
    writer.update(step=2, loss=float("inf"), lr={"unet": 1e-4})
    assert written().step == 1
    writer.flush()
    assert (written().step, written().loss, written().lr) == (2, None, {"unet": 1e-4})
    now[0] += 0.6
    writer.update(step=3)
    assert written().step == 3
    writer.update(state="saving")
    assert written().state == "saving"
    writer.update(force=True, step=4)
    assert written().step == 4
    assert abs(written().heartbeat - time.time()) < 10


def test_a_status_that_the_disk_refuses_is_counted(tmp_path: Path) -> None:
    writer = StatusWriter(RunDirectory(tmp_path / "gone"), attempt=1)
    writer.update(step=1)
    assert writer.lost == 1


def test_commands_arrive_in_order_and_are_gone_once_acknowledged(tmp_path: Path) -> None:
    run = bare_run(tmp_path)
    box = CommandBox(run)
    assert box.poll() == []
    sent = [send_command(run, "save"), send_command(run, "stop", save=False, at_step=30)]
    save, stop = box.poll()
    assert [save.id, stop.id] == sent
    assert (stop.command, stop.arguments, stop.problem) == ("stop", {"save": False, "at_step": 30}, None)
    assert box.acknowledge(save, ok=True) == {"id": sent[0], "command": "save", "ok": True, "message": ""}
    assert [command.id for command in box.poll()] == sent[1:]
    box.acknowledge(stop, ok=True)
    box.acknowledge(stop, ok=True)
    assert box.poll() == []


def test_commands_that_cannot_be_followed_say_why(tmp_path: Path) -> None:
    run = bare_run(tmp_path)
    run.commands.mkdir()
    (run.commands / "1-stop.json").write_text("{")
    (run.commands / "2-dance.json").write_text(json.dumps({"id": "x", "command": "dance"}))
    (run.commands / "3-save.json").write_text(json.dumps({"id": "x", "command": "save", "arguments": 3}))
    (run.commands / "notes.txt").write_text("foreign files are left alone")
    (run.commands / ".4-stop.json.12.tmp").write_text("half written")
    box = CommandBox(run)
    assert [(command.command, command.problem) for command in box.poll()] == [
        ("stop", "the command file is not readable"),
        ("dance", "unknown command 'dance'"),
        ("save", "the arguments are not an object"),
    ]
    box.clear()
    assert box.poll() == []
    assert (run.commands / "notes.txt").exists()


def test_only_known_commands_are_sent(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dance"):
        send_command(bare_run(tmp_path), "dance")


def test_a_command_that_cannot_be_written_is_an_error_for_a_person(tmp_path: Path) -> None:
    run = bare_run(tmp_path)
    run.commands.write_text("a file in the way")
    with pytest.raises(RunError, match="cannot be written"):
        send_command(run, "save")


def test_a_new_attempt_does_not_follow_what_was_asked_of_the_one_before(tmp_path: Path) -> None:
    run = bare_run(tmp_path)
    first = begin_attempt(run)
    send_command(run, "stop")
    second = begin_attempt(run)
    assert (first.number, second.number) == (1, 2)
    assert CommandBox(run).poll() == []
    assert second.exit.stat().st_size == 4096


def test_an_attempt_that_someone_else_has_just_begun_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = bare_run(tmp_path)
    run.attempt(1).path.mkdir(parents=True)
    monkeypatch.setattr(RunDirectory, "existing_attempts", lambda _self: [])
    with pytest.raises(RunBusy):
        begin_attempt(run)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_new_run_is_complete_private_and_says_where_it_came_from(tmp_path: Path, umask: int) -> None:
    weights = tmp_path / "trainable.safetensors"
    weights.write_bytes(b"weights")
    parent = Parent("demo-20261124-093000", "step-00000020", 20, "continue")
    before = os.umask(umask)
    try:
        run = create_run(
            tmp_path / "runs",
            PROFILE,
            source=tmp_path / "demo.toml",
            parent=parent,
            inherits=Inheritance(weights=weights),
        )
    finally:
        os.umask(before)
    assert run.path.parent == tmp_path / "runs"
    assert RUN_ID.match(run.id)
    assert run.id.startswith("demo-2")
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(run.profile.stat().st_mode) == 0o400
    record = RunRecord.read(run.record)
    assert record is not None
    assert (record.id, record.name, record.parent) == (run.id, "demo", parent)
    assert record.source_profile == str(tmp_path / "demo.toml")
    assert run.start_weights.read_bytes() == b"weights"
    assert [entry.name for entry in (tmp_path / "runs").iterdir()] == [run.id]


def test_a_source_that_was_named_from_here_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    record = RunRecord.read(create_run(tmp_path / "runs", PROFILE, source=Path("demo.toml")).record)
    assert record is not None
    assert record.source_profile == str(tmp_path / "demo.toml")


def test_runs_of_one_second_get_different_ids(tmp_path: Path) -> None:
    ids = [create_run(tmp_path / "runs", PROFILE, source=None).id for _ in range(4)]
    assert len(set(ids)) == 4
    records = [RunRecord.read(tmp_path / "runs" / run_id / "run.json") for run_id in ids]
    assert [record.id for record in records if record] == ids


def test_the_snapshot_reads_back_as_the_same_profile(tmp_path: Path) -> None:
    from engine.profile.load import read_snapshot  # noqa: PLC0415

    assert read_snapshot(create_run(tmp_path / "runs", PROFILE, source=None).profile) == PROFILE


def test_a_runs_folder_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(RunError, match="cannot be written"):
        create_run(tmp_path / "runs", PROFILE, source=None)


def test_a_run_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="No such file"):
        create_run(
            tmp_path / "runs", PROFILE, source=None, inherits=Inheritance(weights=tmp_path / "missing.safetensors")
        )
    assert list((tmp_path / "runs").iterdir()) == []


def test_what_a_killed_launch_left_half_built_is_swept_later(tmp_path: Path) -> None:
    old, fresh = tmp_path / "runs" / ".new-1-abcd", tmp_path / "runs" / ".new-2-abcd"
    for build in (old, fresh):
        build.mkdir(parents=True)
        (build / "profile.toml").touch()
    os.utime(old, (0, 0))
    create_run(tmp_path / "runs", PROFILE, source=None)
    assert not old.exists()
    assert fresh.exists()


def test_records_of_impossible_values_are_read_as_unknown(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_text(
        '{"attempt": 1, "state": "training", "step": 1e999, "loss": 1e999, "lr": {"unet": 1' + "0" * 400 + "}}"
    )
    status = Status.read(path)
    assert status is not None
    assert (status.step, status.loss, status.lr) == (0, None, {})
    write_json_atomically(tmp_path / "run.json", {"id": "x", "name": "x", "created": 10**400})
    assert RunRecord.read(tmp_path / "run.json") is None


def test_a_record_that_is_a_fifo_a_folder_or_too_large_is_unreadable_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.json")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "large.json").write_text('{"a": 1}' + " " * 100)
    assert read_json_object(tmp_path / "fifo.json") is None
    assert read_json_object(tmp_path / "folder.json") is None
    assert read_json_object(tmp_path / "large.json", limit=100) is None
    assert read_json_object(tmp_path / "large.json") == {"a": 1}


def test_a_start_on_a_full_disk_leaves_the_run_as_it_was(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "200k") as disk:
        run = RunDirectory(disk / "runs" / "demo-1")
        run.path.mkdir(parents=True)
        record_own_exit(begin_attempt(run), 0)
        before = assess(run)
        filling = disk / "filling"
        with filling.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(bytes(1024))
        with pytest.raises(RunError, match="No space left"):
            begin_attempt(run)
        assert [attempt.number for attempt in run.existing_attempts()] == [1]
        assert assess(run) == before
        filling.unlink()
        assert begin_attempt(run).number == 2
