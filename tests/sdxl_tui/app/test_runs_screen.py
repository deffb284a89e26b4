"""The table of runs: what it shows, that it keeps the place, and that it paints only what changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from textual.events import Key
from textual.geometry import Region
from textual.widget import Widget

from engine.run.records import Parent
from sdxl_tui.app import SdxlTui
from sdxl_tui.fleet.runs import RunSummary
from sdxl_tui.screens.run import RunScreen
from sdxl_tui.screens.runs import RunsScreen
from sdxl_tui.widgets.live_table import LiveTable
from tests.sdxl_tui.app.run_field import RunField, change_status, fill_for_show
from tests.sdxl_tui.app.screen_text import screen_lines, screen_text, wait_for, wait_for_text

OpenApp = Callable[..., SdxlTui]


def table_of(app: SdxlTui) -> LiveTable[RunSummary]:
    table: LiveTable[RunSummary] = app.screen.query_one("#runs", LiveTable)
    return table


def note_refreshes(widget: Widget, noted: list[object]) -> None:
    """Note each repaint of ``widget`` instead of doing it."""

    def note(*regions: Region, **_: bool) -> Widget:
        noted.append((widget, regions))
        return widget

    widget.refresh = note  # type: ignore[method-assign]


async def test_live_runs_stand_on_top_and_the_others_from_the_newest_down(runs: RunField, open_app: OpenApp) -> None:
    fill_for_show(runs)
    app = open_app()
    async with app.run_test(size=(120, 30)) as pilot:
        await wait_for_text(pilot, "sketches")
        names = [run.name for run in table_of(app).items]
    assert names == ["sketches", "fox", "harbour", "fox", "portrait", "ink-style"]


async def test_a_row_says_state_steps_loss_rate_speed_time_left_and_device(runs: RunField, open_app: OpenApp) -> None:
    runs.run("fox", state="training", step=420, total=1200, loss=0.1, speed=1.6, device="cuda:3")
    app = open_app()
    async with app.run_test(size=(120, 30)) as pilot:
        await wait_for_text(pilot, "training")
        row = next(line for line in screen_lines(app) if "training" in line)
    for text in (
        "● training",
        "fox 1124-1000",
        "420/1,200",
        "0.0960",
        "7.75e-5",
        "1.6 it/s",
        "8 m 08 s",
        "cuda:3",
        "1 h",
    ):
        assert text in row


async def test_at_80_columns_the_row_still_has_state_steps_loss_rate_speed_and_time_left(
    runs: RunField, open_app: OpenApp
) -> None:
    runs.run("a-character-with-a-long-name", state="training", step=12_420, total=112_000, loss=0.1)
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for_text(pilot, "train")
        row = next(line for line in screen_lines(app) if "● train" in line)
    assert len(row) == 80
    for text in ("a-char", "…", "12.4k/112k", "0.0960", "e-5", "1.6", "h"):
        assert text in row


async def test_a_child_run_is_marked_and_its_parent_named(runs: RunField, open_app: OpenApp) -> None:
    parent = runs.run("fox", age=9000)
    runs.run("fox", state="stopped", step=40, parent=Parent(parent.id, "step-00000400", 400, "continue"))
    app = open_app()
    async with app.run_test(size=(150, 30)) as pilot:
        await wait_for_text(pilot, "↳")
        text = screen_text(app)
    assert f"↳ {parent.id} @400 continue" in text


async def test_why_a_run_failed_is_said(runs: RunField, open_app: OpenApp) -> None:
    failed = runs.run("fox", state="failed", step=12, exit_code=1)
    runs.events(failed, {"event": "failed", "error": "OutOfMemoryError", "message": "CUDA out of memory"})
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for_text(pilot, "CUDA out of memory")


async def test_hostile_text_in_a_run_is_shown_and_not_obeyed(runs: RunField, open_app: OpenApp) -> None:
    runs.run("fox", state="training", step=3, device="\x1b]0;owned\x07cu\x1b[2Jda", message="[/red]\x9b31m")
    app = open_app()
    async with app.run_test(size=(150, 24)) as pilot:
        await wait_for_text(pilot, "training")
        text = screen_text(app)
    assert "cuda" in text
    assert "\x1b" not in text and "\x9b" not in text and "owned" not in text


async def test_an_empty_workspace_says_what_to_do_next(runs: RunField, open_app: OpenApp) -> None:
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for_text(pilot, "No runs yet")
        assert "sdxl-tui demo" in screen_text(app)
        runs.run("fox", state="training", step=1)
        await wait_for_text(pilot, "● train")
        assert "No runs yet" not in screen_text(app)


async def test_the_cursor_stays_on_its_run_when_others_appear_and_vanish(runs: RunField, open_app: OpenApp) -> None:
    made = fill_for_show(runs)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_for_text(pilot, "harbour")
        table = table_of(app)
        await pilot.press("j", "j", "down")
        assert table.key == made["parent"].id
        newer = runs.run("newer", state="training", step=1, age=1)
        await wait_for_text(pilot, "newer")
        assert table.key == made["parent"].id
        shutil.rmtree(newer.path)
        await wait_for(pilot, lambda: "newer" not in screen_text(app))
        assert table.key == made["parent"].id
        shutil.rmtree(made["parent"].path)
        await wait_for(pilot, lambda: len(table.items) == 5)
        assert table.key is not None


async def test_only_changed_cells_are_painted_again(runs: RunField, open_app: OpenApp) -> None:
    training = runs.run("fox", state="training", step=420, total=1200)
    runs.run("still")
    app = open_app()
    async with app.run_test(size=(120, 30)) as pilot:
        await wait_for_text(pilot, "420/1,200")
        await pilot.pause(0.3)
        table = table_of(app)
        painted: list[Region] = []
        refresh = table.refresh

        def note(*regions: Region, **arguments: bool) -> LiveTable[RunSummary]:
            painted.extend(regions or [table.size.region])
            return refresh(*regions, **arguments)

        table.refresh = note  # type: ignore[method-assign]
        before = app.runs
        change_status(training, loss_avg=0.5)
        await wait_for_text(pilot, "0.5000")
        assert app.runs != before
        assert [(region.width, region.height) for region in painted] == [(6, 1)]


async def test_nothing_is_painted_while_nothing_changes(runs: RunField, open_app: OpenApp) -> None:
    fill_for_show(runs)
    app = open_app()
    async with app.run_test(size=(120, 30)) as pilot:
        await wait_for_text(pilot, "harbour")
        await pilot.pause(0.5)
        painted: list[object] = []
        for widget in app.screen.query(Widget):
            note_refreshes(widget, painted)
        await pilot.pause(2.5)
        app.screen.query_one(LiveTable).show(table_of(app).items)
        assert isinstance(app.screen, RunsScreen)
        app.screen._show_if_seen()
        await pilot.pause()
        assert painted == []


async def test_words_filter_the_runs_and_escape_brings_them_all_back(runs: RunField, open_app: OpenApp) -> None:
    fill_for_show(runs)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_for_text(pilot, "harbour")
        await pilot.press("slash", *"FOX train", "enter")
        await wait_for(pilot, lambda: len(table_of(app).items) == 1)
        assert "1 of 6" in screen_text(app)
        await pilot.press("1")
        assert len(table_of(app).items) == 1
        await pilot.press("escape")
        await wait_for(pilot, lambda: len(table_of(app).items) == 6)


async def test_digits_typed_into_the_filter_go_nowhere_else(runs: RunField, open_app: OpenApp) -> None:
    fill_for_show(runs)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_for_text(pilot, "harbour")
        await pilot.press("slash", "2", "q", "?")
        await pilot.pause()
        assert app.current_mode == "runs"
        assert isinstance(app.screen, RunsScreen)


async def test_enter_opens_the_run_and_escape_comes_back_to_it(runs: RunField, open_app: OpenApp) -> None:
    made = fill_for_show(runs)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_for_text(pilot, "harbour")
        await pilot.press("j", "enter")
        await wait_for(pilot, lambda: isinstance(app.screen, RunScreen))
        assert isinstance(app.screen, RunScreen)
        assert app.screen.run_id == made["child"].id
        await pilot.press("escape")
        await wait_for(pilot, lambda: isinstance(app.screen, RunsScreen))
        assert table_of(app).key == made["child"].id


async def test_a_runs_folder_that_cannot_be_read_is_said_and_read_again_later(
    runs: RunField, open_app: OpenApp
) -> None:
    shutil.rmtree(runs.workspace.runs)
    runs.workspace.runs.write_text("not a folder")
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_for_text(pilot, "Not a directory")
        runs.workspace.runs.unlink()
        runs.workspace.runs.mkdir()
        runs.run("fox")
        await wait_for_text(pilot, "fox")


async def test_a_high_terminal_shows_the_curves_of_the_run_under_the_cursor(runs: RunField, open_app: OpenApp) -> None:
    fresh = runs.run("fresh", state="starting", step=0, total=800, age=10)
    old = runs.run("old", step=400, total=400, age=4000)
    runs.history(old, 400)
    app = open_app()
    async with app.run_test(size=(160, 44)) as pilot:
        await wait_for_text(pilot, "The loss appears with the first step")
        await wait_for_text(pilot, "1.0e-4")
        await pilot.press("j")
        await wait_for(pilot, lambda: "The loss appears" not in screen_text(app))
        assert table_of(app).key == old.id
        runs.history(fresh, 20, total=800)
        await pilot.press("k")
        await wait_for(pilot, lambda: "800" in screen_lines(app)[-3] and "20" in screen_lines(app)[-3])
        await pilot.resize_terminal(160, 24)
        await wait_for(pilot, lambda: "1.0e-4" not in screen_text(app))


async def test_what_is_typed_right_after_the_slash_is_filter_and_not_keys(runs: RunField, open_app: OpenApp) -> None:
    fill_for_show(runs)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_for_text(pilot, "harbour")
        for key, letter in (("slash", "/"), ("s", "s"), ("k", "k")):  # in one go, as over a slow line
            app.post_message(Key(key, letter))
        await wait_for(pilot, lambda: [run.name for run in table_of(app).items] == ["sketches"])
        assert isinstance(app.screen, RunsScreen)
