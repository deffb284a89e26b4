"""A checkpoint appears whole or not at all, whatever happens while it is written, and earlier ones stay."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.checkpoint.load import load_tensors
from engine.checkpoint.manifest import CheckpointError, read_manifest, verify
from engine.checkpoint.save import CheckpointContent, SaveError, save_checkpoint

WEIGHT = torch.arange(12, dtype=torch.float32).reshape(3, 4)
DISK_CALLS = ("open", "write", "fsync", "mkdir", "rename", "replace", "chmod", "fchmod")


def content(step: int, **changes: Any) -> CheckpointContent:
    """A small checkpoint of ``step``."""
    parts: dict[str, Any] = {
        "step": step,
        "trainable": {"layer.weight": WEIGHT + step},
        "optimizer": {"layer.weight/exp_avg": WEIGHT * step},
        "state": {"format": 1, "step": step, "note": "schön"},
        "write_lora": lambda path: path.write_bytes(b"lora"),
    }
    return CheckpointContent(**{**parts, **changes})


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    """A run's checkpoints, one of step 1 in it."""
    save_checkpoint(tmp_path / "step-00000001", content(1))
    return tmp_path


def names(folder: Path) -> list[str]:
    """Everything in ``folder``, hidden things too."""
    return sorted(entry.name for entry in folder.iterdir())


def test_a_saved_checkpoint_is_whole_and_holds_what_it_was_given(checkpoints: Path) -> None:
    saved = save_checkpoint(checkpoints / "step-00000002", content(2))
    verify(saved.folder, digests=True)
    assert names(saved.folder) == [
        "lora.safetensors",
        "manifest.json",
        "optimizer.safetensors",
        "state.json",
        "trainable.safetensors",
    ]
    assert torch.equal(load_tensors(saved.folder / "trainable.safetensors")["layer.weight"], WEIGHT + 2)
    assert torch.equal(load_tensors(saved.folder / "optimizer.safetensors")["layer.weight/exp_avg"], WEIGHT * 2)
    assert json.loads((saved.folder / "state.json").read_text(encoding="utf-8")) == content(2).state
    assert saved.bytes == sum(entry.stat().st_size for entry in saved.folder.iterdir() if entry.name != "manifest.json")
    assert names(checkpoints) == ["step-00000001", "step-00000002"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_files_are_readable_as_the_umask_says(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        saved = save_checkpoint(tmp_path / "step-00000002", content(2))
    finally:
        os.umask(before)
    assert {stat.S_IMODE(entry.stat().st_mode) for entry in saved.folder.iterdir()} == {mode}


def test_everything_is_synced_before_the_checkpoint_becomes_visible(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkpoints / "step-00000002"
    calls: list[tuple[str, bool]] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        calls.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), folder.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    save_checkpoint(folder, content(2))
    hidden = [Path(path).name.removeprefix(".").split(".json")[0] for path, visible in calls if not visible]
    for name in ("state", "trainable.safetensors", "optimizer.safetensors", "lora.safetensors", "manifest"):
        assert any(synced.startswith(name) for synced in hidden), name
    assert "tmp-2-" in Path(calls[-2][0]).name and not calls[-2][1], "the new folder is synced last of all inside"
    assert calls[-1] == (str(checkpoints), True), "the rename is synced"


def test_a_checkpoint_of_the_same_step_is_replaced(checkpoints: Path) -> None:
    save_checkpoint(checkpoints / "step-00000001", content(1, trainable={"layer.weight": WEIGHT + 100}))
    verify(checkpoints / "step-00000001", digests=True)
    tensors = load_tensors(checkpoints / "step-00000001" / "trainable.safetensors")
    assert torch.equal(tensors["layer.weight"], WEIGHT + 100)
    assert names(checkpoints) == ["step-00000001"]


def test_nan_in_the_state_is_refused_and_leaves_nothing(checkpoints: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        save_checkpoint(checkpoints / "step-00000002", content(2, state={"loss": float("nan")}))
    assert names(checkpoints) == ["step-00000001"]


def test_a_lora_that_cannot_be_written_fails_the_save(checkpoints: Path) -> None:
    def refuse(_: Path) -> None:
        raise CheckpointError("does not fit into fp16")

    with pytest.raises(SaveError, match="does not fit into fp16"):
        save_checkpoint(checkpoints / "step-00000002", content(2, write_lora=refuse))
    assert names(checkpoints) == ["step-00000001"]


class NthCall:
    """Counts the disk calls made through ``os`` and does ``act`` instead of the n-th one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, n: int, act: Callable[[], Any]) -> None:
        self.calls = 0
        self.n, self.act = n, act
        for name in DISK_CALLS:
            monkeypatch.setattr(os, name, self.wrapped(getattr(os, name)))

    def wrapped(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """``call``, counted."""

        def counted(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == self.n:
                self.act()
            return call(*arguments, **options)

        return counted


def save_with_failure(folder: Path, n: int, error: int) -> tuple[bool, SaveError | None]:
    """Save step 2 with the n-th disk call failing. Whether there was an n-th call, and what the save said."""

    def fail() -> None:
        raise OSError(error, os.strerror(error))

    with pytest.MonkeyPatch.context() as monkeypatch:
        calls = NthCall(monkeypatch, n, fail)
        try:
            save_checkpoint(folder, content(2))
        except SaveError as problem:
            return True, problem
        return calls.calls >= n, None


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_refuses_any_one_call_costs_nothing_that_was_there(checkpoints: Path, error: int) -> None:
    folder = checkpoints / "step-00000002"
    problems = []
    for n in range(1, 1000):
        was_met, problem = save_with_failure(folder, n, error)
        verify(checkpoints / "step-00000001", digests=True)
        # Without a problem, or if only the very last sync failed, it is there; and what is there is whole.
        if folder.exists():
            verify(folder, digests=True)
            shutil.rmtree(folder)
        else:
            assert problem is not None, f"call {n}"
        assert names(checkpoints) == ["step-00000001"], f"call {n}"
        if not was_met:
            break
        if problem is not None:
            problems.append(str(problem))
    assert len(problems) > 15, "the calls of a save are really met"
    assert all(os.strerror(error) in problem for problem in problems)
    assert all("the disk is full" in problem for problem in problems) is (error == errno.ENOSPC)


def test_a_failed_replacement_leaves_the_one_that_was_there(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename
    folder = checkpoints / "step-00000001"

    def refuse(self: Path, target: Path) -> Path:
        if self.name.startswith(".tmp-"):
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(SaveError, match="Input/output error"):
        save_checkpoint(folder, content(1, trainable={"layer.weight": WEIGHT + 100}))
    verify(folder, digests=True)
    assert torch.equal(load_tensors(folder / "trainable.safetensors")["layer.weight"], WEIGHT + 1)
    assert names(checkpoints) == ["step-00000001"]


def killed_at(folder: Path, n: int) -> bool:
    """Save step 2 in a forked process that is gone (no clean-up, as with kill -9) at its n-th disk call; False if it ended."""
    child = os.fork()
    if child == 0:
        try:
            NthCall(pytest.MonkeyPatch(), n, lambda: os._exit(9))
            save_checkpoint(folder, content(2))
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9)
    return code == 9


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_kill_at_any_point_of_a_save_leaves_whole_checkpoints_only(checkpoints: Path) -> None:
    folder = checkpoints / "step-00000002"
    n = 1
    while killed_at(folder, n):
        verify(checkpoints / "step-00000001", digests=True)
        if folder.exists():
            assert read_manifest(folder).step == 2
            verify(folder, digests=True)
        n += 1
    verify(folder, digests=True)
    assert n > 15, "the calls of a save are really met"
