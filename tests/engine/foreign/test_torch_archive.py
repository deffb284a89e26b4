"""Files of torch.save are read without torch; torch itself is the oracle."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.foreign.errors import ForeignFileError
from engine.foreign.torch_archive import StoredTensor, TorchArchive

DTYPES = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
)


@settings(deadline=None)
@given(st.sampled_from(DTYPES), st.floats(-100, 100), st.integers(0, 3))
def test_the_number_of_a_tensor_is_what_torch_stored(
    tmp_path_factory: pytest.TempPathFactory, dtype: torch.dtype, value: float, offset: int
) -> None:
    number = torch.tensor([1.0, 2.0, 3.0, 4.0]).index_fill_(0, torch.tensor(offset), value).to(dtype)
    path = tmp_path_factory.mktemp("archive") / "file.bin"
    torch.save({"d": number[offset], "all": number, "parameter": torch.nn.Parameter(torch.ones(2, 3))}, path)
    with TorchArchive(path) as archive:
        stored = archive.content["d"]
        assert archive.number(stored) == float(number[offset])
        assert archive.content["all"] == StoredTensor(str(dtype).removeprefix("torch."), (4,), stored.storage, 0)
        assert archive.content["parameter"].shape == (2, 3)
        assert archive.content["parameter"].values == 6


def test_many_entries_and_similar_names_are_told_apart(tmp_path: Path) -> None:
    tensors = [torch.tensor(float(index)) for index in range(1_200)]
    torch.save({"step": tensors}, tmp_path / "optimizer.bin")
    with TorchArchive(tmp_path / "optimizer.bin") as archive:
        read = [archive.number(tensor) for tensor in archive.content["step"]]
    assert read == [float(index) for index in range(1_200)]


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _flipped(data: bytes) -> bytes:
    at = data.index(b"PK\x01\x02")
    return data[:at] + b"XX" + data[at + 2 :]


@pytest.mark.parametrize("change", [_cut, _flipped, lambda _: b"", lambda _: b"PK\x05\x06" + b"\xff" * 18])
def test_a_damaged_file_is_one_clear_line(tmp_path: Path, change: Any) -> None:
    path = tmp_path / "optimizer.bin"
    torch.save({"state": {}, "param_groups": []}, path)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ForeignFileError) as caught:
        TorchArchive(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_the_old_format_and_other_files_are_named(tmp_path: Path) -> None:
    torch.save({"a": 1}, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    with pytest.raises(ForeignFileError, match=r"before 1\.6"):
        TorchArchive(tmp_path / "old.bin")
    with zipfile.ZipFile(tmp_path / "other.bin", "w") as archive:
        archive.writestr("readme.txt", "no pickle")
    with pytest.raises(ForeignFileError, match=r"data\.pkl"):
        TorchArchive(tmp_path / "other.bin")
    (tmp_path / "folder.bin").mkdir()
    with pytest.raises(ForeignFileError):
        TorchArchive(tmp_path / "folder.bin")


def test_a_flipped_bit_in_a_rate_is_found_by_the_checksum_and_a_file_without_checksums_is_read(tmp_path: Path) -> None:
    path = tmp_path / "optimizer.bin"
    saved = {"state": {}, "param_groups": [{"lr": 1.2345e-4, "params": []}]}
    torch.save(saved, path)
    data = bytearray(path.read_bytes())
    data[data.index(struct.pack(">d", 1.2345e-4)) + 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(ForeignFileError, match=r"data\.pkl in it does not match its checksum"):
        TorchArchive(path)
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(saved, path)
    finally:
        torch.serialization.set_crc32_options(before)
    with TorchArchive(path) as archive:
        assert archive.content == saved


def test_sizes_that_a_directory_claims_cost_no_memory(tmp_path: Path) -> None:
    """A file with 8 GB of nothing, whose end says that the list of its entries is all of it."""
    path, size = tmp_path / "optimizer.bin", 8 << 30
    end64 = b"PK\x06\x06" + bytes(36) + struct.pack("<QQ", size, 0)
    locator = b"PK\x06\x07" + bytes(4) + struct.pack("<QI", size, 1)
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(size)
        file.write(end64 + locator + b"PK\x05\x06" + bytes(8) + b"\xff" * 8 + bytes(2))
    with pytest.raises(ForeignFileError, match="directory claims"):
        TorchArchive(path)
