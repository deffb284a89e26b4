"""A fingerprint follows content, and stays cheap for files of many gigabytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.model.fingerprint import SAMPLE, SAMPLES, START, WHOLE_LIMIT, fingerprint


def _of(file: Path) -> str:
    return fingerprint([file], relative_to=file.parent)


@pytest.mark.parametrize("place", [0, 1234, -1])
def test_any_byte_of_a_small_file_counts(tmp_path: Path, place: int) -> None:
    file = tmp_path / "weights"
    data = bytearray(5000)
    file.write_bytes(data)
    before = _of(file)
    data[place] ^= 1
    file.write_bytes(data)
    assert _of(file) != before


@pytest.mark.parametrize("place", [0, START - 1, START, -1, -SAMPLE])
def test_start_end_and_size_of_a_large_file_count(tmp_path: Path, place: int) -> None:
    file = tmp_path / "weights"
    size = WHOLE_LIMIT + 12_345
    data = bytearray(size)
    file.write_bytes(data)
    before = _of(file)
    data[place] ^= 1
    file.write_bytes(data)
    assert _of(file) != before
    file.write_bytes(bytes(size + 1))
    assert _of(file) != before


def test_a_file_of_ten_gigabytes_is_read_in_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "weights"
    with file.open("wb") as stream:
        stream.truncate(10 << 30)  # sparse: no disk is used
    before = _of(file)
    with file.open("r+b") as stream:
        stream.seek((10 << 30) - 5)
        stream.write(b"x")
    assert _of(file) != before
    assert START + SAMPLES * SAMPLE < 8 << 20


def test_names_and_order_of_listing(tmp_path: Path) -> None:
    one, two = tmp_path / "a", tmp_path / "b"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    assert fingerprint([one, two], relative_to=tmp_path) == fingerprint([two, one], relative_to=tmp_path)
    before = fingerprint([one], relative_to=tmp_path)
    assert fingerprint([one.rename(tmp_path / "c")], relative_to=tmp_path) != before
