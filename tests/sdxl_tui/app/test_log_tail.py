"""Following logs: progress bars, several attempts, and files that are huge, emptied, replaced or gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.run.layout import RunDirectory
from sdxl_tui.fleet.log_tail import LogTail


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A run with one attempt that has printed nothing."""
    run = RunDirectory(tmp_path / "fox-20261124-100000")
    run.attempt(1).path.mkdir(parents=True)
    return run


def texts(tail: LogTail) -> list[str]:
    return [f"[{line.text}]" if line.is_heading else line.text for line in tail.lines]


def append(run: RunDirectory, data: bytes, attempt: int = 1) -> None:
    run.attempt(attempt).path.mkdir(exist_ok=True)
    with run.attempt(attempt).log.open("ab") as file:
        file.write(data)


def test_lines_appear_as_they_are_printed(run: RunDirectory) -> None:
    tail = LogTail(run)
    assert not tail.poll()
    append(run, b"one\ntw")
    assert tail.poll()
    assert (texts(tail), tail.unfinished) == (["one"], "tw")
    append(run, b"o\n")
    assert tail.poll()
    assert (texts(tail), tail.unfinished) == (["one", "two"], "")
    assert not tail.poll()


def test_a_progress_bar_is_one_line_that_changes(run: RunDirectory) -> None:
    tail = LogTail(run)
    for share in (b"10%", b"20%", b"30%"):
        append(run, b"\rcaching " + share)
        tail.poll()
        assert (texts(tail), tail.unfinished) == ([], f"caching {share.decode()}")
    append(run, b"\rcaching 100%\n")
    tail.poll()
    assert texts(tail) == ["caching 100%"]


def test_a_later_attempt_follows_under_a_heading(run: RunDirectory) -> None:
    append(run, b"first\nlast words without an end")
    tail = LogTail(run)
    tail.poll()
    append(run, b"again\n", attempt=2)
    assert tail.poll()
    assert texts(tail) == ["first", "last words without an end", "[attempt 2]", "again"]
    assert texts(tail) == texts_of_a_first_look(run)


def texts_of_a_first_look(run: RunDirectory) -> list[str]:
    tail = LogTail(run)
    tail.poll()
    return texts(tail)


def test_of_a_huge_log_only_the_end_is_read(run: RunDirectory) -> None:
    append(run, b"".join(b"line %06d\n" % number for number in range(100_000)))
    tail = LogTail(run, lines=50, tail_bytes=10_000)
    tail.poll()
    assert texts(tail)[-1] == "line 099999"
    assert len(tail.lines) == 50
    append(run, b"".join(b"more %06d\n" % number for number in range(100_000)))
    tail.poll()
    assert texts(tail)[-1] == "more 099999"


def test_an_endless_line_is_held_within_bounds(run: RunDirectory) -> None:
    tail = LogTail(run, tail_bytes=10_000)
    for _ in range(5):
        append(run, b"x" * 8000)
        tail.poll()
    assert len(tail.unfinished) < 5000
    append(run, b"\nnext\n")
    tail.poll()
    assert texts(tail)[-1] == "next"


def test_a_log_that_is_emptied_begins_anew(run: RunDirectory) -> None:
    append(run, b"before\n" * 10)
    tail = LogTail(run)
    tail.poll()
    run.attempt(1).log.write_bytes(b"after\n")
    assert tail.poll()
    assert texts(tail)[-2:] == ["[the log begins anew]", "after"]


def test_a_log_that_vanishes_keeps_what_was_read(run: RunDirectory) -> None:
    append(run, b"before\n")
    tail = LogTail(run)
    tail.poll()
    run.attempt(1).log.unlink()
    assert not tail.poll()
    assert texts(tail) == ["before"]


def test_what_is_printed_is_cleaned(run: RunDirectory) -> None:
    append(run, b"\x1b]0;owned\x07\x1b[31mred\x1b[0m\x9b2J \xff\n")
    tail = LogTail(run)
    tail.poll()
    (line,) = texts(tail)
    assert line.isprintable()
    assert "red" in line and "owned" not in line


def test_lines_let_go_at_the_top_are_counted(run: RunDirectory) -> None:
    tail = LogTail(run, lines=10)
    append(run, b"".join(b"%d\n" % number for number in range(25)))
    tail.poll()
    assert (tail.dropped, texts(tail)[0]) == (15, "15")
