"""Following a JSON-lines file: whole lines once each, whatever happens to the file, within bounds."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.run.events import EventLog, read_events
from engine.run.json_lines import JsonLines, JsonLinesWriter, finite, read_last_json_lines

VALUES = st.one_of(st.none(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text())
RECORDS = st.lists(st.dictionaries(st.text(max_size=5), VALUES), max_size=20)


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def poll_all(reader: JsonLines) -> list[dict[str, Any]]:
    records = reader.poll()
    while not reader.caught_up:
        records += reader.poll()
    return records


@settings(max_examples=60, deadline=None)
@given(records=RECORDS, data=st.data())
def test_every_record_is_returned_once_however_the_file_grows(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("lines") / "events.jsonl"
    stream = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    budget = data.draw(st.integers(1, 200))
    longest = max((len(line) for line in stream.split(b"\n")), default=0)
    reader = JsonLines(path, budget=max(budget, longest + 1))
    found = poll_all(reader)
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        append(path, stream[begin:end])
        found += poll_all(reader)
    assert found == records
    assert reader.unreadable == 0
    assert read_events(path) == records


def test_a_torn_last_line_waits_for_its_rest(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    reader = JsonLines(path)
    append(path, b'{"a":1}\n{"b"')
    assert reader.poll() == [{"a": 1}]
    assert reader.poll() == []
    append(path, b":2}\n")
    assert reader.poll() == [{"b": 2}]


def test_lines_that_are_no_json_are_counted_and_other_values_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    append(path, b'{"a":1}\n{"a":\n\nnull\n[1]\n3\n\xff\xfe\n' + b"[" * 5000 + b'\n{"a":2}\n')
    reader = JsonLines(path)
    assert reader.poll() == [{"a": 1}, {"a": 2}]
    assert reader.unreadable == 3


def test_numbers_that_json_does_not_have_are_read_as_null(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    append(path, b'{"loss":NaN,"lr":{"unet":-Infinity}}\n')
    assert JsonLines(path).poll() == [{"loss": None, "lr": {"unet": None}}]


@pytest.mark.parametrize("regrown", [b"", b'{"b":1}\n', b'{"b":1}\n' * 50])
def test_a_truncated_file_is_read_from_its_new_beginning(tmp_path: Path, regrown: bytes) -> None:
    path = tmp_path / "m.jsonl"
    append(path, b'{"a":1}\n' * 10)
    reader = JsonLines(path)
    assert len(reader.poll()) == 10
    os.truncate(path, 0)
    append(path, regrown)
    assert reader.poll() == [{"b": 1}] * regrown.count(b"\n")
    assert reader.restarted


def test_a_replaced_file_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    append(path, b'{"a":1}\n')
    reader = JsonLines(path)
    reader.poll()
    other = tmp_path / "other"
    append(other, b'{"a":1}\n{"a":2}\n')
    other.replace(path)
    assert [(reader.poll(), reader.restarted) for _ in range(2)] == [([{"a": 1}, {"a": 2}], True), ([], False)]


def test_a_missing_file_is_waited_for_and_a_deleted_one_forgotten_when_it_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    reader = JsonLines(path)
    assert reader.poll() == []
    append(path, b'{"a":1}\n')
    assert reader.poll() == [{"a": 1}]
    path.unlink()
    assert reader.poll() == []
    append(path, b'{"c":1}\n')
    assert reader.poll() == [{"c": 1}]


def test_what_is_no_regular_file_is_not_waited_on(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert JsonLines(tmp_path / "fifo").poll() == []
    assert read_last_json_lines(tmp_path / "fifo") == []
    assert JsonLines(tmp_path).poll() == []
    assert read_last_json_lines(tmp_path) == []
    assert read_last_json_lines(tmp_path / "missing") == []


def test_one_poll_reads_no_more_than_its_budget(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    append(path, b'{"a":1}\n' * 100)
    reader = JsonLines(path, budget=80)
    assert len(reader.poll()) == 10
    assert not reader.caught_up
    assert len(poll_all(reader)) == 90
    assert reader.caught_up


def test_a_line_longer_than_the_budget_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    append(path, b'{"a":1}\n{"b":"' + b"x" * 500 + b'"}\n{"c":1}\n')
    reader = JsonLines(path, budget=100)
    assert poll_all(reader) == [{"a": 1}, {"c": 1}]
    assert reader.unreadable == 1


def test_the_end_of_a_file_is_read_without_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    append(path, b"".join(json.dumps({"n": n}).encode() + b"\n" for n in range(1000)) + b'{"torn"')
    assert read_last_json_lines(path, tail=40)[-1] == {"n": 999}
    assert len(read_last_json_lines(path, tail=40)) <= 4
    assert len(read_last_json_lines(path, tail=1_000_000)) == 1000


def test_only_lines_with_the_wanted_text_are_returned_from_the_end(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    append(path, b'{"event":"saved"}\n{"event":"stopped"}\n{"event":"saved"}\n')
    assert read_last_json_lines(path, containing=[b'"stopped"', b'"finished"']) == [{"event": "stopped"}]


def test_events_carry_time_and_attempt(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl", attempt=2)
    log.write("saved", checkpoint="step-00000020", seconds=float("nan"))
    log.close()
    (event,) = read_events(tmp_path / "events.jsonl")
    assert abs(event.pop("time") - time.time()) < 10
    assert event == {"attempt": 2, "event": "saved", "checkpoint": "step-00000020", "seconds": None}


def test_an_event_that_the_disk_refuses_is_counted_and_the_next_one_stands_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path, attempt=1)
    log.write("started", step=0)
    write = os.write

    def short_then_full(descriptor: int, data: bytes) -> int:
        if len(data) < 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:10])

    with monkeypatch.context() as full_disk:
        full_disk.setattr("engine.durable.os.write", short_then_full)
        before = open_files()
        log.write("warning", message="one")
        for _ in range(20):
            log.write("warning", message="two")
        assert open_files() <= before
    assert log.lost == 21
    log.write("finished", step=1)
    assert [event["event"] for event in read_events(path)] == ["started", "finished"]


def test_a_folder_that_is_gone_loses_records_but_raises_nothing(tmp_path: Path) -> None:
    writer = JsonLinesWriter(tmp_path / "gone" / "events.jsonl")
    assert not writer.write({"a": 1})
    writer.sync()
    writer.close()
    assert writer.lost == 1


def test_a_line_torn_by_a_kill_is_closed_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    append(path, b'{"event":"started"}\n{"event":"sav')
    EventLog(path, 2).write("resumed", step=20)
    assert [event["event"] for event in read_events(path)] == ["started", "resumed"]


def test_writers_that_are_killed_cut_at_most_their_own_last_line_short(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    program = (
        "import sys; from pathlib import Path; from engine.run.json_lines import JsonLinesWriter\n"
        "writer = JsonLinesWriter(Path(sys.argv[1])); print(flush=True)\n"
        "while True: writer.write({'who': sys.argv[2], 'padding': 'x' * 500})"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(path), str(n)], stdout=subprocess.PIPE) for n in range(3)
    ]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()
    time.sleep(0.1)
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
    reader = JsonLines(path)
    records = poll_all(reader)
    # A kill may end a write between two pages of the file: the next writer's line then sticks to what was written.
    assert reader.unreadable < len(writers)
    assert {record["who"] for record in records} == {"0", "1", "2"}
    whole = [line for line in path.read_bytes().splitlines() if line.startswith(b'{"who"') and line.endswith(b'x"}')]
    assert len(whole) >= len(records) > 100
    assert len(path.read_bytes().rpartition(b"\n")[2]) < 600


def test_what_is_not_finite_becomes_null_at_any_depth() -> None:
    value = {"a": float("inf"), "b": [1.5, float("nan")], "c": {"d": (float("-inf"), "x")}, "e": True, "f": None}
    assert finite(value) == {"a": None, "b": [1.5, None], "c": {"d": [None, "x"]}, "e": True, "f": None}
