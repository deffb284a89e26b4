"""What an open app does when something happens to a run: a word on the screen, and the terminal as the user wants it."""

from __future__ import annotations

import json

import pytest

from engine.run.records import ExitRecord
from sdxl_tui.app import SdxlTui
from sdxl_tui.config import Config, Event, Notify
from sdxl_tui.terminal.attention import Signal
from tests.sdxl_tui.app.run_field import NOW, RunField, change_status
from tests.sdxl_tui.app.screen_text import wait_for_text


@pytest.mark.parametrize(
    ("notify", "written"),
    [
        (Notify(), ["\a"]),
        (Notify(terminal=Signal.OFF), []),
        (Notify(on=frozenset({Event.FAILED})), []),
        (Notify(terminal=Signal.OSC777), ["\x1b]777;notify;{id};finished after 400 steps, loss 0.1089\a"]),
    ],
)
async def test_the_terminal_is_asked_as_configured(
    runs: RunField, monkeypatch: pytest.MonkeyPatch, notify: Notify, written: list[str]
) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    monkeypatch.delenv("STY", raising=False)
    run = runs.run(state="training", step=399)
    app = SdxlTui(runs.workspace, now=lambda: NOW, config=Config(notify))
    asked: list[str] = []
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        await wait_for_text(pilot, "training")
        assert app._driver is not None
        monkeypatch.setattr(app._driver, "write", asked.append)
        change_status(run, state="finished", step=400)
        run.attempt(1).exit.write_text(_ended())
        runs.close()
        await wait_for_text(pilot, "finished after 400 steps")
    assert [text for text in asked if text == "\a" or "]777" in text] == [text.format(id=run.id) for text in written]


async def test_a_configuration_that_is_wrong_keeps_nobody_out_and_says_so(runs: RunField) -> None:
    runs.run()
    app = SdxlTui(runs.workspace, now=lambda: NOW, config_problem="config.toml:3: theme: 'x' is none of dark")
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await wait_for_text(pilot, "config.toml:3: theme")
        await wait_for_text(pilot, "the defaults are used")
        await wait_for_text(pilot, "fox")


def _ended() -> str:
    return json.dumps(ExitRecord(0, None, "exited", "", 1, 0.0).to_json())
