from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.cache import CacheMissError, TensorFiles, TensorMemory, Tensors, cache_key
from engine.data.errors import DatasetError

KEY = cache_key("test", item=1)


def some_tensors(dtype: torch.dtype = torch.float32) -> Tensors:
    return {"a": torch.arange(24).reshape(4, 2, 3).to(dtype), "b": torch.ones(5)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_was_written_is_read_back_bit_for_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    files = TensorFiles(tmp_path)
    files.write(KEY, some_tensors(dtype))
    files.check(KEY)
    read = files.read(KEY)
    assert read["a"].dtype == dtype
    assert all(torch.equal(read[name], tensor) for name, tensor in some_tensors(dtype).items())
    assert files.path(KEY) == tmp_path / KEY[:2] / f"{KEY}.safetensors"


def test_a_missing_file_is_a_miss_without_damage(tmp_path: Path) -> None:
    for look in (TensorFiles(tmp_path).check, TensorFiles(tmp_path).read):
        with pytest.raises(CacheMissError) as caught:
            look(KEY)
        assert caught.value.damage is None


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_files_have_the_mode_that_the_umask_leaves(tmp_path: Path, umask: int) -> None:
    files = TensorFiles(tmp_path)
    before = os.umask(umask)
    try:
        files.write(KEY, some_tensors())
    finally:
        os.umask(before)
    assert stat.S_IMODE(files.path(KEY).stat().st_mode) == 0o666 & ~umask
    assert [path.name for path in files.path(KEY).parent.iterdir()] == [f"{KEY}.safetensors"]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_file_cut_short_is_damaged(tmp_path: Path, share: float) -> None:
    files = TensorFiles(tmp_path)
    files.write(KEY, some_tensors())
    data = files.path(KEY).read_bytes()
    files.path(KEY).write_bytes(data[: int(len(data) * share)])
    for look in (files.check, files.read):
        with pytest.raises(CacheMissError) as caught:
            look(KEY)
        assert caught.value.damage


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_no_flipped_bit_of_the_content_goes_unnoticed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    files = TensorFiles(tmp_path_factory.mktemp("cache"))
    files.write(KEY, some_tensors())
    content = bytearray(files.path(KEY).read_bytes())
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    files.path(KEY).write_bytes(content)
    try:
        read = files.read(KEY)
    except CacheMissError as miss:
        assert miss.damage
    else:  # Only padding, or the name of a field that is not used, may differ.
        assert all(torch.equal(read[name], tensor) for name, tensor in some_tensors().items())


def test_a_file_of_another_key_is_not_taken(tmp_path: Path) -> None:
    files, other = TensorFiles(tmp_path), cache_key("test", item=2)
    files.write(KEY, some_tensors())
    files.path(other).parent.mkdir(exist_ok=True)
    files.path(KEY).rename(files.path(other))
    for look in (files.check, files.read):
        with pytest.raises(CacheMissError, match="not written for this content"):
            look(other)


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / KEY[:2]).write_text("in the way")
    with pytest.raises(DatasetError, match="cannot be written") as caught:
        TensorFiles(tmp_path).write(KEY, some_tensors())
    assert caught.value.where == str(tmp_path / KEY[:2])


def test_keys_differ_with_every_setting_and_kind() -> None:
    keys = {
        cache_key("latents", image="a", vae="v"),
        cache_key("latents", image="b", vae="v"),
        cache_key("latents", image="a", vae="w"),
        cache_key("text", image="a", vae="v"),
        cache_key("latents", image="av", vae=""),
    }
    assert len(keys) == 5
    assert cache_key("latents", vae="v", image="a") in keys


def test_memory_forgets_what_was_used_longest_ago() -> None:
    memory = TensorMemory(2 * 40)
    for key in "ab":
        memory.put(key, {"x": torch.zeros(10)})
    assert memory.get("a") is not None
    memory.put("c", {"x": torch.zeros(10)})
    assert memory.get("b") is None
    assert memory.get("a") is not None
    assert memory.get("c") is not None
    assert memory.bytes == 80


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(1, 30)), max_size=40), st.integers(0, 200))
@settings(deadline=None)
def test_memory_never_holds_more_than_its_limit_and_counts_right(puts: list[tuple[str, int]], limit: int) -> None:
    memory = TensorMemory(limit)
    for key, length in puts:
        memory.put(key, {"x": torch.zeros(length)})
        assert memory.bytes <= limit
        held = {name: tensors["x"].nbytes for name in "abcde" if (tensors := memory.get(name))}
        assert sum(held.values()) == memory.bytes
        assert held.get(key) == (4 * length if 4 * length <= limit else None)
