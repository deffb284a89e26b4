"""A log read while it is written: the same lines whatever the pieces it arrives in, bounded, cleaned."""

from __future__ import annotations

import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdxl_tui.cli.log_lines import HELD, LogLines
from sdxl_tui.terminal.clean import clean_line

PIECES = st.lists(st.binary(max_size=20) | st.sampled_from([b"\n", b"\r", b"\r\n", b"ab\n", "é".encode()]), max_size=20)


@given(PIECES)
def test_the_lines_do_not_depend_on_how_the_log_grew(pieces: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "engine.log"
        log = LogLines(path)
        assert list(log.new_lines()) == []  # not there yet
        shown: list[str] = []
        with path.open("ab", buffering=0) as file:
            for piece in pieces:
                file.write(piece)
                shown += log.new_lines()
        shown += log.rest()
    *finished, last = b"".join(pieces).split(b"\n")
    assert shown == [clean_line(line) for line in ([*finished, last] if last else finished)]


@given(PIECES, st.integers(0, 8))
def test_the_last_lines_are_those_of_the_whole(pieces: list[bytes], count: int) -> None:
    data = b"".join(pieces)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "engine.log"
        path.write_bytes(data)
        whole, tail = LogLines(path), LogLines(path)
        tail.skip_all_but(count)
        everything = [*whole.new_lines(), *whole.rest()]
        assert [*tail.new_lines(), *tail.rest()] == everything[len(everything) - min(count, len(everything)) :]


@pytest.mark.parametrize("block", [1, 3, 7])
def test_the_last_lines_are_found_across_blocks(block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdxl_tui.cli.log_lines.BLOCK", block)
    path = tmp_path / "engine.log"
    path.write_bytes(b"one\ntwo\nthree\nfour")
    log = LogLines(path)
    log.skip_all_but(3)
    assert [*log.new_lines(), *log.rest()] == ["two", "three", "four"]


def test_the_end_of_a_huge_log_is_read_alone(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    with path.open("wb") as file:
        file.truncate(20_000_000_000)  # sparse
        file.seek(0, 2)
        file.write(b"\nlast but one\nlast\n")
    log = LogLines(path)
    log.skip_all_but(2)
    assert list(log.new_lines()) == ["last but one", "last"]


def test_an_endless_line_is_held_in_bounds(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    path.write_bytes(b"x" * 30_000_000)
    log = LogLines(path)
    tracemalloc.start()
    assert list(log.new_lines()) == []
    assert tracemalloc.get_traced_memory()[0] < 4 * HELD
    tracemalloc.stop()
    with path.open("ab") as file:
        file.write(b"\nnext\n")
    first, second = log.new_lines()
    assert first == "x" * 4096 + " …[+30 MB]"
    assert second == "next"


def test_an_emptied_log_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    path.write_bytes(b"old line, rather long\n")
    log = LogLines(path)
    assert list(log.new_lines()) == ["old line, rather long"]
    path.write_bytes(b"new\n")
    assert list(log.new_lines()) == ["new"]
