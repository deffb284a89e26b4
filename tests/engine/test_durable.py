"""Files are replaced as a whole or not at all, and records are appended as whole lines."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from engine.durable import (
    append_json_line,
    open_for_appending,
    sync_directory,
    write_atomically,
    write_json_atomically,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("durably", [True, False])
def test_the_content_is_there_and_nothing_beside_it(tmp_path: Path, durably: bool) -> None:
    path = tmp_path / "file"
    for data in (b"one", b"", b"x" * 3_000_000):
        write_atomically(path, data, durable=durably)
        assert path.read_bytes() == data
    assert names(tmp_path) == ["file"]


def test_a_new_file_follows_the_umask_and_a_replaced_one_keeps_its_mode(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        new = tmp_path / "new"
        write_atomically(new, b"x")
        assert new.stat().st_mode & 0o777 == 0o640
        new.chmod(0o604)
        write_atomically(new, b"y")
        assert new.stat().st_mode & 0o777 == 0o604
        write_atomically(new, b"z", mode=0o600)
        assert new.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


def test_a_failed_write_leaves_the_old_content_and_no_leftover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_kill_before_the_rename_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_file_and_folder_are_synced_around_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a power cut may not reorder: data on disk, then the name, then the folder that holds the name."""
    path = tmp_path / "file"
    order: list[str] = []
    sync, replace = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        is_folder = Path(f"/proc/self/fd/{descriptor}").resolve() == tmp_path
        order.append("sync folder" if is_folder else "sync file")
        sync(descriptor)

    def rename(self: Path, target: Path) -> Path:
        order.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", rename)
    write_atomically(path, b"x")
    assert order == ["sync file", "rename", "sync folder"]
    order.clear()
    write_atomically(path, b"x", durable=False)
    assert order == ["rename"]


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "none" / "file", b"x")
    with pytest.raises(FileNotFoundError):
        sync_directory(tmp_path / "none")


def test_json_is_readable_text_and_never_holds_nan(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json_atomically(path, {"name": "café", "steps": 3})
    assert json.loads(path.read_text()) == {"name": "café", "steps": 3}
    assert "café" in path.read_text()
    with pytest.raises(ValueError, match="JSON"):
        write_json_atomically(path, {"loss": math.nan})
    assert json.loads(path.read_text())["steps"] == 3


def test_records_are_appended_one_a_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    descriptor = open_for_appending(path)
    append_json_line(descriptor, {"step": 1, "text": "a\nb"})
    append_json_line(descriptor, {"step": 2})
    os.close(descriptor)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2]


def test_a_torn_last_line_is_closed_before_the_next_record(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"step":1}\n{"st')
    descriptor = open_for_appending(path)
    append_json_line(descriptor, {"step": 2})
    os.close(descriptor)
    assert path.read_text().splitlines() == ['{"step":1}', '{"st', '{"step":2}']


def test_a_record_that_was_cut_short_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptor = open_for_appending(tmp_path / "x.jsonl")
    write = os.write
    monkeypatch.setattr(os, "write", lambda target, data: write(target, data[:3]))
    with pytest.raises(OSError, match="cut short"):
        append_json_line(descriptor, {"step": 2})
    monkeypatch.undo()
    os.close(descriptor)
