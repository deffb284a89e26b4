"""The Profiles place: what is listed, and what its keys do."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from engine.profile.load import LoadedProfile
from engine.profile.shipped import shipped_profiles
from engine.run.layout import RunDirectory
from sdxl_tui.fleet.profile_shelf import ProfileShelf, free_name
from sdxl_tui.fleet.queue import chains
from sdxl_tui.fleet.queue.changes import Turn
from sdxl_tui.screens.ask import Ask
from sdxl_tui.screens.diff_dialog import ChooseOther
from sdxl_tui.screens.new_profile import NewProfile
from sdxl_tui.screens.profile_editor import ProfileEditor
from sdxl_tui.screens.profiles import ProfilesScreen, ProfileTable
from sdxl_tui.screens.rename_profile import RenameProfile
from sdxl_tui.workspace import Workspace
from tests.engine.mounts import small_disk
from tests.sdxl_tui.places.place_field import PROFILE, Field, Shell, matches_snapshot, screen_text, until


def shell(field: Field) -> Shell:
    """An app that shows the place."""
    return Shell(lambda: ProfilesScreen(field.workspace))


async def shows(pilot: Pilot[None], text: str) -> None:
    """Wait until ``text`` stands on the screen."""
    await until(pilot, lambda: text in screen_text(pilot.app), f"{text!r}")


async def test_it_lists_the_workspaces_profiles_and_the_shipped_ones(field: Field) -> None:
    field.profile()
    field.profile("broken", PROFILE.replace("lr = 1e-4", "lr = 20.0"))
    async with shell(field).run_test(size=(80, 50), notifications=True) as pilot:
        await shows(pilot, "character")
        lines = screen_text(pilot.app).splitlines()
        assert any("fox" in line and "workspace" in line and "1.00e-4" in line and "valid" in line for line in lines)
        assert any("broken" in line and "✗ 1 problem" in line for line in lines)
        for shipped in shipped_profiles():
            assert any(shipped.stem in line and "shipped" in line for line in lines)
        await shows(pilot, "optimizer.lr = 20.0")  # the plan's place says what is wrong


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50)])
async def test_it_looks_as_it_did(field: Field, width: int, height: int) -> None:
    field.profile()
    async with shell(field).run_test(size=(width, height), notifications=True) as pilot:
        await shows(pilot, "images seen" if width > 80 else "Samples")
        await pilot.pause()
        own = [
            line for line in screen_text(pilot.app).splitlines() if not any(s.stem in line for s in shipped_profiles())
        ]
        matches_snapshot(f"profiles-{width}x{height}", "\n".join(own))


async def test_a_profile_edited_outside_is_judged_again(field: Field) -> None:
    path = field.profile()
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        await shows(pilot, "✓ valid")
        path.write_text(PROFILE.replace("lr = 1e-4", "lr = 20.0"))
        await shows(pilot, "✗ 1 problem")


async def test_enter_opens_the_editor_and_of_a_shipped_one_to_read(field: Field) -> None:
    field.profile()
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        await shows(pilot, "fox")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ProfileEditor), "the editor")
        assert isinstance(pilot.app.screen, ProfileEditor)
        assert not pilot.app.screen.read_only
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, ProfilesScreen), "the list")
        await pilot.press("end", "e")
        await until(pilot, lambda: isinstance(pilot.app.screen, ProfileEditor), "the editor")
        assert pilot.app.screen.read_only


async def test_duplicate_makes_a_copy_and_goes_to_it(field: Field) -> None:
    field.profile()
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        await shows(pilot, "fox")
        await pilot.press("d")
        await shows(pilot, "fox-2")
        assert (field.workspace.profiles / "fox-2.toml").read_text() == PROFILE
        await until(pilot, lambda: pilot.app.screen.query_one("#profiles").item.name == "fox-2", "the cursor")  # type: ignore[attr-defined]


async def test_a_shipped_profile_is_duplicated_with_its_comments_and_never_deleted(field: Field) -> None:
    demo = next(path for path in shipped_profiles() if path.stem == "demo")
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        await shows(pilot, "demo")
        await pilot.press("slash", *"demo", "enter", "x", "d")
        await until(pilot, (field.workspace.profiles / "demo.toml").is_file, "the copy")
        assert not isinstance(pilot.app.screen, Ask)
    assert (field.workspace.profiles / "demo.toml").read_text() == demo.read_text()
    assert demo.is_file()


async def test_delete_asks_and_names_the_file(field: Field) -> None:
    path = field.profile()
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        await shows(pilot, "fox")
        await pilot.press("x")
        await until(pilot, lambda: isinstance(pilot.app.screen, Ask), "the question")
        assert "fox.toml" in screen_text(pilot.app)
        await pilot.press("enter")  # the answer one stands on first destroys nothing
        await until(pilot, lambda: isinstance(pilot.app.screen, ProfilesScreen), "the list")
        assert path.is_file()
        await pilot.press("x")
        await until(pilot, lambda: isinstance(pilot.app.screen, Ask), "the question")
        await pilot.press("x")
        await until(pilot, lambda: not path.exists(), "the deletion")


async def test_new_starts_from_a_shipped_profile_under_the_name_given(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        await shows(pilot, "demo")
        await pilot.press("n")
        await until(pilot, lambda: isinstance(pilot.app.screen, NewProfile), "the dialog")
        await pilot.press("enter")
        await shows(pilot, "type a name")
        await pilot.press(*"my-fox1", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ProfileEditor), "the editor")
    text = (field.workspace.profiles / "my-fox1.toml").read_text()
    assert 'name = "my-fox1"' in text
    assert text.count("#") > 5


async def test_what_a_template_is_for_is_said_before_it_is_taken(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "valid")
        await pilot.press("n")
        await until(pilot, lambda: isinstance(pilot.app.screen, NewProfile), "the dialog")
        assert "For a character, a person or an object" in screen_text(pilot.app)
        await pilot.press("down", "right")
        await shows(pilot, "For an object, a garment, a pose")


async def test_a_profile_is_compared_from_the_list(field: Field) -> None:
    field.profile()
    field.profile("other", PROFILE.replace("1e-4", "3e-4"))
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "other")
        await pilot.press("=")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChooseOther), "the list")
        await pilot.press(*"other", "enter")
        await shows(pilot, "1 difference")
        assert "optimizer.lr" in screen_text(pilot.app)


@pytest.mark.parametrize(("key", "turn"), [("l", None), ("w", Turn())], ids=["at once", "queued"])
async def test_launch_makes_a_run_and_goes_to_its_page(
    field: Field, monkeypatch: pytest.MonkeyPatch, key: str, turn: Turn | None
) -> None:
    field.profile()
    launched: list[tuple[str, Turn | None]] = []

    def note(workspace: Workspace, loaded: LoadedProfile, turn: Turn | None, **_: object) -> list[RunDirectory]:
        launched.append((loaded.profile.name, turn))
        return [RunDirectory(workspace.runs / "fox-1")]

    monkeypatch.setattr(chains, "begin", note)
    app = shell(field)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await shows(pilot, "fox")
        await pilot.press(key)
        await until(pilot, lambda: app.opened_runs == ["fox-1"], "the run's page")
    assert launched == [("fox", turn)]


async def test_a_launch_that_the_disk_may_not_hold_says_so(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    field.profile()
    monkeypatch.setattr("engine.estimate.estimate.free_bytes", lambda _folder: 1000)
    monkeypatch.setattr(chains, "begin", lambda workspace, *_, **__: [RunDirectory(workspace.runs / "fox-1")])
    app = shell(field)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await shows(pilot, "fox")
        await pilot.press("l")
        await shows(pilot, "checkpoints.keep_last lets old ones go")
        await until(pilot, lambda: app.opened_runs == ["fox-1"], "the run's page")


async def test_launch_of_a_wrong_profile_names_the_field(field: Field) -> None:
    field.profile(text=PROFILE.replace("lr = 1e-4", "lr = 20.0"))
    app = shell(field)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await shows(pilot, "fox")
        await pilot.press("l")
        await shows(pilot, "Not launched")
    assert app.opened_runs == []


async def test_launch_with_a_missing_base_model_names_the_folder(field: Field) -> None:
    field.profile(text=PROFILE.replace("bundled:demo-base", "/nowhere/sdxl"))
    app = shell(field)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await shows(pilot, "fox")
        await pilot.press("l")
        await until(pilot, lambda: isinstance(app.screen, Ask), "the refusal")
        assert isinstance(app.screen, Ask)
        assert 'fox.toml:6:1: model.base = "/nowhere/sdxl": there is no such folder' in app.screen.text.plain
    assert list(field.workspace.runs.iterdir()) == []


def test_a_file_that_is_no_text_is_a_row_with_its_problem(field: Field) -> None:
    (field.workspace.profiles / "noise.toml").write_bytes(b"\xff\xfe\x00")
    entry = next(entry for entry in ProfileShelf(field.workspace.profiles).read() if entry.name == "noise")
    assert entry.profile is None
    assert entry.problems


def test_a_copy_takes_the_first_free_name(field: Field) -> None:
    for taken in ("a", "a-2"):
        field.profile(taken)
    assert free_name(field.workspace.profiles, "a").name == "a-3.toml"
    assert free_name(field.workspace.profiles, "b").name == "b.toml"


async def test_delete_names_the_profiles_that_extend_it(field: Field) -> None:
    field.profile("base")
    field.profile("kid", 'extends = "base"\n')
    field.profile("kids-kid", 'extends = "./kid.toml"\n')
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        await shows(pilot, "kids-kid")
        await pilot.press("x")
        await until(pilot, lambda: isinstance(pilot.app.screen, Ask), "the question")
        assert "Extended by kid, kids-kid" in screen_text(pilot.app)


def test_an_edit_of_a_parent_is_read_again_and_a_missing_one_when_it_is_there(field: Field) -> None:
    field.profile("kid", 'extends = "base"\n')
    shelf = ProfileShelf(field.workspace.profiles)
    assert shelf.read()[0].profile is None
    base = field.profile("base")
    entries = {entry.name: entry for entry in shelf.read()}
    first = entries["kid"].profile
    assert first is not None and entries["kid"].parents == (base,)
    base.write_text(f"{PROFILE}\n[network]\nrank = 64\n")
    second = next(entry for entry in shelf.read() if entry.name == "kid").profile
    assert second is not None and (first.network.rank, second.network.rank) == (16, 64)


async def test_rename_says_who_extends_it_and_the_cursor_goes_along(field: Field) -> None:
    field.profile("base")
    kid = field.profile("kid", 'extends = "base"\n')
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        await shows(pilot, "kid")
        await pilot.press("r")
        await until(pilot, lambda: isinstance(pilot.app.screen, RenameProfile), "the dialog")
        await until(pilot, lambda: "Extended by kid" in screen_text(pilot.app), "who extends it")
        box = pilot.app.screen.query_one(Input)
        box.clear()
        await pilot.press(*"kid", "enter")
        await until(pilot, lambda: "is there already" in screen_text(pilot.app), "why not")
        box.clear()
        await pilot.press(*"wolf", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ProfilesScreen), "the list")
        await shows(pilot, "wolf")
        table = pilot.app.screen.query_one(ProfileTable)
        await until(pilot, lambda: table.item is not None and table.item.name == "wolf", "the cursor")
    assert kid.read_text() == 'extends = "wolf"\n'


async def test_a_shipped_profile_has_no_rename(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        await shows(pilot, "character")
        await pilot.press("r")
        await pilot.pause()
        assert not isinstance(pilot.app.screen, RenameProfile)


async def test_the_outside_editor_opens_the_profile_under_the_cursor(
    field: Field, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = field.profile()
    program = tmp_path / "editor"
    program.write_text("#!/bin/sh\nsed -i 's/steps = 2000/steps = 3000/' \"$1\"\n")
    program.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(program))
    monkeypatch.delenv("VISUAL", raising=False)
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        await shows(pilot, "2,000")
        monkeypatch.setattr(pilot.app, "suspend", contextlib.nullcontext)  # the test's terminal cannot be lent
        await pilot.press("E")
        await shows(pilot, "3,000")
    assert "steps = 3000" in path.read_text()


async def test_in_a_folder_that_is_read_only_every_change_says_so_and_nothing_is_lost(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        field = Field(Workspace(disk / "ws"))
        field.workspace.create()
        path = field.profile()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
            await shows(pilot, "fox")
            notices = pilot.app._notifications

            for key in "dxrn":
                before = len(notices)
                await pilot.press(key)
                await until(pilot, lambda before=before: len(notices) > before, "why nothing is changed")  # type: ignore[misc]
                assert {one.title for one in notices} == {"Read-only workspace"}
                assert isinstance(pilot.app.screen, ProfilesScreen)
        assert path.read_text() == PROFILE
