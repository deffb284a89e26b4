"""A profile's new name: who extends it goes on doing so, nobody else begins to, and a crash leaves every profile valid."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.profile.extends import lineage_of
from engine.profile.load import load_profile
from sdxl_tui.fleet.kept_drafts import DraftKeeper
from sdxl_tui.fleet.profile_rename import look_around, rename
from sdxl_tui.workspace import Workspace
from tests.engine.mounts import small_disk

BASE = '# mine\nname = "base"\n[model]\nbase = "bundled:demo-base"\n[[dataset.sources]]\npath = "bundled:demo-images"\n'


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "ws")
    made.create()
    return made


def write(workspace: Workspace, name: str, text: str) -> Path:
    path = workspace.profiles / f"{name}.toml"
    path.write_text(text)
    return path


def test_heirs_follow_in_the_way_they_were_written_and_the_own_name_too(workspace: Workspace) -> None:
    base = write(workspace, "base", BASE)
    kid = write(workspace, "kid", 'extends = "base"  # the usual\n')
    other = write(workspace, "other", 'extends = "./base.toml"\n')
    grandchild = write(workspace, "grandchild", 'extends = "kid"\n')
    assert look_around(base, workspace).heirs == (kid, other)
    new = rename(base, "fox", workspace)
    assert not base.exists()
    assert new.read_text() == BASE.replace('"base"', '"fox"')
    assert kid.read_text() == 'extends = "fox"  # the usual\n'
    assert other.read_text() == 'extends = "./fox.toml"\n'
    assert lineage_of(grandchild).parents == (kid, new)


def test_a_name_that_was_chosen_otherwise_stays(workspace: Workspace) -> None:
    text = BASE.replace('name = "base"', 'name = "my-lora"')
    assert rename(write(workspace, "base", text), "fox", workspace).read_text() == text


def test_a_name_that_is_taken_is_refused_and_nothing_is_touched(workspace: Workspace) -> None:
    base, fox = write(workspace, "base", BASE), write(workspace, "fox", "# other\n")
    with pytest.raises(UserError, match=r"fox\.toml is there already"):
        rename(base, "fox", workspace)
    assert (base.read_text(), fox.read_text()) == (BASE, "# other\n")


def test_a_name_that_others_mean_a_shipped_profile_by_is_refused(workspace: Workspace) -> None:
    base = write(workspace, "base", BASE)
    write(workspace, "kid", 'extends = "character"\n')
    with pytest.raises(UserError, match=r"kid\.toml would extend this profile"):
        rename(base, "character", workspace)
    assert base.exists()


@pytest.mark.parametrize("name", ["", "../x", "a b", ".x", "ä", "x" * 65, "a\x1b[31m"])
def test_what_is_no_name_is_refused(workspace: Workspace, name: str) -> None:
    base = write(workspace, "base", BASE)
    with pytest.raises(UserError, match="a name must be"):
        rename(base, name, workspace)
    assert list(workspace.profiles.iterdir()) == [base]


def test_unsaved_changes_hold_the_name(workspace: Workspace) -> None:
    base = write(workspace, "base", BASE)
    keeper = DraftKeeper(workspace.drafts, base)
    keeper.want("# unsaved")
    keeper.write()
    with pytest.raises(UserError, match="unsaved changes"):
        rename(base, "fox", workspace)
    keeper.forget()
    assert rename(base, "fox", workspace).exists()


def test_a_symlink_is_renamed_and_its_target_is_not(workspace: Workspace, tmp_path: Path) -> None:
    real = tmp_path / "real.toml"
    real.write_text(BASE)
    link = workspace.profiles / "base.toml"
    link.symlink_to(real)
    new = rename(link, "fox", workspace)
    assert new.is_symlink()
    assert os.path.realpath(new) == str(real)
    assert not link.is_symlink()


@pytest.mark.parametrize("saves", [0, 1, 2, 3])
def test_a_kill_in_the_midst_leaves_every_profile_valid(workspace: Workspace, saves: int) -> None:
    write(workspace, "base", BASE)
    for kid in ("one", "two"):
        write(workspace, kid, 'extends = "base"\n')
    program = """
import os, sys
from pathlib import Path
from engine.profile.document import ProfileDocument
from sdxl_tui.fleet.profile_rename import rename
from sdxl_tui.workspace import Workspace
save, left = ProfileDocument.save, [int(sys.argv[2])]
def counted(self, **options):
    if not left[0]:
        os.kill(os.getpid(), 9)
    left[0] -= 1
    save(self, **options)
ProfileDocument.save = counted
workspace = Workspace(Path(sys.argv[1]))
rename(workspace.profiles / "base.toml", "fox", workspace)
"""
    done = subprocess.run([sys.executable, "-c", program, workspace.path, str(saves)], check=False)
    assert done.returncode == (0 if saves == 3 else -9)
    for kid in ("one", "two"):
        assert load_profile(workspace.profiles / f"{kid}.toml").profile.model.base == "bundled:demo-base"
    assert (workspace.profiles / "fox.toml").exists()


def test_on_a_full_disk_it_keeps_its_name_and_nobody_loses_a_parent(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "256k") as disk:
        workspace = Workspace(disk / "ws")
        workspace.create()
        base = write(workspace, "base", BASE)
        kid = write(workspace, "kid", f'extends = "base"\n# {"x" * 5000}\n')
        with contextlib.suppress(OSError), (disk / "rest").open("wb", buffering=0) as rest:
            while True:
                rest.write(bytes(4096))
        with pytest.raises(UserError, match="it keeps its name"):
            rename(base, "fox", workspace)
        assert sorted(path.name for path in workspace.profiles.glob("*.toml")) == ["base.toml", "kid.toml"]
        assert lineage_of(kid).parents == (base,)
