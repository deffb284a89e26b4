"""What is typed in the profile editor can be taken back, survives a crash, and never meets another program's changes unasked."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from textual.widgets import Input

from sdxl_tui.screens.ask import Ask
from sdxl_tui.screens.profile_editor import ProfileEditor
from sdxl_tui.widgets.choice import Choice
from sdxl_tui.widgets.toml_editor import TomlEditor
from sdxl_tui.workspace import Workspace
from tests.engine.mounts import small_disk
from tests.sdxl_tui.places.place_field import PROFILE, Field, screen_text, until
from tests.sdxl_tui.places.test_profile_editor import editor, go_to, retype, saved, shell


def drafts(field: Field) -> list[Path]:
    """The kept drafts on disk."""
    return list(field.workspace.drafts.glob("*.json"))


def left_by_a_dead_editor(field: Field, text: str) -> None:
    """Have a process keep ``text`` for the profile and die without a word."""
    program = """
import os, sys
from pathlib import Path
from sdxl_tui.fleet.kept_drafts import DraftKeeper
keeper = DraftKeeper(Path(sys.argv[1]), Path(sys.argv[2]))
keeper.want(sys.argv[3])
keeper.write()
os.kill(os.getpid(), 9)
"""
    profile = field.workspace.profiles / "fox.toml"
    subprocess.run([sys.executable, "-c", program, field.workspace.drafts, profile, text], check=False)


async def test_undo_takes_back_one_field_at_a_time_and_redo_makes_it_again(field: Field) -> None:
    async with shell(field).run_test(size=(100, 30), notifications=True) as pilot:
        draft = editor(pilot).draft
        await go_to(pilot, "optimizer", "lr")
        await retype(pilot, "3e-4")
        await pilot.press("pagedown", "left")
        await pilot.pause()
        assert draft.value("schedule.kind") != "cosine"
        both = draft.document.text
        await pilot.press("ctrl+z")
        await pilot.pause()
        assert pilot.app.screen.query_one("SectionForm Choice", Choice).value == "cosine"
        assert draft.value("optimizer.lr") == 3e-4
        await pilot.press("ctrl+z")
        await pilot.pause()
        assert draft.document.text == PROFILE
        assert isinstance(pilot.app.focused, Input)
        assert pilot.app.focused.value == "1e-4"
        await pilot.press("ctrl+z")
        assert draft.document.text == PROFILE
        await pilot.press("ctrl+y", "ctrl+y")
        await pilot.pause()
        assert draft.document.text == both


async def test_undo_goes_across_form_and_text(field: Field) -> None:
    async with shell(field).run_test(size=(100, 30), notifications=True) as pilot:
        draft = editor(pilot).draft
        await go_to(pilot, "optimizer", "lr")
        await retype(pilot, "3e-4")
        await pilot.press("ctrl+t")
        await pilot.pause()
        await pilot.press("ctrl+home", *"# mine", "enter")
        await pilot.pause(0.2)
        assert draft.document.text.startswith("# mine\n")
        await pilot.press("ctrl+z")
        await pilot.pause()
        toml = pilot.app.screen.query_one(TomlEditor)
        assert toml.text == draft.document.text == PROFILE.replace("1e-4", "3e-4")
        await pilot.press("ctrl+z")
        await pilot.pause()
        assert toml.text == PROFILE
        assert toml.text.splitlines()[toml.cursor_location[0]].startswith("lr =")


async def test_undo_takes_back_what_is_no_value(field: Field) -> None:
    async with shell(field).run_test(size=(100, 30), notifications=True) as pilot:
        await go_to(pilot, "network", "rank")
        await retype(pilot, "many")
        assert editor(pilot).draft.complaints
        await pilot.press("ctrl+z")
        await pilot.pause()
        assert not editor(pilot).draft.complaints
        assert isinstance(pilot.app.focused, Input)
        assert pilot.app.focused.value == ""


async def test_unsaved_text_is_on_the_disk_soon_and_gone_when_it_is_saved(field: Field) -> None:
    async with shell(field).run_test(size=(100, 30), notifications=True) as pilot:
        await go_to(pilot, "optimizer", "lr")
        await retype(pilot, "3e-4")
        await until(pilot, lambda: bool(drafts(field)), "the draft", seconds=3)
        await until(
            pilot, lambda: "lr = 3e-4  # the usual" in json.loads(drafts(field)[0].read_text())["text"], "it all"
        )
        await saved(pilot, editor(pilot).path)
        await until(pilot, lambda: not list(field.workspace.drafts.iterdir()), "its end")


@pytest.mark.parametrize(("key", "lr", "files"), [("t", 3e-4, 1), ("x", 1e-4, 0), ("escape", 1e-4, 1)])
async def test_what_a_crash_left_is_offered_with_what_differs(field: Field, key: str, lr: float, files: int) -> None:
    app = shell(field)
    left_by_a_dead_editor(field, PROFILE.replace("1e-4", "3e-4"))
    (before,) = drafts(field)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await until(pilot, lambda: "-lr = 1e-4  # the usual" in screen_text(app), "the question")
        shown = screen_text(app)
        assert "+lr = 3e-4  # the usual" in shown
        await pilot.press("x", "o")  # typed before anybody could have read it
        question = app.screen
        await until(pilot, lambda: isinstance(question, Ask) and not question._deaf, "its taking keys")
        assert before.exists()
        await pilot.press(key)
        await until(pilot, lambda: isinstance(app.screen, ProfileEditor), "the editor")
        await until(pilot, lambda: before.exists() == (key == "escape"), "what becomes of the file")
        assert editor(pilot).draft.value("optimizer.lr") == lr
        assert len(drafts(field)) == files
        assert editor(pilot).path.read_text() == PROFILE


async def test_a_draft_of_a_window_that_is_open_is_told_of_and_not_offered(field: Field) -> None:
    app = shell(field)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        first = editor(pilot)
        await go_to(pilot, "optimizer", "lr")
        await retype(pilot, "3e-4")
        await until(pilot, lambda: bool(drafts(field)), "the draft")
        app.push_screen(ProfileEditor(field.workspace, first.path))
        await until(pilot, lambda: "Another window has unsaved changes" in screen_text(app), "the warning")
        assert isinstance(app.screen, ProfileEditor)


async def test_a_file_changed_outside_is_read_again_at_once_where_nothing_is_unsaved(field: Field) -> None:
    async with shell(field).run_test(size=(100, 30), notifications=True) as pilot:
        await go_to(pilot, "optimizer", "lr")
        editor(pilot).path.write_text(PROFILE.replace("1e-4", "5e-5"))
        await until(pilot, lambda: editor(pilot).draft.value("optimizer.lr") == 5e-5, "the new text")
        await until(pilot, lambda: "read again" in screen_text(pilot.app), "a word about it")
        assert isinstance(pilot.app.focused, Input)
        assert pilot.app.focused.value == "5e-5"


async def test_a_file_changed_outside_does_not_touch_what_is_unsaved(field: Field) -> None:
    async with shell(field).run_test(size=(100, 30), notifications=True) as pilot:
        await go_to(pilot, "optimizer", "lr")
        await retype(pilot, "3e-4")
        editor(pilot).path.write_text(PROFILE.replace("1e-4", "5e-5"))
        await until(pilot, lambda: "saving asks first" in screen_text(pilot.app), "the warning")
        assert editor(pilot).draft.value("optimizer.lr") == 3e-4


async def test_a_deleted_file_is_noticed(field: Field) -> None:
    async with shell(field).run_test(size=(100, 30), notifications=True) as pilot:
        await pilot.pause()
        editor(pilot).path.unlink()
        await until(pilot, lambda: "was deleted or moved" in screen_text(pilot.app), "the warning")


async def test_a_full_disk_leaves_the_file_and_says_so(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "256k") as disk:
        field = Field(Workspace(disk / "ws"))
        field.workspace.create()
        async with shell(field).run_test(size=(100, 30), notifications=True) as pilot:
            await go_to(pilot, "optimizer", "lr")
            with contextlib.suppress(OSError), (disk / "rest").open("wb", buffering=0) as rest:
                while True:
                    rest.write(bytes(4096))
            await retype(pilot, "3e-4")
            await until(pilot, lambda: "save soon" in screen_text(pilot.app), "a warning")
            await pilot.press("ctrl+s")
            notices = pilot.app._notifications  # on the screen a long path wraps the words anywhere
            await until(pilot, lambda: any("cannot be written" in one.message for one in notices), "the reason")
            assert editor(pilot).unsaved
            assert editor(pilot).path.read_text() == PROFILE


async def test_on_a_disk_that_is_read_only_the_text_stays_in_the_editor_and_why_is_said(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "1m") as disk:
        field = Field(Workspace(disk / "ws"))
        field.workspace.create()
        app = shell(field)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        async with app.run_test(size=(100, 30), notifications=True) as pilot:
            await go_to(pilot, "optimizer", "lr")
            await retype(pilot, "3e-4")
            await pilot.press("ctrl+s")
            notices = pilot.app._notifications
            await until(pilot, lambda: any("Read-only file system" in one.message for one in notices), "the reason")
            assert editor(pilot).unsaved
            assert editor(pilot).draft.value("optimizer.lr") == 3e-4
            assert editor(pilot).path.read_text() == PROFILE


async def test_saving_keeps_a_symlink_and_the_permissions(field: Field, tmp_path: Path) -> None:
    app = shell(field)
    link = field.workspace.profiles / "fox.toml"
    real = tmp_path / "real.toml"
    link.rename(real)
    link.symlink_to(real)
    real.chmod(0o640)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await go_to(pilot, "optimizer", "lr")
        await retype(pilot, "3e-4")
        await saved(pilot, link)
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert "3e-4" in real.read_text()


async def test_an_editor_that_is_not_there_is_named(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISUAL", "no-such-editor --wait")
    async with shell(field).run_test(size=(100, 30), notifications=True) as pilot:
        await pilot.press("e")
        await until(pilot, lambda: "there is no program 'no-such-editor'" in screen_text(pilot.app), "the message")
        assert "$VISUAL" in screen_text(pilot.app)
