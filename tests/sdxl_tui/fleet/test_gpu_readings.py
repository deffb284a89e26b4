"""What is read of the GPUs, against a stand-in for the driver's library and for nvidia-smi: this machine has neither."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sdxl_tui.fleet.gpu_readings import NvmlReader, SmiReader, open_gpu_reader

FAKE = Path(__file__).parent / "fake_nvml"
GIB = 1 << 30
CARD: dict[str, Any] = {
    "uuid": "GPU-00", "name": "NVIDIA H100 80GB HBM3", "percent": 97, "used": 57 * GIB, "total": 80 * GIB,
    "temperature": 64, "milliwatts": 512_345, "milliwatts_limit": 700_000,
}  # fmt: skip


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that says what the stand-in's cards do."""
    file = tmp_path / "cards.json"
    file.write_text(json.dumps([CARD]))
    monkeypatch.setenv("FAKE_NVML", str(file))
    monkeypatch.syspath_prepend(str(FAKE))
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    yield file
    sys.modules.pop("pynvml", None)


@pytest.fixture
def sleeper() -> Iterator[int]:
    """The pid of somebody's program."""
    process = subprocess.Popen(["sleep", "60"])
    yield process.pid
    process.kill()
    process.wait()


def test_a_card_is_read_in_our_units(cards: Path) -> None:
    reader = open_gpu_reader()
    assert isinstance(reader, NvmlReader)
    (reading,) = reader.read({})
    assert (reading.index, reading.uuid, reading.name) == (0, "GPU-00", "NVIDIA H100 80GB HBM3")
    assert (reading.share, reading.temperature, reading.watts, reading.watts_limit) == (0.97, 64, 512.345, 700.0)
    assert (reading.used, reading.total) == (57 * GIB, 80 * GIB)


def test_what_a_card_does_not_tell_is_unknown_and_the_rest_is_read(cards: Path) -> None:
    told = {name: CARD[name] for name in ("uuid", "name", "used", "total")}
    cards.write_text(json.dumps([told]))
    reader = open_gpu_reader()
    assert reader is not None
    (reading,) = reader.read({})
    assert (reading.share, reading.temperature, reading.watts, reading.watts_limit) == (None, None, None, None)
    assert reading.used == 57 * GIB


def test_a_card_that_is_lost_later_says_so_beside_the_others(cards: Path) -> None:
    cards.write_text(json.dumps([CARD, CARD]))
    reader = open_gpu_reader()
    assert reader is not None
    cards.write_text(json.dumps([CARD, {"lost": True}]))
    first, second = reader.read({})
    assert first.problem == "" and first.share == 0.97
    assert second.problem == "GPU is lost"


def test_processes_are_ours_somebodys_or_unseen(cards: Path, sleeper: int) -> None:
    gone = 2**22 - 1
    compute = [[os.getpid(), 3 * GIB], [sleeper, 2 * GIB], [gone, None]]
    cards.write_text(json.dumps([CARD | {"compute": compute}]))
    reader = open_gpu_reader()
    assert reader is not None
    found = {process.pid: process for process in reader.read({os.getpid(): "fox-1"})[0].processes}
    assert found[os.getpid()].who == "fox-1"
    assert found[sleeper].run is None and found[sleeper].who.endswith(" sleep") and found[sleeper].user
    assert found[gone].who == f"pid {gone} (unseen)" and found[gone].memory is None


def test_a_process_in_the_session_of_a_runs_keeper_is_the_runs(cards: Path) -> None:
    child = subprocess.Popen(["sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None
    worker = int(child.stdout.readline())
    try:
        cards.write_text(json.dumps([CARD | {"compute": [[worker, GIB]]}]))
        reader = open_gpu_reader()
        assert reader is not None
        assert reader.read({child.pid: "fox-1"})[0].processes[0].run == "fox-1"
    finally:
        os.killpg(child.pid, 9)
        child.communicate()


def test_text_of_a_card_and_of_a_process_is_cleaned(cards: Path, tmp_path: Path) -> None:
    program = tmp_path / "ev\x1b]52;c;aGk=\x07il"
    program.symlink_to("/bin/sleep")
    process = subprocess.Popen([str(program), "60"])
    try:
        cards.write_text(json.dumps([CARD | {"name": "H\x1b[31m100", "compute": [[process.pid, 1]]}]))
        reader = open_gpu_reader()
        assert reader is not None
        (reading,) = reader.read({})
        assert reading.name.isprintable() and reading.processes[0].who.isprintable()
    finally:
        process.kill()
        process.wait()


def test_a_driver_that_is_not_loaded_is_no_gpu(cards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAKE_NVML")
    monkeypatch.setenv("PATH", "")
    assert open_gpu_reader() is None


def test_without_the_package_nvidia_smi_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sleeper: int) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\n"
        'case "$1" in\n'
        '--query-gpu=*) echo "0, GPU-00, NVIDIA A100, 35, 20480, 81920, 51, [N/A], 400.00"\n'
        '               echo "1, GPU-01, NVIDIA A100, [N/A], 0, 81920, 30, 60.25, 400.00";;\n'
        f'--query-compute-apps=*) echo "GPU-00, {sleeper}, 20000";;\n'
        "esac\n"
    )
    program.write_text(program.read_text().replace('case "$1"', 'sleep 0.1; case "$1"'))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    reader = open_gpu_reader()
    assert isinstance(reader, SmiReader)
    first, second = reader.read({})
    assert (first.share, first.used, first.total, first.watts) == (0.35, 20480 << 20, 81920 << 20, None)
    assert [process.pid for process in first.processes] == [sleeper]
    assert (second.share, second.watts, second.processes) == (None, 60.25, ())
    assert 10 <= reader.seconds <= 60, "a slow program is asked less often"


def test_readings_that_are_the_same_compare_equal(cards: Path) -> None:
    """The watch tells only of changes: nothing is painted while nothing happens."""
    reader = open_gpu_reader()
    assert reader is not None
    before = reader.read({})
    assert reader.read({}) == before
    cards.write_text(json.dumps([CARD | {"percent": 3}]))
    after = reader.read({})
    assert after == (dataclasses.replace(before[0], share=0.03),)
