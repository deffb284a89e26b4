"""The shell: three places reachable from anywhere, help, back, and a quit that asks only when something would be lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import pytest
from textual.geometry import Region
from textual.widget import Widget
from textual.widgets import Input

from engine.run.records import ExitRecord
from sdxl_tui.app import SdxlTui
from sdxl_tui.fleet.runs import list_runs
from sdxl_tui.screens.ask import Ask
from sdxl_tui.screens.checkpoints import CheckpointsScreen
from sdxl_tui.screens.help import HelpScreen
from sdxl_tui.screens.place import Place
from sdxl_tui.screens.profiles import ProfilesScreen
from sdxl_tui.screens.run import RunScreen
from sdxl_tui.screens.runs import RunsScreen
from tests.sdxl_tui.app.run_field import RunField, change_status, fill_for_show, fill_page
from tests.sdxl_tui.app.screen_text import screen_lines, screen_text, wait_for, wait_for_text

OpenApp = Callable[..., SdxlTui]


def is_at(app: SdxlTui, place: type[Place]) -> bool:
    return isinstance(app.screen, place)


def noted(into: list[object], refresh: Callable[..., Widget], *regions: Region, **arguments: bool) -> Widget:
    into.append(regions)
    return refresh(*regions, **arguments)


@pytest.mark.parametrize("keys", [("1", "2", "3"), ("f1", "f2", "f3")])
async def test_each_place_is_one_key_away_from_every_other(
    runs: RunField, open_app: OpenApp, keys: tuple[str, str, str]
) -> None:
    fill_for_show(runs)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_for_text(pilot, "harbour")
        for key, place in zip((*keys[1:], keys[0]), (ProfilesScreen, CheckpointsScreen, RunsScreen), strict=True):
            await pilot.press(key)
            await wait_for(pilot, partial(is_at, app, place))


async def test_function_keys_lead_away_even_while_typing(runs: RunField, open_app: OpenApp) -> None:
    fill_for_show(runs)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_for_text(pilot, "harbour")
        await pilot.press("slash")
        assert isinstance(app.focused, Input)
        await pilot.press("f3")
        await wait_for(pilot, lambda: isinstance(app.screen, CheckpointsScreen))


async def test_a_place_is_found_as_it_was_left(runs: RunField, open_app: OpenApp) -> None:
    fill_for_show(runs)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_for_text(pilot, "harbour")
        await pilot.press("j", "enter")
        await wait_for(pilot, lambda: isinstance(app.screen, RunScreen))
        await pilot.press("2", "1")
        await wait_for(pilot, lambda: isinstance(app.screen, RunScreen))
        await pilot.press("1")
        await wait_for(pilot, lambda: isinstance(app.screen, RunsScreen))


async def test_c_opens_the_runs_checkpoints_and_escape_comes_back(runs: RunField, open_app: OpenApp) -> None:
    made = fill_for_show(runs)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_for_text(pilot, "harbour")
        await pilot.press("j", "enter")
        await wait_for(pilot, lambda: isinstance(app.screen, RunScreen))
        await pilot.press("c")
        await wait_for(pilot, lambda: isinstance(app.screen, CheckpointsScreen))
        await pilot.press("escape")
        await wait_for(pilot, lambda: isinstance(app.screen, RunScreen))
        assert isinstance(app.screen, RunScreen)
        assert app.screen.run_id == made["child"].id


async def test_help_lists_the_keys_that_work_here(runs: RunField, open_app: OpenApp) -> None:
    fill_for_show(runs)
    app = open_app()
    async with app.run_test(size=(100, 64)) as pilot:
        await wait_for_text(pilot, "harbour")
        await pilot.press("?")
        await wait_for(pilot, lambda: isinstance(app.screen, HelpScreen))
        text = screen_text(app)
        for shown in (
            "Stop",
            "Checkpoints",
            "Launch",
            "Filter",
            "F1 F2 F3",
            "To the shell",
            "runs go on without the app",
        ):
            assert shown in text
        await pilot.press("escape")
        await wait_for(pilot, lambda: isinstance(app.screen, RunsScreen))


async def test_q_leaves_and_touches_no_run(runs: RunField, open_app: OpenApp) -> None:
    made = fill_for_show(runs)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_for_text(pilot, "harbour")
        before = list_runs(runs.workspace)
        await pilot.press("q")
        await wait_for(pilot, lambda: not app.is_running)
    assert app.return_code == 0
    assert list_runs(runs.workspace) == before
    assert not list(made["child"].commands.iterdir())


async def test_quitting_asks_while_something_is_not_saved(
    runs: RunField, open_app: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Place, "unsaved", property(lambda _: "changes to fox.toml"))
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_for_text(pilot, "No runs yet")
        await pilot.press("q")
        await wait_for_text(pilot, "changes to fox.toml")
        assert isinstance(app.screen, Ask)
        await pilot.press("escape")
        await wait_for(pilot, lambda: isinstance(app.screen, RunsScreen))
        assert app.is_running
        await pilot.press("q", "y")
        await wait_for(pilot, lambda: not app.is_running)


async def test_ctrl_c_ends_nothing_and_says_how_to_leave(runs: RunField, open_app: OpenApp) -> None:
    app = open_app()
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await wait_for_text(pilot, "No runs yet")
        await pilot.press("ctrl+c")
        await wait_for_text(pilot, "Runs go on without it")
        assert app.is_running


async def test_a_run_that_ends_is_told_of_in_every_place(runs: RunField, open_app: OpenApp) -> None:
    run = runs.run("fox", state="training", step=40, total=400)
    app = open_app()
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await wait_for_text(pilot, "● 1 live")
        await pilot.press("2")
        await wait_for(pilot, lambda: isinstance(app.screen, ProfilesScreen))
        runs.events(run, {"event": "failed", "error": "ValueError", "message": "the images are gone"})
        change_status(run, state="failed")
        ended = ExitRecord(1, None, "exited", "", 1, 0.0)
        run.attempt(1).exit.write_text(json.dumps(ended.to_json()))
        runs.close()
        await wait_for_text(pilot, "failed at step 40: the images are gone")
        assert "live" not in screen_text(app)


async def test_the_bar_counts_live_runs_from_the_first_frame(runs: RunField, open_app: OpenApp) -> None:
    fill_for_show(runs)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_for_text(pilot, "● 2 live")


async def test_a_screen_behind_paints_nothing_and_catches_up_when_it_is_in_front(
    runs: RunField, open_app: OpenApp
) -> None:
    """What a screen behind paints makes Textual paint the one in front as a whole."""
    run = runs.run("fox", state="training", step=40, total=400)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_for_text(pilot, "40/400")
        behind = app.screen
        await pilot.press("enter")
        await wait_for_text(pilot, "10 %")
        painted: list[object] = []
        originals = [(widget, widget.refresh) for widget in behind.query(Widget)]
        for widget, original in originals:
            widget.refresh = partial(noted, painted, original)  # type: ignore[method-assign]
        change_status(run, step=60)
        await wait_for_text(pilot, "60/400")
        await pilot.pause(0.3)
        assert painted == []
        await pilot.press("escape")
        await wait_for(pilot, lambda: app.screen is behind)
        await wait_for_text(pilot, "60/400")


async def test_places_rows_and_keys_can_be_clicked(runs: RunField, open_app: OpenApp) -> None:
    made = fill_for_show(runs)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_for_text(pilot, "harbour")
        lines = screen_lines(app)
        row = next(y for y, line in enumerate(lines) if "harbour" in line)
        await pilot.click(offset=(30, row))
        assert isinstance(app.screen, RunsScreen)
        assert app.screen.run is not None and app.screen.run.id == made["stopped"].id
        await pilot.click(offset=(lines[-1].index("Filter"), 29))
        await wait_for(pilot, lambda: isinstance(app.focused, Input))
        await pilot.click(offset=(lines[0].index("Profiles"), 0))
        await wait_for(pilot, partial(is_at, app, ProfilesScreen))


@pytest.mark.parametrize("size", [(20, 5), (40, 10), (60, 16), (300, 90)])
async def test_no_terminal_is_too_small_or_too_large(runs: RunField, open_app: OpenApp, size: tuple[int, int]) -> None:
    made = fill_for_show(runs)
    fill_page(runs, made)
    app = open_app()
    async with app.run_test(size=size) as pilot:
        await wait_for(pilot, lambda: app.runs)
        await pilot.press("j", "enter")
        await wait_for(pilot, partial(is_at, app, RunScreen))
        await pilot.pause(0.3)
        await pilot.press("v", "z", "escape", "?")
        await pilot.pause(0.2)
        await pilot.press("escape", "escape")
        await wait_for(pilot, partial(is_at, app, RunsScreen))
        assert all(len(line) == size[0] for line in screen_lines(app))
