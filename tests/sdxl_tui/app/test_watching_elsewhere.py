"""Attached from elsewhere: a workspace that can only be read, another machine's runs, another user's folders."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.durable import write_json_atomically
from engine.errors import UserError
from engine.run.layout import RunDirectory
from engine.run.records import ProcessRecord
from sdxl_tui.app import SdxlTui
from sdxl_tui.cli import opening
from sdxl_tui.cli.entry import main
from sdxl_tui.fleet.runs import list_runs
from sdxl_tui.screens.place import in_words
from sdxl_tui.screens.stop_dialog import ways_to_stop
from sdxl_tui.workspace import Workspace
from tests.engine.mounts import mounted
from tests.sdxl_tui.app.conftest import OpenApp
from tests.sdxl_tui.app.run_field import NOW, RunField, open_workspace
from tests.sdxl_tui.app.screen_text import wait_for, wait_for_text


@pytest.fixture
def watched(runs: RunField, tmp_path: Path) -> Iterator[Workspace]:
    """The workspace of ``runs`` where it cannot be written."""
    if os.geteuid() == 0:
        with mounted(str(runs.workspace.path), tmp_path / "watched", "--bind", "-o", "ro") as folder:
            if os.access(folder, os.W_OK):
                pytest.skip("this mount does not make a bind mount read-only at once")
            yield Workspace(folder)
    else:
        (runs.workspace.path / "runs").chmod(0o500)
        yield runs.workspace
        (runs.workspace.path / "runs").chmod(0o700)


def all_of(folder: Path) -> dict[Path, int]:
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}


def refusals(app: SdxlTui) -> int:
    return sum("cannot be written by you" in said.message for said in app._notifications)


def move_to(run: RunDirectory, host: str) -> None:
    """Its processes are another machine's."""
    path = run.attempt(1).process
    record = ProcessRecord.read(path)
    assert record is not None
    write_json_atomically(path, dataclasses.replace(record, host=host, boot_id="another").to_json())


async def test_a_workspace_that_cannot_be_written_is_watched_and_nothing_is_tried(
    runs: RunField, watched: Workspace
) -> None:
    runs.run("fox")
    before = all_of(runs.workspace.path)
    app = SdxlTui(watched, now=lambda: NOW)
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_for_text(pilot, "fox")
        await wait_for_text(pilot, "read-only")
        for key in ("t", "a", "r"):
            await pilot.press(key)
            await wait_for(pilot, lambda: refusals(app) == 1)
            assert len(app.screen_stack) == 1
            app.clear_notifications()
        await pilot.press("enter")
        await wait_for_text(pilot, "Loss")
        await pilot.press("2")
        await wait_for_text(pilot, "character")
        await pilot.press("n")
        await wait_for(pilot, lambda: refusals(app) == 1)
    assert all_of(runs.workspace.path) == before


def test_the_app_opens_on_a_workspace_that_cannot_be_written(
    runs: RunField, watched: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.run("fox")
    opened: list[Workspace] = []
    monkeypatch.setattr(opening, "require_terminal", lambda instead: None)
    monkeypatch.setattr(opening, "run_app_on", opened.append)
    main(["--workspace", str(watched.path)])
    assert opened == [watched]


def test_of_a_run_on_another_machine_only_what_reaches_it_is_offered(runs: RunField) -> None:
    run = runs.run("fox", state="training", step=3)
    (summary,) = list_runs(runs.workspace)
    assert [way.key for way in ways_to_stop(summary)] == ["s", "n", "K"]
    move_to(run, "pod-b")
    (summary,) = list_runs(runs.workspace)
    (way,) = ways_to_stop(summary)
    assert way.key == "s" and "It runs on pod-b" in way.effect


async def test_a_run_on_another_machine_is_alive_without_its_lock(runs: RunField, open_app: OpenApp) -> None:
    run = runs.run("fox", state="training", step=3)
    runs.close()
    move_to(run, "pod-b")
    os.utime(run.status, (time.time(),) * 2)
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for_text(pilot, "1 live")
        await wait_for_text(pilot, "running on pod-b")
        await pilot.press("s")
        await wait_for_text(pilot, "It runs on pod-b")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_run_that_may_not_be_read_is_a_row_with_its_reason() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        Path(name).chmod(0o755)
        field = open_workspace(Path(name) / "ws")
        field.run("fox").path.chmod(0o755)
        hidden = field.run("cat")
        hidden.path.chmod(0o000)
        read, write = os.pipe()
        if (pid := os.fork()) == 0:
            try:
                os.setuid(65534)
                rows = {row.id: (row.state.value, row.reason) for row in list_runs(field.workspace)}
                os.write(write, repr(rows.get(hidden.id)).encode())
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        os.close(write)
        assert os.read(read, 4096).decode() == "('lost', 'cannot be read: Permission denied')"
        os.close(read)


def test_the_systems_errors_are_told_without_their_numbers() -> None:
    with pytest.raises(OSError, match="No such file") as error:
        os.stat("/nowhere/run")  # noqa: PTH116
    assert in_words(error.value) == "/nowhere/run: No such file or directory"
    assert in_words(UserError("is full", where="disk", hint="Free some.")) == str(
        UserError("is full", where="disk", hint="Free some.")
    )
