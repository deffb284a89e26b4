"""How the Runs place looks, kept as pictures: after a change that is meant, look at the report and run with --snapshot-update."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from sdxl_tui.app import SdxlTui
from tests.sdxl_tui.app.run_field import RunField, fill_for_show, fill_page
from tests.sdxl_tui.app.screen_text import wait_for_text

OpenApp = Callable[..., SdxlTui]
Compare = Callable[..., bool]
SMALL, LARGE = (80, 24), (200, 50)


def until(*texts: str, keys: tuple[str, ...] = (), then: str = "") -> Callable[[Pilot[Any]], Any]:
    """Wait for the texts, press the keys, wait for what comes then."""

    async def run_before(pilot: Pilot[Any]) -> None:
        for text in texts:
            await wait_for_text(pilot, text)
        await pilot.press(*keys)
        if then:
            await wait_for_text(pilot, then)
        await pilot.pause(0.2)

    return run_before


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
def test_table(snap_compare: Compare, runs: RunField, open_app: OpenApp, size: tuple[int, int]) -> None:
    fill_for_show(runs)
    curves = ("The loss appears", "1.0e-4") if size == LARGE else ()
    assert snap_compare(open_app(), terminal_size=size, run_before=until("● 2 live", "ink-style", *curves))


def test_empty_workspace(snap_compare: Compare, runs: RunField, open_app: OpenApp) -> None:
    assert snap_compare(open_app(), terminal_size=SMALL, run_before=until("No runs yet"))


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
def test_page(snap_compare: Compare, runs: RunField, open_app: OpenApp, size: tuple[int, int]) -> None:
    made = fill_for_show(runs)
    fill_page(runs, made)
    texts = ("● 2 live", "saved step-00000400", "step 400/1200", "1.0e-4")
    assert snap_compare(open_app(made["child"].id), terminal_size=size, run_before=until(*texts))


def test_stop_dialog(snap_compare: Compare, runs: RunField, open_app: OpenApp) -> None:
    fill_for_show(runs)
    before = until("● 2 live", "ink-style", keys=("j", "s"), then="Save and stop")
    assert snap_compare(open_app(), terminal_size=SMALL, run_before=before)


def test_help(snap_compare: Compare, runs: RunField, open_app: OpenApp) -> None:
    fill_for_show(runs)
    before = until("● 2 live", "ink-style", keys=("?",), then="esc closes")
    assert snap_compare(open_app(), terminal_size=SMALL, run_before=before)


def test_pictures_are_kept_beside_the_tests() -> None:
    """A picture that is missing would be a test that cannot fail."""
    kept = {path.stem for path in (Path(__file__).parent / "__snapshots__" / "test_snapshots").iterdir()}
    assert len(kept) == 7
