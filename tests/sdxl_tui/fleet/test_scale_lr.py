"""Asking a live run for another rate, from the command line to the engine's answer."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from engine.run.commands import CommandBox
from engine.run.errors import RunError
from engine.run.layout import RunDirectory
from engine.run.lock import RunLock
from engine.run.records import RunRecord
from sdxl_tui.cli import main
from sdxl_tui.fleet.scale_lr import answer_to, request_lr_scale


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A run as the manager makes it, that nothing trains."""
    run = RunDirectory(tmp_path / "runs" / "fox")
    for folder in (run.path, run.commands, run.attempt(1).path):
        folder.mkdir(parents=True, exist_ok=True)
    run.record.write_text(json.dumps(RunRecord("fox", "fox", 1.0, None, "0.1.0", None).to_json()))
    return run


def answering(run: RunDirectory, ok: bool, message: str) -> threading.Thread:
    """Something that answers the first request as an engine would."""

    def answer() -> None:
        box = CommandBox(run)
        while not (commands := box.poll()):
            time.sleep(0.01)
        fields: dict[str, Any] = box.acknowledge(commands[0], ok, message)
        line = {"time": 1.0, "attempt": 1, "event": "command"} | fields
        with run.events.open("a") as file:
            file.write(json.dumps(line) + "\n")

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    return thread


def test_a_run_that_is_not_alive_is_not_asked(run: RunDirectory) -> None:
    with pytest.raises(RunError, match="is not running"):
        request_lr_scale(run, 0.5)
    assert list(run.commands.iterdir()) == []


def test_the_request_holds_the_factor_and_the_answer_is_found(run: RunDirectory) -> None:
    with RunLock.acquire(run.lock):
        request = request_lr_scale(run, 0.5)
        (command,) = CommandBox(run).poll()
        assert (command.id, command.command, command.arguments) == (request, "scale_lr", {"factor": 0.5})
        assert answer_to(run, request, 0.0) is None
        answering(run, ok=True, message="done").join(10)
        answer = answer_to(run, request, 5.0)
    assert answer is not None
    assert answer["message"] == "done"


@pytest.mark.parametrize(("ok", "code"), [(True, 0), (False, 2)])
def test_the_command_prints_the_answer(
    run: RunDirectory, capsys: pytest.CaptureFixture[str], ok: bool, code: int
) -> None:
    with RunLock.acquire(run.lock):
        answering(run, ok, "from step 3 on the base LR is unet 5e-05")
        assert main(["scale-lr", "fox", "0.5", "--workspace", str(run.path.parent.parent)]) == code
    shown = capsys.readouterr().err
    assert "from step 3 on the base LR is unet 5e-05" in shown
    assert ("was not scaled" in shown) is not ok


@pytest.mark.parametrize("factor", ["0", "-1", "fast", "inf", "nan"])
def test_what_is_no_factor_is_refused_before_anything_is_asked(
    run: RunDirectory, capsys: pytest.CaptureFixture[str], factor: str
) -> None:
    assert main(["scale-lr", "fox", factor, "--workspace", str(run.path.parent.parent)]) == 2
    shown = capsys.readouterr().err
    assert "is not a factor" in shown or "unrecognized" in shown or "required" in shown
    assert list(run.commands.iterdir()) == []
