"""A run's page: figures, curves, log, events and samples, in a small and in a large terminal, of runs in any condition."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable

import pytest

from engine.run.layout import RunDirectory
from sdxl_tui.app import SdxlTui
from sdxl_tui.screens.run import RunScreen
from sdxl_tui.widgets.line_view import LineView
from tests.sdxl_tui.app.run_field import RunField, change_status, fill_for_show, fill_page
from tests.sdxl_tui.app.screen_text import screen_lines, screen_text, wait_for, wait_for_text

OpenApp = Callable[..., SdxlTui]
SMALL, LARGE = (80, 24), (200, 50)


@pytest.fixture
def child(runs: RunField) -> RunDirectory:
    """The run in training, with everything a page can show."""
    made = fill_for_show(runs)
    fill_page(runs, made)
    return made["child"]


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_the_head_says_what_the_run_does_and_how_far_it_is(
    child: RunDirectory, open_app: OpenApp, size: tuple[int, int]
) -> None:
    app = open_app(child.id)
    async with app.run_test(size=size) as pilot:
        await wait_for_text(pilot, "saved step-00000400")
        head = "\n".join(screen_lines(app)[1:5])
    for text in (
        "● training",
        child.id,
        "420/1,200",
        "35 %",
        "0.0941",
        "0.0903",
        "7.75e-5",
        "1.6 it/s",
        "8 m 08 s",
        "8/25",
    ):
        assert text in head


async def test_a_large_terminal_shows_log_events_and_samples_at_once(child: RunDirectory, open_app: OpenApp) -> None:
    app = open_app(child.id)
    async with app.run_test(size=LARGE) as pilot:
        await wait_for_text(pilot, "a fox in the snow")
        text = screen_text(app)
    for shown in (
        "Loss",
        "LR",
        "Log",
        "Events",
        "Samples",
        "step 400/1200",
        "weights from step-00001600",
        "step-00000400-01.png",
    ):
        assert shown in text


async def test_in_a_small_one_v_leads_through_log_events_and_samples(child: RunDirectory, open_app: OpenApp) -> None:
    app = open_app(child.id)
    async with app.run_test(size=SMALL) as pilot:
        await wait_for_text(pilot, "step 400/1200")
        await pilot.press("v")
        await wait_for_text(pilot, "drew 2 samples at step 250")
        assert "step 400/1200" not in screen_text(app)
        await pilot.press("v")
        await wait_for_text(pilot, "step-00000400-00.png")
        await pilot.press("v")
        await wait_for_text(pilot, "step 400/1200")


async def test_resizing_moves_between_the_two(child: RunDirectory, open_app: OpenApp) -> None:
    app = open_app(child.id)
    async with app.run_test(size=SMALL) as pilot:
        await wait_for_text(pilot, "step 400/1200")
        await pilot.resize_terminal(*LARGE)
        await wait_for_text(pilot, "step-00000400-00.png")
        await pilot.resize_terminal(*SMALL)
        await wait_for(pilot, lambda: "step-00000400-00.png" not in screen_text(app))


async def test_curve_log_and_events_follow_the_run(runs: RunField, child: RunDirectory, open_app: OpenApp) -> None:
    app = open_app(child.id)
    async with app.run_test(size=LARGE) as pilot:
        await wait_for_text(pilot, "step 400/1200")
        before = screen_text(app)
        runs.history(child, 440, total=1200, first=421)
        runs.log(child, "2026-11-24 10:14:12  saved step-00000440")
        runs.events(child, {"event": "sampled", "step": 440, "files": ["a"]})
        runs.samples(child, 440, 1)
        change_status(child, step=440)
        for text in ("440/1,200", "10:14:12 saved step-00000440", "drew 1 samples at step 440", "step-00000440-00.png"):
            await wait_for_text(pilot, text)
        assert screen_text(app) != before


async def test_scrolled_up_the_log_stands_still_while_lines_arrive(
    runs: RunField, child: RunDirectory, open_app: OpenApp
) -> None:
    runs.log(child, *(f"line {number}" for number in range(100)))
    app = open_app(child.id)
    async with app.run_test(size=SMALL) as pilot:
        await wait_for_text(pilot, "line 99")
        await pilot.press("k", "k", "k")
        await wait_for(pilot, lambda: "line 99" not in screen_text(app))
        before = screen_lines(app)[15:22]
        runs.log(child, "the newest line")
        assert isinstance(app.screen, RunScreen)
        log = app.screen.query_one("#log", LineView)
        await wait_for(pilot, lambda: "the newest line" in str(log._lines))
        assert screen_lines(app)[15:22] == before
        await pilot.press("G")
        await wait_for_text(pilot, "the newest line")


async def test_z_gives_the_part_in_focus_the_whole_page_and_escape_takes_it_back(
    child: RunDirectory, open_app: OpenApp
) -> None:
    app = open_app(child.id)
    async with app.run_test(size=LARGE) as pilot:
        await wait_for_text(pilot, "a fox in the snow")
        await pilot.press("z")
        await wait_for(pilot, lambda: "Events" not in screen_text(app))
        assert "step 400/1200" in screen_text(app)
        await pilot.press("escape")
        await wait_for_text(pilot, "Events")
        assert isinstance(app.screen, RunScreen)


async def test_why_it_failed_stands_in_the_head(runs: RunField, open_app: OpenApp) -> None:
    run = runs.run("fox", state="failed", step=12, exit_code=1)
    runs.events(run, {"event": "failed", "error": "OSError", "message": "disk is full", "hint": "Free some space."})
    app = open_app(run.id)
    async with app.run_test(size=SMALL) as pilot:
        await wait_for_text(pilot, "✗ failed")
        assert "disk is full" in screen_lines(app)[4]


async def test_a_run_that_has_only_begun_shows_the_plan(runs: RunField, open_app: OpenApp) -> None:
    run = runs.run("fox", state="starting", step=0, total=400)
    app = open_app(run.id)
    async with app.run_test(size=SMALL) as pilot:
        await wait_for_text(pilot, "The loss appears with the first step")
        await wait_for_text(pilot, "1.0e-4")


async def test_a_damaged_run_is_shown_as_far_as_it_goes(child: RunDirectory, open_app: OpenApp) -> None:
    child.profile.chmod(0o600)
    for path in (child.profile, child.events, child.metrics, child.status, child.record):
        path.write_bytes(b'\x00\xff{"step": [}\n' * 3)
    shutil.rmtree(child.samples)
    app = open_app(child.id)
    async with app.run_test(size=SMALL) as pilot:
        await wait_for_text(pilot, "step 400/1200")
        await wait_for_text(pilot, "run.json is missing or damaged")


async def test_a_run_that_does_not_exist_is_said(runs: RunField, open_app: OpenApp) -> None:
    runs.run("fox")
    app = open_app("nobody-20261124-100000")
    async with app.run_test(size=SMALL) as pilot:
        await wait_for_text(pilot, "no such run in this workspace")
        await pilot.press("escape")
        await wait_for_text(pilot, "✓ done")


async def test_hostile_text_in_log_events_and_samples_is_not_obeyed(
    runs: RunField, child: RunDirectory, open_app: OpenApp
) -> None:
    runs.log(child, "\x1b]52;c;aGk=\x07\x1b[41mred [/b] [link=x]")
    runs.events(child, {"event": "warning", "message": "\x9b5m[bold]blink\x1b[2J", "where": "a\nb"})
    (child.samples / "step-00000410-00.png").touch()
    app = open_app(child.id)
    async with app.run_test(size=LARGE) as pilot:
        await wait_for_text(pilot, "red [/b] [link=x]")
        await wait_for_text(pilot, "[bold]blink")
        assert not set("\x1b\x9b\x07") & set(screen_text(app))


def long_log(runs: RunField, child: RunDirectory) -> None:
    """10,000 lines, five times what is kept in memory, with two errors and a warning among them."""
    lines = [f"line {number}" for number in range(10_000)]
    lines[20] = "ValueError: the first of two"
    lines[40] = "Warning: not so bad"
    lines[9_000] = "OSError: the second of two"
    lines[5_000] = "the Needle \x1b]0;PWNED\x07 in it"
    runs.log(child, *lines)


async def test_a_search_goes_through_all_of_the_log(runs: RunField, child: RunDirectory, open_app: OpenApp) -> None:
    long_log(runs, child)
    app = open_app(child.id)
    async with app.run_test(size=LARGE) as pilot:
        await wait_for_text(pilot, "line 9999")
        await pilot.press("slash", *"needle", "enter")
        await wait_for_text(pilot, "the Needle  in it")
        assert "“needle”: n up, N down" in screen_text(app)
        assert "line 5001" in screen_text(app) and "line 4999" in screen_text(app)
        await pilot.press("n")
        await wait_for_text(pilot, "from the other end")
        await pilot.press("slash", *"line 499", "enter")
        await wait_for_text(pilot, "“line 499”: n down")
        await wait_for_text(pilot, "line 5008")
        await pilot.press("slash", *"[0-9", "enter")
        await wait_for_text(pilot, "“[0-9” is nowhere in the log")
        await pilot.press("escape")
        await wait_for(pilot, lambda: "nowhere" not in screen_text(app))
        assert isinstance(app.screen, RunScreen)
        await pilot.press("G")
        await wait_for_text(pilot, "line 9999")
        assert "G follows" not in screen_text(app)


async def test_e_leads_from_error_to_error_and_w_leaves_only_those(
    runs: RunField, child: RunDirectory, open_app: OpenApp
) -> None:
    long_log(runs, child)
    app = open_app(child.id)
    async with app.run_test(size=LARGE) as pilot:
        await wait_for_text(pilot, "line 9999")
        await pilot.press("e")
        await wait_for_text(pilot, "the first of two")
        await pilot.press("w")
        await wait_for_text(pilot, "warnings and errors only")
        assert "not so bad" in screen_text(app) and "line 21" not in screen_text(app)
        await pilot.press("w")
        await wait_for(pilot, lambda: "not so bad" not in screen_text(app))
        assert "the first of two" in screen_text(app)
        await pilot.press("w", "n")
        await wait_for_text(pilot, "the second of two")
        await pilot.press("N")
        await wait_for_text(pilot, "the first of two")
        await pilot.press("w", "G")
        await wait_for_text(pilot, "the second of two")
        await pilot.press("w", "w")
        await wait_for_text(pilot, "line 9999")


async def test_scrolling_reaches_the_first_line_and_comes_back(
    runs: RunField, child: RunDirectory, open_app: OpenApp
) -> None:
    long_log(runs, child)
    app = open_app(child.id)
    async with app.run_test(size=LARGE) as pilot:
        await wait_for_text(pilot, "line 9999")
        seen: list[int] = []

        def first_seen() -> int:
            found = re.findall(r"line (\d+)", screen_text(app))
            return int(found[0]) if found else -1

        async def turn(key: str) -> int:
            before = first_seen()
            await pilot.press(key)
            await wait_for(pilot, lambda: first_seen() != before)
            return first_seen()

        while first_seen() != 0:
            seen.append(await turn("pageup"))
        assert seen == sorted(seen, reverse=True)
        await pilot.press("G")
        await wait_for_text(pilot, "line 9999")
        await pilot.press("g")
        await wait_for(pilot, lambda: first_seen() == 0)
        while "line 9999" not in screen_text(app):
            assert first_seen() < await turn("pagedown")
        await wait_for(pilot, lambda: "G follows" not in screen_text(app))
