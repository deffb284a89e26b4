"""Stopping and resuming from the app: what is asked, what is said to be lost, and what is done."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.profile.load import read_snapshot
from engine.profile.schema import Profile
from engine.run.commands import CommandBox
from engine.run.errors import RunError
from engine.run.layout import RunDirectory
from sdxl_tui.app import SdxlTui
from sdxl_tui.fleet.runs import RunSummary, list_runs
from sdxl_tui.screens import run_place, stop_dialog
from sdxl_tui.screens.ask import Ask
from sdxl_tui.screens.run import RunScreen
from sdxl_tui.screens.run_profile import RunProfileDialog
from sdxl_tui.screens.runs import RunsScreen
from sdxl_tui.screens.stop_dialog import StopDialog, ways_to_stop
from tests.sdxl_tui.app.run_field import RunField
from tests.sdxl_tui.app.screen_text import screen_text, wait_for, wait_for_text

OpenApp = Callable[..., SdxlTui]


def summary(runs: RunField) -> RunSummary:
    return list_runs(runs.workspace)[0]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (0, "No step is done yet."),
        (40, "all 40 steps are lost"),
        (100, "Its last step is saved."),
        (101, "The 1 step since its checkpoint at 100"),
        (187, "The 87 steps since its checkpoint at 100 are lost."),
    ],
)
def test_the_dialog_says_what_a_stop_without_saving_loses(runs: RunField, step: int, said: str) -> None:
    runs.run("fox", state="training", step=step)
    save, now, kill = ways_to_stop(summary(runs))
    assert said not in save.effect
    assert said in now.effect and said in kill.effect


@pytest.mark.parametrize(
    ("keys", "act"),
    [
        (["s"], "request_stop"),
        (["enter"], "request_stop"),
        (["n"], "stop_now"),
        (["j", "enter"], "stop_now"),
        (["K"], "kill"),
        (["down", "down", "down", "up", "down", "enter"], "kill"),
        (["escape"], None),
        (["q"], None),
    ],
)
async def test_each_way_to_stop_is_a_key_or_a_choice(
    runs: RunField, open_app: OpenApp, monkeypatch: pytest.MonkeyPatch, keys: list[str], act: str | None
) -> None:
    done: list[tuple[str, str]] = []
    for name in ("request_stop", "stop_now", "kill"):
        monkeypatch.setattr(stop_dialog, name, lambda run, name=name: done.append((name, run.id)))
    run = runs.run("fox", state="training", step=40)
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for_text(pilot, "● train")
        await pilot.press("s")
        await wait_for(pilot, lambda: isinstance(app.screen, StopDialog))
        assert run.id in screen_text(app)
        await pilot.press(*keys)
        await wait_for(pilot, lambda: isinstance(app.screen, RunsScreen))
        if act is not None:
            await wait_for(pilot, lambda: done)
    assert done == ([(act, run.id)] if act else [])


async def test_a_stop_that_cannot_be_done_is_said(
    runs: RunField, open_app: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(run: RunDirectory) -> None:
        raise RunError("runs on another-box, out of reach from here", where=run.id, hint="Ask it to save and end.")

    monkeypatch.setattr(stop_dialog, "kill", refuse)
    runs.run("fox", state="training", step=40)
    app = open_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await wait_for_text(pilot, "● train")
        await pilot.press("s", "K")
        await wait_for_text(pilot, "another-box")
        assert app.is_running


async def test_only_a_live_run_can_be_stopped_and_only_a_dead_one_resumed(runs: RunField, open_app: OpenApp) -> None:
    runs.run("dead", state="stopped", step=40)
    runs.run("live", state="training", step=40)
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for_text(pilot, "s Stop")
        assert "r Resume" not in screen_text(app)
        await pilot.press("j")
        await wait_for_text(pilot, "r Resume")
        assert "s Stop" not in screen_text(app)
        await pilot.press("s")
        assert isinstance(app.screen, RunsScreen)


async def test_a_run_without_a_checkpoint_is_offered_a_new_start(
    runs: RunField, open_app: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr("sdxl_tui.fleet.start_again.start", lambda run, profile: started.append(run.id))
    run = runs.run("fox", state="stopped", step=4)
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for_text(pilot, "■ stop")
        await pilot.press("r")
        await wait_for(pilot, lambda: isinstance(app.screen, Ask))
        assert "no checkpoint to resume from" in screen_text(app)
        assert "Note: " in screen_text(app) and "fox.toml is gone" in screen_text(app), "why no edit was looked for"
        await pilot.press("s")
        await wait_for(pilot, lambda: started)
    assert started == [run.id]


async def test_what_a_start_had_applied_can_be_taken_back_by_starting_as_launched(
    runs: RunField, open_app: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Profile | None] = []
    monkeypatch.setattr("sdxl_tui.fleet.start_again.start", lambda run, profile: started.append(profile))
    run = runs.run("fox", state="stopped", step=4)
    run.attempt(1).profile.write_text(run.profile.read_text().replace("lr = 1e-4", "lr = 0.5", 1))
    launched, trained = read_snapshot(run.profile), read_snapshot(run.latest_profile)
    assert launched.optimizer.lr != trained.optimizer.lr == 0.5
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for_text(pilot, "■ stop")
        await pilot.press("r")
        await wait_for(pilot, lambda: isinstance(app.screen, Ask))
        assert "optimizer.lr: 5.00e-1 → 1.00e-4" in screen_text(app)
        await pilot.press("a")
        await wait_for(pilot, lambda: started)
    assert started == [launched]


def test_save_and_stop_really_asks_the_engine(runs: RunField, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdxl_tui.fleet.stop._terminate", lambda _: True)
    monkeypatch.setattr("sdxl_tui.fleet.stop._wake", lambda _: None)
    run = runs.run("fox", state="training", step=40)
    ways_to_stop(summary(runs))[0].act(run)
    (command,) = CommandBox(run).poll()
    assert (command.command, command.arguments) == ("stop", {"save": True})


def test_the_keys_of_runs_are_the_same_wherever_one_is_shown() -> None:
    keys = [binding.key for binding in run_place.RunPlace.RUN_KEYS if not isinstance(binding, tuple)]
    assert keys == ["s", "r", "h", "K,shift+up", "J,shift+down", "x", "c", "l"]


@pytest.mark.parametrize("on_page", [False, True])
async def test_what_a_run_trains_is_read_wherever_it_is_shown(runs: RunField, open_app: OpenApp, on_page: bool) -> None:
    run = runs.run("fox")
    app = open_app(run.id) if on_page else open_app()
    async with app.run_test(size=(100, 40), notifications=True) as pilot:
        await wait_for_text(pilot, "fox")
        await wait_for(pilot, lambda: isinstance(app.screen, RunScreen) == on_page)
        await pilot.press("p")
        await wait_for_text(pilot, f"What {run.id} trains")
        assert 'name = "' in screen_text(app)
        await pilot.press("p")
        await wait_for(pilot, lambda: not isinstance(app.screen, RunProfileDialog))
        run.profile.write_text("name = ")
        await pilot.press("p")
        await wait_for_text(pilot, "Its profile cannot be read")
