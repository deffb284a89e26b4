"""The dialog before a launch: the dry run, when and where, and sweeps whose runs are told before they are made."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from engine.profile.fields import profile_field
from engine.profile.load import LoadedProfile
from engine.run.layout import RunDirectory
from sdxl_tui.app import SdxlTui
from sdxl_tui.fleet.launch_outlook import LaunchOutlook, look_before_launch
from sdxl_tui.fleet.queue import chains
from sdxl_tui.fleet.queue.record import read_queue
from sdxl_tui.screens.launch_dialog import LaunchDialog, sweep_example
from sdxl_tui.screens.profile_editor import ProfileEditor
from sdxl_tui.screens.profiles import ProfilesScreen
from sdxl_tui.screens.runs import RunsScreen
from sdxl_tui.workspace import Workspace
from tests.sdxl_tui.places.place_field import PROFILE, Field, screen_text, until
from tests.sdxl_tui.places.test_profile_editor import editor, go_to, shell


async def opened(pilot: Pilot[None]) -> LaunchDialog:
    """The dialog, opened from the field ``optimizer.lr``."""
    await go_to(pilot, "optimizer", "lr")
    await pilot.press("ctrl+l")
    await until(pilot, lambda: isinstance(pilot.app.screen, LaunchDialog), "the dialog")
    screen = pilot.app.screen
    assert isinstance(screen, LaunchDialog)
    return screen


async def shown(pilot: Pilot[None], *words: str) -> None:
    await until(pilot, lambda: all(word in screen_text(pilot.app) for word in words), " and ".join(words))


async def test_it_says_what_would_be_made_and_what_it_takes(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        await opened(pilot)
        await shown(pilot, "1 run · 2,000 steps", "Memory", "Disk", "nothing like it has been trained")
        await pilot.press("escape")
        await until(pilot, lambda: bool(editor(pilot)), "the editor")
    assert not list(field.workspace.runs.iterdir())


async def test_what_cannot_be_trained_is_told_before_anything_is_made(field: Field) -> None:
    text = PROFILE.replace("bundled:demo-images", "/nowhere")
    async with shell(field, text).run_test(size=(80, 24), notifications=True) as pilot:
        dialog = await opened(pilot)
        await shown(pilot, "Not possible", "name the folder")
        await pilot.press("enter")
        await pilot.pause()
        assert pilot.app.screen is dialog


async def test_a_sweep_over_two_fields_queues_a_run_for_each_pair(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        dialog = await opened(pilot)
        assert dialog.query_one("#sweep-1", Input).placeholder == "optimizer.lr=1e-4,2e-4"
        await pilot.press("down", *"optimizer.lr=1e-4,2e-4", "down", *"network.rank=4,8")
        await shown(pilot, "4 runs", "8,000 steps", "fox-lr1e-4-rank4")
        await pilot.press("enter")
        await until(pilot, lambda: len(read_queue(field.workspace).entries) == 4, "the queue")
    names = sorted(path.name.rpartition("-2")[0] for path in field.workspace.runs.iterdir())
    assert [name.rsplit("-2", 1)[0] for name in names] == [
        "fox-lr1e-4-rank4",
        "fox-lr1e-4-rank8",
        "fox-lr2e-4-rank4",
        "fox-lr2e-4-rank8",
    ]


@pytest.mark.parametrize(
    ("path", "value", "example"),
    [
        ("optimizer.lr", 1e-4, "optimizer.lr=1e-4,2e-4"),
        ("network.rank", None, "network.rank=16,32"),
        ("dataset.flip", True, "dataset.flip=true,false"),
        ("optimizer.beta1", None, "optimizer.beta1=value,value"),
    ],
)
def test_a_sweep_is_suggested_from_the_fields_value(path: str, value: object, example: str) -> None:
    assert sweep_example(profile_field(path), value) == example


async def test_the_example_of_a_sweep_is_taken_with_one_key(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        dialog = await opened(pilot)
        await pilot.press("down")
        await pilot.pause()
        assert "takes it" in screen_text(pilot.app)
        await pilot.press("right")
        line = dialog.query_one("#sweep-1", Input)
        assert line.value == "optimizer.lr=1e-4,2e-4"
        await pilot.press("left", "right", "backspace", "5")
        assert line.value == "optimizer.lr=1e-4,2e-5"


async def test_the_name_of_a_swept_field_is_completed(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        dialog = await opened(pilot)
        await pilot.press("down", *"optimizer.l")
        await pilot.pause(0.2)
        await pilot.press("right")
        assert dialog.query_one("#sweep-1", Input).value == "optimizer.lr="


async def test_a_sweep_that_cannot_be_is_told_and_not_launched(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        dialog = await opened(pilot)
        await pilot.press("down", *"optimizer.lr=1e-4,20", "enter")
        await shown(pilot, "Not possible", "at most 10")
        assert pilot.app.screen is dialog


async def test_enter_pressed_while_it_is_looked_at_launches_when_it_is_known(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[LoadedProfile] = []

    def note(workspace: object, loaded: LoadedProfile, *_: object, **__: object) -> list[RunDirectory]:
        made.append(loaded)
        return [RunDirectory(field.workspace.runs / "fox-1")]

    monkeypatch.setattr(chains, "begin", note)
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        await opened(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: bool(made), "the launch")


def look_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a large data set on a slow disk."""
    look = look_before_launch

    def slow(path: Path, workspace: Workspace, swept: tuple[str, ...]) -> LaunchOutlook:
        time.sleep(0.6)
        return look(path, workspace, swept)

    monkeypatch.setattr("sdxl_tui.screens.launch_dialog.look_before_launch", slow)


async def test_what_is_typed_after_enter_is_not_launched_without_another_one(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_slowly(monkeypatch)
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        dialog = await opened(pilot)
        await pilot.press("down", *"optimizer.lr=1e-4,2e-4", "enter", *",3e-3")
        await shown(pilot, "3 runs")
        await pilot.pause(0.3)
        assert pilot.app.screen is dialog
        assert read_queue(field.workspace).entries == ()


@pytest.mark.parametrize("key", ["ctrl+p", "f1"])
async def test_nothing_is_launched_behind_what_came_in_front(
    field: Field, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    look_slowly(monkeypatch)
    app = SdxlTui(field.workspace)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("2")
        await app.push_screen(ProfileEditor(field.workspace, field.profile(text=PROFILE)))
        dialog = await opened(pilot)
        await pilot.press("enter", key)
        await pilot.pause(1.2)
        assert not list(field.workspace.runs.iterdir())
        await pilot.press("escape" if key == "ctrl+p" else "f2")
        await until(pilot, lambda: app.screen is dialog, "the dialog as it was left")


async def test_a_dialog_that_ends_behind_another_screen_goes_when_it_is_in_front_again(field: Field) -> None:
    answers: list[object] = []
    app = SdxlTui(field.workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        dialog = LaunchDialog(field.profile(text=PROFILE), field.workspace)
        await app.push_screen(dialog, answers.append)
        await pilot.press("f2")
        await until(pilot, lambda: isinstance(app.screen, ProfilesScreen), "the other place")
        dialog.dismiss(None)
        await pilot.pause(0.2)
        assert isinstance(app.screen, ProfilesScreen)
        assert not answers
        await pilot.press("f1")
        await until(pilot, lambda: answers == [None], "its end")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen), "what was below")
