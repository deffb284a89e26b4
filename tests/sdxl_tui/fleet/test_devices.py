"""GPUs are shared out by memory and by locks. What ``nvidia-smi`` answers is stood in for; the locks are the kernel's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.profile.schema import Launch
from engine.run.errors import RunError
from engine.run.layout import RunDirectory
from engine.run.liveness import assess
from sdxl_tui.fleet import launch
from sdxl_tui.fleet.devices import DevicesBusy, Needs, claim, lock_folder, needs_of
from sdxl_tui.fleet.gpus import Gpu, list_gpus, visible
from sdxl_tui.fleet.queue import going_on
from sdxl_tui.fleet.queue.changes import Turn, find_gpus, put_in
from sdxl_tui.fleet.queue.look import look_at
from sdxl_tui.fleet.queue.record import QueueError
from sdxl_tui.fleet.stop import stop_now
from sdxl_tui.workspace import Workspace
from tests.sdxl_tui.fleet.stand_in import PROFILE, loaded, process_of, standing_in

GB = 10**9
MIB = 1 << 20
FOUR = [Gpu(number, f"GPU-{letter * 8}-0", "NVIDIA L40S", 48 * GB, 0) for number, letter in enumerate("abcd")]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    workspace = Workspace(tmp_path / "workspace")
    with standing_in(monkeypatch, workspace):
        # Nobody goes on by itself here: the tests say when.
        monkeypatch.setattr(launch, "go_on_command", lambda _workspace: ["true"])
        yield workspace


def answer(monkeypatch: pytest.MonkeyPatch, folder: Path, *lines: str) -> None:
    """Let ``nvidia-smi`` print ``lines``."""
    program = folder / "bin" / "nvidia-smi"
    program.parent.mkdir(exist_ok=True)
    text = "\n".join(lines)
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


def two_gpus(monkeypatch: pytest.MonkeyPatch, folder: Path, *, used: tuple[int, int] = (0, 0)) -> None:
    answer(
        monkeypatch,
        folder,
        f"0, GPU-aaaaaaaa-0, NVIDIA GeForce RTX 4090, 24564, {used[0]}",
        f"1, GPU-bbbbbbbb-0, NVIDIA GeForce RTX 4090, 24564, {used[1]}",
    )


def environment_of(run: RunDirectory) -> dict[str, str]:
    """What the engine was told of its devices."""
    words = Path(f"/proc/{process_of(run).engine_pid}/environ").read_bytes().decode().split("\0")
    return dict(word.split("=", 1) for word in words if word.startswith("CUDA_"))


def lined(workspace: Workspace, processes: int = 1, **turn: object) -> RunDirectory:
    profile = PROFILE.model_copy(update={"launch": Launch(processes=processes)})
    run = launch.make_run(workspace, replace(loaded(workspace.path), profile=profile))
    put_in(workspace, run, Turn(**turn))  # type: ignore[arg-type]
    return run


def test_what_the_driver_says_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    two_gpus(monkeypatch, tmp_path, used=(1000, 0))
    first, second = list_gpus()
    assert first == Gpu(0, "GPU-aaaaaaaa-0", "NVIDIA GeForce RTX 4090", 24564 * MIB, 1000 * MIB)
    assert (first.free, second.free) == (23564 * MIB, 24564 * MIB)
    answer(monkeypatch, tmp_path, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.")
    assert list_gpus() == []
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list_gpus() == []


@pytest.mark.parametrize(
    ("setting", "seen"),
    [
        (None, [0, 1, 2, 3]),
        ("", []),
        ("-1", []),
        ("2,0", [2, 0]),
        ("GPU-cccccccc", [2]),
        ("1,9,0", [1]),
        ("1,1,0", [1]),
        ("GPU-bbbbbbbb-0, 3", [1, 3]),
    ],
)
def test_only_visible_gpus_are_given_out(setting: str | None, seen: list[int]) -> None:
    assert [gpu.index for gpu in visible(FOUR, setting)] == seen


def test_each_run_gets_a_gpu_of_its_own_and_the_third_waits(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_gpus(monkeypatch, tmp_path, used=(4000, 0))
    first, second, third = (lined(workspace) for _ in range(3))
    assert going_on.go_on(workspace).started == [first.id, second.id]
    assert environment_of(first) == {"CUDA_VISIBLE_DEVICES": "GPU-bbbbbbbb-0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert environment_of(second)["CUDA_VISIBLE_DEVICES"] == "GPU-aaaaaaaa-0"
    assert [one.why for one in look_at(workspace)[1]] == ["next in the queue"]
    with pytest.raises(DevicesBusy, match=f"1 by {first.id}, 0 by {second.id}"):
        launch.start(third)
    stop_now(first)
    assert going_on.go_on(workspace).started == [third.id]
    assert environment_of(third)["CUDA_VISIBLE_DEVICES"] == "GPU-bbbbbbbb-0"


def test_a_gpu_stays_taken_while_anything_of_its_run_lives(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_gpus(monkeypatch, tmp_path)
    run = lined(workspace, gpus=("GPU-aaaaaaaa-0",))
    going_on.go_on(workspace)
    keeper = process_of(run).keeper_pid
    assert keeper is not None
    os.kill(keeper, 9)
    with pytest.raises(DevicesBusy):
        claim(Needs(1, ("GPU-aaaaaaaa-0",)), list_gpus(), "other")
    stop_now(run)
    claim(Needs(1, ("GPU-aaaaaaaa-0",)), list_gpus(), "other").close()


def test_a_run_of_two_gpus_is_not_overtaken(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_gpus(monkeypatch, tmp_path)
    first, both, late = lined(workspace), lined(workspace, processes=2), lined(workspace)
    assert going_on.go_on(workspace).started == [first.id]
    stop_now(first)
    assert going_on.go_on(workspace).started == [both.id]
    assert environment_of(both)["CUDA_VISIBLE_DEVICES"] == "GPU-aaaaaaaa-0,GPU-bbbbbbbb-0"
    assert not assess(late).alive


def test_a_run_that_waits_for_one_gpu_leaves_the_others_to_later_ones(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_gpus(monkeypatch, tmp_path)
    first = lined(workspace, gpus=("GPU-aaaaaaaa-0",))
    second = lined(workspace, gpus=("GPU-aaaaaaaa-0",))
    third = lined(workspace)
    assert going_on.go_on(workspace).started == [first.id, third.id]
    assert environment_of(third)["CUDA_VISIBLE_DEVICES"] == "GPU-bbbbbbbb-0"
    assert not assess(second).alive


def test_memory_of_other_programs_is_waited_for(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_gpus(monkeypatch, tmp_path, used=(24560, 24560))
    run = lined(workspace)
    went = going_on.go_on(workspace)
    assert went.started == [] and went.waits_for_strangers
    two_gpus(monkeypatch, tmp_path, used=(24560, 0))
    went = going_on.go_on(workspace)
    assert went.started == [run.id] and not went.waits_for_strangers


def test_a_gpu_that_is_not_there_is_named(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_gpus(monkeypatch, tmp_path)
    assert find_gpus(["1", "GPU-aaaa"], list_gpus()) == ("GPU-bbbbbbbb-0", "GPU-aaaaaaaa-0")
    with pytest.raises(QueueError, match="there is no GPU '7'"):
        find_gpus(["7"], list_gpus())
    run = lined(workspace, gpus=("GPU-gone",))
    assert "there is no GPU GPU-gone here" in going_on.go_on(workspace).refused[run.id]
    too_many = lined(workspace, processes=3)
    assert "launch.processes is 3, and there are 2 GPUs" in going_on.go_on(workspace).refused[too_many.id]
    wrong = needs_of(PROFILE.model_copy(update={"launch": Launch(device="cuda:4")}))
    with pytest.raises(RunError, match="cuda:4, and there are 2 GPUs"):
        claim(wrong, list_gpus(), "run")


def test_a_gpu_that_the_profile_names_is_locked_and_left_to_the_profile(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_gpus(monkeypatch, tmp_path)
    needs = needs_of(PROFILE.model_copy(update={"launch": Launch(device="cuda:1")}))
    with claim(needs, list_gpus(), "first") as taken:
        assert taken.environment == {}
        with pytest.raises(DevicesBusy, match="GPU in use: 1 by first"):
            claim(needs, list_gpus(), "second")
        claim(Needs(1), list_gpus(), "second").close()


def test_the_processor_is_for_one_of_the_queue_but_shared_by_those_started_at_once(workspace: Workspace) -> None:
    with (
        claim(Needs(0), (), "one", alone=False),
        claim(Needs(0), (), "two", alone=False),
        pytest.raises(DevicesBusy, match="the processor trains two"),
    ):
        claim(Needs(0), (), "three")
    with claim(Needs(0), (), "three"):
        claim(Needs(0), (), "at once", alone=False).close()


def test_locks_lie_among_temporary_files_where_there_is_no_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "~nobody-here/state")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert lock_folder() == tmp_path / f"sdxl-tui-{os.getuid()}"
