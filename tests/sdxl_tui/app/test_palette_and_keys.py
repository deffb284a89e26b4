"""The command palette, and a user's own keys."""

from __future__ import annotations

import re

import pytest
from textual.command import CommandPalette

from sdxl_tui.app import SdxlTui
from sdxl_tui.cli import main
from sdxl_tui.config import Config
from sdxl_tui.named_keys import lost_keys, named_keys, unknown_names
from sdxl_tui.screens.compare_runs import CompareRunsPage
from sdxl_tui.screens.help import HelpScreen
from sdxl_tui.screens.run import RunScreen
from sdxl_tui.screens.stop_dialog import StopDialog
from sdxl_tui.widgets.key_names import action_name, area_name
from tests.sdxl_tui.app.conftest import OpenApp
from tests.sdxl_tui.app.run_field import NOW, RunField
from tests.sdxl_tui.app.screen_text import screen_text, wait_for, wait_for_text


async def test_the_palette_does_what_the_screen_in_front_can_do(runs: RunField, open_app: OpenApp) -> None:
    runs.run("fox", state="training", step=9)
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for_text(pilot, "fox")
        await pilot.press("ctrl+p")
        await wait_for_text(pilot, "Stop")
        assert "Resume" not in screen_text(app), "it trains: there is nothing to resume"
        await pilot.press(*"stop")
        await wait_for_text(pilot, "key s")
        await pilot.pause(0.3)
        await pilot.press("enter")
        await wait_for(pilot, lambda: isinstance(app.screen, StopDialog))


async def test_the_palette_opens_runs_and_changes_the_theme(runs: RunField, open_app: OpenApp) -> None:
    cat = runs.run("cat")
    runs.run("owl")
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for_text(pilot, "owl")
        await pilot.press("ctrl+p", *cat.id[:7])
        await wait_for_text(pilot, f"Open {cat.id}")
        await pilot.pause(0.3)
        await pilot.press("enter")
        await wait_for(pilot, lambda: isinstance(app.screen, RunScreen))
        assert isinstance(app.screen, RunScreen) and app.screen.run_id == cat.id
        await pilot.press("ctrl+p", *"light")
        await wait_for_text(pilot, "Theme: light")
        await pilot.pause(0.3)
        await pilot.press("enter")
        await wait_for(pilot, lambda: app.theme == "light")


async def test_a_users_keys_work_and_are_shown_and_the_old_ones_do_not(runs: RunField) -> None:
    runs.run("cat", age=5)
    runs.run("owl", age=9)
    app = SdxlTui(runs.workspace, now=lambda: NOW, config=Config(keys={"runs.compare": "f9,%", "app.help": "f10"}))
    async with app.run_test(size=(140, 30)) as pilot:
        await wait_for_text(pilot, "owl")
        await wait_for_text(pilot, "F9 Compare")
        await pilot.press("space", "space", "equals_sign", "question_mark")
        await pilot.pause()
        assert not isinstance(app.screen, CompareRunsPage | HelpScreen)
        await pilot.press("percent_sign")
        await wait_for(pilot, lambda: isinstance(app.screen, CompareRunsPage))
        await pilot.press("f10")
        await wait_for(pilot, lambda: isinstance(app.screen, HelpScreen))


async def test_wrong_and_lost_keys_are_told(runs: RunField, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdxl_tui.app.KEYS_SECONDS", 0.05)
    runs.run("cat")
    app = SdxlTui(runs.workspace, now=lambda: NOW, config=Config(keys={"runs.compare": "c", "runs.opne": "x"}))
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        await wait_for_text(pilot, "no such key; did you mean")
        await wait_for_text(pilot, "runs.checkpoints")


def test_every_name_is_unique_per_action_and_speaks() -> None:
    known = named_keys()
    assert len({key.name for key in known}) == len(known) > 80
    assert all(re.fullmatch(r"[a-z0-9-]+\.[a-z0-9-]+", key.name) and key.words and key.keys for key in known)
    assert {"runs.stop", "run.zoom", "chart.log", "app.quit", "draft.save"} <= {key.name for key in known}
    assert unknown_names({"runs.stop": "S"}, known) == [] == lost_keys({"runs.stop": "S"}, known)
    assert "runs.filter" in lost_keys({"runs.stop": "/"}, known)[0]
    assert lost_keys({"runs.stop": "r", "runs.resume": "s"}, known) == [], "an exchange loses nothing"


def test_names_come_from_the_code() -> None:
    assert area_name("CompareRunsPage") == "compare-runs" and area_name("RunsScreen") == "runs"
    assert action_name("move('up')") == "move-up" and action_name("zoom(-1)") == "zoom-back-1"


def test_the_command_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "runs."]) == 0
    assert re.search(r"runs\.stop +s +Stop", capsys.readouterr().out)


async def test_the_palette_is_left_with_the_place(runs: RunField, open_app: OpenApp) -> None:
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        for key in ("ctrl+p", "f2", "ctrl+p", "f1", "ctrl+p"):
            await pilot.press(key)
            await pilot.pause(0.3)
        assert sum(isinstance(screen, CommandPalette) for stack in app._screen_stacks.values() for screen in stack) == 1
