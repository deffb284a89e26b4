"""What a keeper tells while nobody looks: once per attempt, never twice, never in the way of the run."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from engine.run import keeper
from engine.run.lock import LockState, lock_state
from tests.engine.run.kept_process import bare_run, changed_keeper, is_gone, kept, python, until

RUN = "demo-20261124-101500"
ENGINE = """
import json, sys, time
def say(**event):
    with open("events.jsonl", "a") as file:
        file.write(json.dumps(event, separators=(",", ":")) + "\\n")
for step in range(3):
    say(event="nonfinite", step=step)
    say(event="saved", step=step, note='"event":"none"')
say(event="sampled", step=3)
time.sleep({seconds})
"""


def teller(folder: Path) -> tuple[tuple[str, ...], Path]:
    """A command that notes what it is told, and the file it notes it in."""
    told = folder / "told"
    return ("/bin/sh", "-c", f'echo "$0 $1" >> {told}'), told


def test_what_happened_in_the_run_is_told_once_each_and_the_end_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, told = teller(tmp_path)

    copy = changed_keeper(tmp_path, {"OOM_SAMPLE_SECONDS = 5.0": "OOM_SAMPLE_SECONDS = 0.1"})
    monkeypatch.setattr(keeper, "__file__", copy)
    with kept(bare_run(tmp_path), python(ENGINE.format(seconds=1)), tell=command) as run:
        run.ended()
    until(lambda: told.exists() and f"{RUN} ended\n" in told.read_text())
    lines = told.read_text().splitlines()
    assert sorted(lines[:2]) == [f"{RUN} first-sample", f"{RUN} nan"]
    assert lines[2:] == [f"{RUN} ended"]


def test_what_an_earlier_attempt_wrote_is_not_told_again(tmp_path: Path) -> None:
    command, told = teller(tmp_path)
    folder = bare_run(tmp_path)
    folder.events.write_text(json.dumps({"event": "sampled"}, separators=(",", ":")) + "\n")
    with kept(folder, ("/bin/sleep", "0.1"), tell=command) as run:
        run.ended()
    until(lambda: told.exists() and told.read_text() == f"{RUN} ended\n")


def test_an_engine_that_cannot_be_started_is_told_by_who_started_it_not_here(tmp_path: Path) -> None:
    command, told = teller(tmp_path)
    with kept(bare_run(tmp_path), ("/nowhere",), tell=command) as run:
        run.ended()
    time.sleep(0.3)
    assert not told.exists()


def test_a_command_that_hangs_or_is_not_there_holds_up_nothing_and_has_no_lock(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    hangs = ("/bin/sh", "-c", f"echo $$ > {pid_file}; exec sleep 60")
    with kept(bare_run(tmp_path), ("/bin/true",), tell=hangs) as run:
        assert run.ended().code == 0
        until(pid_file.exists)
        assert lock_state(run.run.lock) is LockState.FREE
    pid = int(pid_file.read_text())
    assert not is_gone(pid)
    os.kill(pid, 9)
    with kept(bare_run(tmp_path / "other"), ("/bin/true",), tell=("/nowhere/at/all",)) as run:
        assert run.ended().code == 0
