"""Tags, notes and putting away by keys."""

from __future__ import annotations

from sdxl_tui.fleet.labels import Labels, read_labels
from tests.sdxl_tui.app.conftest import OpenApp
from tests.sdxl_tui.app.run_field import RunField
from tests.sdxl_tui.app.screen_text import screen_text, wait_for, wait_for_text


async def test_t_writes_tags_and_a_note_and_says_what_is_no_tag(runs: RunField, open_app: OpenApp) -> None:
    run = runs.run("fox")
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for_text(pilot, "fox")
        await pilot.press("t")
        await wait_for_text(pilot, "Tags")
        await pilot.press(*"a/b", "enter")
        await wait_for_text(pilot, "'a/b' is not a tag")
        await pilot.press("backspace", "backspace", *", good", "tab", *"try again", "enter")
        await wait_for_text(pilot, "#a #good")
        assert "try again" in screen_text(app)
    assert read_labels(run) == Labels(("a", "good"), "try again")


async def test_a_puts_a_run_away_and_shift_a_shows_it(runs: RunField, open_app: OpenApp) -> None:
    runs.run("fox", age=10)
    cat = runs.run("cat", age=5)
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for_text(pilot, "cat")
        await pilot.press("a")
        await wait_for(pilot, lambda: "cat" not in screen_text(app))
        assert read_labels(cat).archived and "fox" in screen_text(app)
        await pilot.press("A")
        await wait_for_text(pilot, "cat")
        await pilot.press("k", "a")
        await wait_for(pilot, lambda: not read_labels(cat).archived)
        await pilot.press("A")
        await wait_for_text(pilot, "cat")


async def test_the_filter_finds_tags_and_fields(runs: RunField, open_app: OpenApp) -> None:
    runs.run("fox", age=10)
    runs.run("cat", state="failed", exit_code=1, step=3, age=5)
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for_text(pilot, "cat")
        await pilot.press("slash", *"state:failed", "enter")
        await wait_for_text(pilot, "1 of 2")
        assert "fox" not in screen_text(app)
        await pilot.press("escape")
        await wait_for_text(pilot, "fox")
