"""Runs that wait, in the table of runs: their order, and the keys that change it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from textual.pilot import Pilot

from engine.run.create import create_run
from engine.run.layout import RunDirectory
from sdxl_tui.app import SdxlTui
from sdxl_tui.fleet import launch
from sdxl_tui.fleet.devices import DevicesBusy
from sdxl_tui.fleet.queue.changes import Turn, let_go, pause, put_in
from sdxl_tui.fleet.queue.record import Boot, changing, read_queue
from sdxl_tui.screens.ask import UNBIDDEN_SECONDS, Ask
from tests.sdxl_tui.app.run_field import RunField
from tests.sdxl_tui.app.screen_text import screen_text, wait_for, wait_for_text
from tests.sdxl_tui.fleet.stand_in import PROFILE

OpenApp = Callable[..., SdxlTui]


@pytest.fixture
def waiting(runs: RunField) -> list[RunDirectory]:
    """Three runs that wait in a queue that is paused."""
    pause(runs.workspace)
    made = [
        create_run(runs.workspace.runs, PROFILE.model_copy(update={"name": name}), source=None)
        for name in ("first", "second", "third")
    ]
    for run in made:
        put_in(runs.workspace, run, Turn())
    return made


def order(runs: RunField) -> list[str]:
    return [entry.run.partition("-")[0] for entry in read_queue(runs.workspace).entries]


async def rows(pilot: Pilot[None]) -> list[str]:
    """The names of the runs as they stand in the table."""
    lines = screen_text(pilot.app).splitlines()
    return [
        word for line in lines for word in line.split() if word in {"first", "second", "third"} and "queued" in line
    ]


async def test_runs_that_wait_stand_in_the_order_of_their_turns_and_are_moved(
    runs: RunField, open_app: OpenApp, waiting: list[RunDirectory]
) -> None:
    async with open_app().run_test(size=(80, 24)) as pilot:
        await wait_for_text(pilot, "The queue is paused: 3 runs wait.")
        assert await rows(pilot) == ["first", "second", "third"]
        await pilot.press("down", "down", "K")
        await wait_for(pilot, lambda: order(runs) == ["first", "third", "second"])
        await pilot.press("up", "up", "J")
        await wait_for(pilot, lambda: order(runs)[0] == "third")


async def test_a_run_is_held_released_and_taken_out(
    runs: RunField, open_app: OpenApp, waiting: list[RunDirectory]
) -> None:
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for_text(pilot, "3 runs wait.")
        await pilot.press("h")
        await wait_for_text(pilot, "held")
        await pilot.press("h")
        await wait_for(pilot, lambda: not read_queue(runs.workspace).entries[0].held)
        await pilot.press("x")
        await wait_for(pilot, lambda: isinstance(app.screen, Ask))
        assert "It has never started: it is deleted" in screen_text(app)
        await pilot.press("x")
        await wait_for_text(pilot, "2 runs wait.")
    assert order(runs) == ["second", "third"] and not waiting[0].path.exists()


async def test_after_a_restart_the_app_says_what_waits_and_lets_it_go_on(
    runs: RunField, open_app: OpenApp, waiting: list[RunDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go_of_none = lambda *_, **__: 1  # noqa: E731 - what is started is not this test's matter
    monkeypatch.setattr(launch, "start", let_go_of_none)
    let_go(runs.workspace)
    with changing(runs.workspace) as change:
        change.queue = replace(change.queue, boot=Boot("another boot", "", None))
    async with open_app().run_test(size=(80, 24)) as pilot:
        await wait_for_text(pilot, "This machine was restarted: 3 runs wait.")
        await pilot.press("w")
        await wait_for(pilot, lambda: not read_queue(runs.workspace).is_stale)
        await wait_for(pilot, lambda: order(runs) == [])


async def test_keys_of_the_queue_are_offered_only_where_something_waits(runs: RunField, open_app: OpenApp) -> None:
    runs.run("fox", state="training", step=40)
    async with open_app().run_test(size=(200, 40)) as pilot:
        await wait_for_text(pilot, "● training")
        assert not {"Hold / release", "Take out", "Queue on / off"} & set(screen_text(pilot.app).split("  "))
        await pilot.press("x", "h", "K", "w")
        assert "restarted" not in screen_text(pilot.app)


async def test_where_the_gpus_are_in_use_the_run_can_be_queued_instead(
    runs: RunField, open_app: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object, **__: object) -> None:
        raise DevicesBusy("GPU in use: 0 by fox-1")

    monkeypatch.setattr(launch, "claim", busy)
    monkeypatch.setattr("sdxl_tui.fleet.queue.going_on.claim", busy)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("2")
        await wait_for_text(pilot, "demo")
        await pilot.press("slash", *"demo", "enter", "l")
        await wait_for_text(pilot, "GPU in use: 0 by fox-1. It can wait for its turn")
        await pilot.pause(UNBIDDEN_SECONDS + 0.1)
        await pilot.press("q")
        await wait_for(pilot, lambda: order(runs) == ["demo"])
