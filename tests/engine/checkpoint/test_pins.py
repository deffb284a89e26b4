"""Pinned checkpoints: one small file, written whole, and on the safe side where it cannot be read."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.checkpoint.manifest import CheckpointError
from engine.checkpoint.pins import pin, read_pins, unpin
from tests.engine.checkpoint.checkpoint_files import make_run


def test_a_pin_stays_until_it_is_taken_back(tmp_path: Path) -> None:
    run = make_run(tmp_path, "demo", 10, 20)
    assert read_pins(run) == frozenset()
    pin(run, "step-00000010")
    pin(run, "step-00000010")
    pin(run, "step-00000020")
    assert read_pins(run) == {"step-00000010", "step-00000020"}
    assert json.loads(run.pins.read_text()) == {"format": 1, "pinned": ["step-00000010", "step-00000020"]}
    unpin(run, "step-00000010")
    assert read_pins(run) == {"step-00000020"}
    with pytest.raises(CheckpointError, match="step-00000010 is not pinned"):
        unpin(run, "step-00000010")


@pytest.mark.parametrize("name", ["step-00000030", "../step-00000010", "", "run.json"])
def test_only_a_checkpoint_of_the_run_is_pinned(tmp_path: Path, name: str) -> None:
    run = make_run(tmp_path, "demo", 10)
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        pin(run, name)
    assert not run.pins.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 2, "pinned": []}', '{"format": 1, "pinned": "step"}'])
def test_where_the_file_cannot_be_read_all_are_pinned_and_nothing_is_overwritten(tmp_path: Path, text: str) -> None:
    run = make_run(tmp_path, "demo", 10, 20)
    run.pins.write_text(text)
    assert read_pins(run) == {"step-00000010", "step-00000020"}
    for change in (pin, unpin):
        with pytest.raises(CheckpointError, match="cannot be read") as raised:
            change(run, "step-00000010")
        assert raised.value.hint is not None and "deleted or mended" in raised.value.hint
    assert run.pins.read_text() == text


def test_many_who_pin_at_once_lose_nothing(tmp_path: Path) -> None:
    steps = range(1, 25)
    run = make_run(tmp_path, "demo", *steps)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda step: pin(run, run.checkpoint(step).name), steps))
    assert read_pins(run) == {run.checkpoint(step).name for step in steps}
    assert [entry.name for entry in run.path.iterdir() if entry.name.endswith(".tmp")] == []
