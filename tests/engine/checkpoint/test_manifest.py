"""The manifest tells a checkpoint from a folder, and a whole one from a damaged one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from engine.checkpoint.manifest import CheckpointError, read_manifest, verify, write_manifest
from engine.errors import UserError
from tests.engine.checkpoint.checkpoint_files import write_checkpoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "step-00000020", 20)


def change_manifest(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_it_records_every_file_with_size_and_digest(folder: Path) -> None:
    stored = json.loads((folder / "manifest.json").read_text())
    assert stored["format"] == 1
    assert stored["step"] == 20
    assert set(stored["files"]) == {"state.json", "lora.safetensors", "trainable.safetensors", "optimizer.safetensors"}
    for name, record in stored["files"].items():
        data = (folder / name).read_bytes()
        assert record == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_it_reads_back_what_was_written(folder: Path) -> None:
    manifest = write_manifest(folder, 20)
    assert read_manifest(folder) == manifest
    assert manifest.bytes == sum(path.stat().st_size for path in folder.iterdir() if path.name != "manifest.json")


def test_a_whole_checkpoint_passes(folder: Path) -> None:
    verify(folder, digests=False)
    verify(folder, digests=True)


@pytest.mark.parametrize("digests", [False, True])
def test_a_truncated_file_is_named(folder: Path, digests: bool) -> None:
    path = folder / "optimizer.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        CheckpointError, match=r"optimizer\.safetensors has 199|optimizer\.safetensors has \d+ bytes instead"
    ):
        verify(folder, digests=digests)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "trainable.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"trainable\.safetensors is missing"):
        verify(folder, digests=False)


def test_a_flipped_bit_is_found_by_digests_only(folder: Path) -> None:
    path = folder / "trainable.safetensors"
    data = bytearray(path.read_bytes())
    data[7] ^= 1
    path.write_bytes(data)
    verify(folder, digests=False)
    with pytest.raises(CheckpointError, match=r"trainable\.safetensors has other contents"):
        verify(folder, digests=True)


def test_a_link_is_not_a_file_of_a_checkpoint(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    path = folder / "lora.safetensors"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    with pytest.raises(CheckpointError, match=r"lora\.safetensors is not a regular file"):
        verify(folder, digests=True)
    with pytest.raises(CheckpointError, match="not a regular file"):
        write_manifest(folder, 20)


RECORD = {"bytes": 1, "sha256": "0" * 64}


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/b", "..", ".", "", "a\\b", "a\0b", "manifest.json"], ids=repr
)
def test_a_name_that_leads_out_of_the_folder_is_refused(folder: Path, name: str) -> None:
    files = json.loads((folder / "manifest.json").read_text())["files"]
    change_manifest(folder, files=files | {name: RECORD})
    with pytest.raises(CheckpointError, match="no plain file name"):
        read_manifest(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "written by a newer version"),
        ({"format": None}, "is not a manifest"),
        ({"step": -1}, "is not a manifest"),
        ({"step": True}, "is not a manifest"),
        ({"created": "now"}, "is not a manifest"),
        ({"files": []}, "is not a manifest"),
        ({"files": {}}, "names no lora.safetensors"),
        ({"files": {"state.json": RECORD, "lora.safetensors": RECORD}}, "names no trainable.safetensors"),
        ({"files": {"state.json": {"bytes": "1"}}}, "no size and digest for 'state.json'"),
        ({"files": {"state.json": {"bytes": -1, "sha256": "0" * 64}}}, "no size and digest"),
        ({"files": {"state.json": None}}, "no size and digest"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(folder: Path, changes: dict[str, Any], message: str) -> None:
    change_manifest(folder, **changes)
    with pytest.raises(CheckpointError, match=message):
        read_manifest(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"   "])
def test_a_manifest_that_is_not_readable_is_told(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"not a checkpoint: its manifest\.json is not readable"):
        read_manifest(folder)


def test_what_is_no_checkpoint_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such folder"):
        read_manifest(tmp_path / "none")
    with pytest.raises(UserError, match=r"not a checkpoint: it has no manifest\.json"):
        read_manifest(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="not a checkpoint: a file"):
        read_manifest(tmp_path / "file")
