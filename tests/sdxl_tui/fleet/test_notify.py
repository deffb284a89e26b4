"""A user's own command is told of what happens to runs, with no app open, whatever it does and whatever the texts hold."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.run.layout import RunDirectory
from sdxl_tui.cli import main
from sdxl_tui.config import Event
from sdxl_tui.fleet import launch
from sdxl_tui.fleet.happenings import Happening, Happenings, happening_of
from sdxl_tui.fleet.notify_command import run_notify_command
from sdxl_tui.fleet.queue import going_on
from sdxl_tui.fleet.queue.changes import Turn, put_in
from sdxl_tui.fleet.runs import list_runs
from sdxl_tui.workspace import Workspace
from tests.sdxl_tui.fleet.stand_in import engine_of, loaded, pids, speaks, standing_in, until

TELL = 'echo "$SDXL_TUI_EVENT|$SDXL_TUI_RUN|$SDXL_TUI_TEXT" >> "$SDXL_TUI_WORKSPACE/told"'


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    workspace = Workspace(tmp_path / "workspace")
    with standing_in(monkeypatch, workspace):
        yield workspace


def configure(text: str) -> None:
    path = Path(os.environ["XDG_CONFIG_HOME"]) / "sdxl-tui" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def told(workspace: Workspace) -> list[str]:
    file = workspace.path / "told"
    return file.read_text().splitlines() if file.exists() else []


def test_a_run_that_finishes_is_told_once_with_nobody_there(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(f"notify = '{TELL}'")
    monkeypatch.setattr(launch, "engine_command", engine_of(5))
    run = launch.launch(workspace, loaded(workspace.path))
    until(lambda: told(workspace))
    assert told(workspace) == [f"finished|{run.id}|{run.id}: finished after 5 steps"]
    until((workspace.path / "notify.log").exists)
    assert (workspace.path / "notify.log").read_text().endswith("finished after 5 steps  told\n")


def test_a_run_that_is_killed_is_told_as_failed_and_a_stopped_one_not(workspace: Workspace) -> None:
    configure(f"notify = '{TELL}'")
    killed = launch.launch(workspace, loaded(workspace.path))
    until(lambda: speaks(killed))
    os.kill(pids(killed)[0], signal.SIGKILL)
    until(lambda: told(workspace))
    assert told(workspace)[0].startswith(f"failed|{killed.id}|{killed.id}: killed at step ")
    stopped = launch.launch(workspace, loaded(workspace.path))
    until(lambda: speaks(stopped))
    assert main(["--workspace", str(workspace.path), "stop", stopped.id, "--wait"]) == 0
    assert main(["--workspace", str(workspace.path), "notify", "about", stopped.id, "ended"]) == 0
    assert len(told(workspace)) == 1


def test_only_what_was_asked_for_is_told(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(f"[notify]\ncommand = '{TELL}'\non = [\"failed\"]")
    monkeypatch.setattr(launch, "engine_command", engine_of(5))
    run = launch.launch(workspace, loaded(workspace.path))
    launch.wait(run, 20)
    assert main(["--workspace", str(workspace.path), "notify", "about", run.id, "ended"]) == 0
    assert told(workspace) == []


def test_no_text_of_a_run_reaches_the_shell_as_code(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    happening = Happening("fox", Event.FAILED, "$(touch pwned) `touch pwned`; touch pwned \" ' \n")
    assert run_notify_command('printf %s "$SDXL_TUI_TEXT" > text', workspace, happening) == ""
    assert (tmp_path / "text").read_text() == f"fox: {happening.words}"
    assert not (tmp_path / "pwned").exists()


def test_what_is_wrong_with_a_command_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path)
    happening = Happening("fox", Event.FINISHED, "done")
    said = run_notify_command("printf 'a\\033]52;cb'; exit 3", workspace, happening)
    assert said.startswith("the command ended with 3: a") and said.isprintable()
    assert "ended with 127" in run_notify_command("no-such-program", workspace, happening)
    monkeypatch.setattr("sdxl_tui.fleet.notify_command.SECONDS", 0.2)
    assert "more than" in run_notify_command("sleep 60 & sleep 60", workspace, happening)


def test_a_configuration_that_is_wrong_is_noted_where_one_looks(workspace: Workspace) -> None:
    workspace.create()
    configure("notify = ")
    assert main(["--workspace", str(workspace.path), "notify", "about", "fox-1", "ended"]) == 2
    assert "config.toml:1" in (workspace.path / "notify.log").read_text()


def test_an_open_app_sees_each_thing_once_and_nothing_old(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = launch.launch(workspace, loaded(workspace.path))
    until(lambda: speaks(run))
    _append(run, '{"event":"nonfinite","step":1,"what":"loss"}')
    happenings = Happenings()
    assert happenings.look(list_runs(workspace)) == []
    _append(run, '{"event":"nonfinite","step":2,"what":"loss","dropped":true}', '{"event":"nonfinite","step":3}')
    _append(run, '{"event":"sampled","step":4,"files":["a.png"]}', '{"event":"sampled","step":5,"files":["b.png"]}')
    found = happenings.look(list_runs(workspace))
    assert [(one.event, one.words) for one in found] == [
        (Event.NAN, "the loss is not finite at step 2, the step was dropped"),
        (Event.FIRST_SAMPLE, "the first sample is there at step 4"),
    ]
    assert happenings.look(list_runs(workspace)) == []
    os.kill(pids(run)[0], signal.SIGKILL)
    launch.wait(run, 20)
    (end,) = happenings.look(list_runs(workspace))
    assert end.event is Event.FAILED and end.is_bad
    assert happenings.look(list_runs(workspace)) == []


def test_words_of_an_event_are_cleaned() -> None:
    found = happening_of("fox", {"event": "nonfinite", "what": "a\x1b]0;x\x07b", "step": "c"}, sampled_before=False)
    assert found is not None and found.words == "the ab is not finite"


def _append(run: RunDirectory, *lines: str) -> None:
    with run.events.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def test_a_run_of_the_queue_that_cannot_be_started_is_told(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(f"notify = '{TELL}'")
    run = launch.make_run(workspace, loaded(workspace.path))
    monkeypatch.setattr(launch, "engine_command", lambda *_: ["/no/such/python"])
    put_in(workspace, run, Turn())
    assert run.id in going_on.go_on(workspace).refused
    until(lambda: told(workspace))
    assert told(workspace)[0].startswith(f"failed|{run.id}|{run.id}: could not be started and is held: ")
    assert going_on.go_on(workspace).refused == {}, "it is held: it is told once"
