"""What stands on the screen of an app under test, as lines of text."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from textual.app import App
from textual.pilot import Pilot


def screen_lines(app: App[Any]) -> list[str]:
    """The lines of the screen in front."""
    width, height = app.size
    strips = app.screen._compositor.render_strips()
    return ["".join(segment.text for segment in strip).ljust(width) for strip in strips][:height]


def screen_text(app: App[Any]) -> str:
    """The same as one text."""
    return "\n".join(screen_lines(app))


async def wait_for(pilot: Pilot[Any], holds: Callable[[], object], seconds: float = 10.0) -> None:
    """Let the app work until ``holds``; fail with the screen's text if it never does."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            raise AssertionError("not within the time:\n" + screen_text(pilot.app))
        await pilot.pause(0.05)
    await pilot.pause()


async def wait_for_text(pilot: Pilot[Any], text: str) -> None:
    """Let the app work until ``text`` stands on the screen, broken over lines or not (paths differ in length)."""
    await wait_for(pilot, lambda: text in " ".join(screen_text(pilot.app).split()) or text in screen_text(pilot.app))
