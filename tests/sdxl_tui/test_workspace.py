"""Which folder is the workspace, and what is said of one that cannot be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sdxl_tui.workspace import Workspace, WorkspaceError, find_workspace


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "home"


def test_the_default_lies_in_the_home_folder(home: Path) -> None:
    assert find_workspace() == Workspace(home / "sdxl-tui")
    assert not find_workspace().exists
    assert not home.exists(), "looking makes nothing"


def test_the_option_wins_over_the_environment_and_that_over_the_folder_one_stands_in(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Workspace(tmp_path / "here").create()
    monkeypatch.chdir(tmp_path / "here")
    assert find_workspace().path == tmp_path / "here"
    monkeypatch.setenv("SDXL_TUI_WORKSPACE", "~/from-environment")
    assert find_workspace().path == home / "from-environment"
    assert find_workspace("relative").path == tmp_path / "here" / "relative"
    monkeypatch.setenv("SDXL_TUI_WORKSPACE", "")
    assert find_workspace().path == tmp_path / "here"


@pytest.mark.parametrize("only", ["runs", "profiles"])
def test_a_folder_with_one_of_the_two_is_no_workspace(home: Path, only: str) -> None:
    (Path.cwd() / only).mkdir()
    assert find_workspace().path == home / "sdxl-tui"


@pytest.mark.usefixtures("home")
def test_a_current_folder_that_was_deleted_does_no_harm() -> None:
    Path.cwd().rmdir()
    assert find_workspace().path.name == "sdxl-tui"
    with pytest.raises(WorkspaceError, match="no longer exists"):
        find_workspace("relative")


def test_creating_makes_all_three_folders_and_may_be_repeated(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "deep" / "workspace")
    workspace.create()
    workspace.create()
    assert workspace.exists
    assert sorted(entry.name for entry in workspace.path.iterdir()) == ["cache", "profiles", "runs"]


@pytest.mark.parametrize("in_the_way", ["workspace", "workspace/runs", "workspace/cache"])
def test_a_file_in_the_way_is_named(tmp_path: Path, in_the_way: str) -> None:
    blocked = tmp_path / in_the_way
    blocked.parent.mkdir(exist_ok=True)
    blocked.write_text("a file")
    with pytest.raises(WorkspaceError, match="is a file, not a folder") as error:
        Workspace(tmp_path / "workspace").create()
    assert str(error.value).startswith(f"{blocked}: ")
    assert "--workspace" in str(error.value)


def test_a_file_further_up_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="lies under a file"):
        Workspace(tmp_path / "file" / "workspace").create()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path / "workspace")
    workspace.create()
    # A test may run as root, whom no permission bits stop: so it is the answer that is changed.
    monkeypatch.setattr(os, "access", lambda path, _mode: path != workspace.runs)
    with pytest.raises(WorkspaceError, match="cannot be written") as error:
        workspace.create()
    assert error.value.where == str(workspace.runs)


def test_a_folder_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="File name too long"):
        Workspace(tmp_path / ("x" * 300)).create()
