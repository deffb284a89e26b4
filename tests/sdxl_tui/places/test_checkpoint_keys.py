"""Sorting, marking, comparing, pinning and deleting in the Checkpoints place."""

from __future__ import annotations

from textual.pilot import Pilot

from engine.checkpoint.pins import read_pins
from engine.schedule import Kind, Schedule
from sdxl_tui.screens.ask import Ask
from sdxl_tui.screens.checkpoints import CheckpointsScreen
from sdxl_tui.screens.compare import ComparePage
from sdxl_tui.widgets.row_list import RowList
from tests.sdxl_tui.places.place_field import Field, Shell, screen_text, until


def shell(field: Field) -> Shell:
    """An app that shows the place."""
    return Shell(lambda: CheckpointsScreen(field.workspace))


async def shows(pilot: Pilot[None], text: str) -> None:
    """Wait until ``text`` stands on the screen."""
    await until(pilot, lambda: text in screen_text(pilot.app), f"{text!r}")


async def test_sorting_lists_all_checkpoints_flat_and_the_same_key_turns_it_round(field: Field) -> None:
    for name, steps in (("fox", (100, 900)), ("cat", (500,))):
        run = field.run(name)
        for step in steps:
            field.checkpoint(run, step)
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "step 900 of")
        rows = pilot.app.screen.query_one(RowList)
        await pilot.press("s")
        await shows(pilot, "Sort the checkpoints")
        await pilot.press("s")
        await shows(pilot, "by step, highest first · 3")
        assert [row.key for row in rows.rows] == ["fox/step-00000900", "cat/step-00000500", "fox/step-00000100"]
        assert rows.key == "fox/step-00000900"
        await pilot.press("s", "s")
        await shows(pilot, "by step, lowest first · 3")
        await pilot.press("s", "f")
        await until(pilot, lambda: len(rows.rows) == 5, "the tree again")


async def test_a_condition_in_the_filter_reads_folded_runs_too(field: Field) -> None:
    for age in range(1, 9):
        run = field.run(f"run-{age}", age=age * 1000.0)
        for step in (100, 200, 300, 400):
            field.checkpoint(run, step, base_lr=3e-4 if age == 7 and step == 300 else 1e-4)
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "step 400 of")
        await pilot.press("slash", *"base>2e-4")
        await shows(pilot, "1 of 32")
        assert "run-7" in screen_text(pilot.app)
        await pilot.press("end", "x")
        await shows(pilot, "2e-4x is not understood")


async def test_two_marked_checkpoints_are_compared_side_by_side(field: Field) -> None:
    run = field.run()
    field.checkpoint(run, 500)
    constant = Schedule(Kind.CONSTANT, 1140, 50)
    field.checkpoint(field.run("fox-child"), 300, schedule=constant, base_lr=5e-5)
    for size in ((80, 24), (200, 50)):
        async with shell(field).run_test(size=size) as pilot:
            await shows(pilot, " of ")
            await pilot.press("home", "down", "space")
            await shows(pilot, "A marked, one more")
            await pilot.press("down", "down", "space")
            await shows(pilot, "A B marked: = compares")
            await pilot.press("equals_sign")
            await shows(pilot, "B 500")
            text = screen_text(pilot.app)
            assert isinstance(pilot.app.screen, ComparePage)
            assert "A  fox" in text
            assert "B  fox" in text
            assert "A 300" in text
            await pilot.press(*["j"] * 30)
            await shows(pilot, "5.00e-5")


async def test_a_third_mark_takes_the_place_of_the_first_and_space_unmarks(field: Field) -> None:
    run = field.run()
    for step in (100, 200, 300):
        field.checkpoint(run, step)
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "step 300 of")
        await pilot.press("space", "down", "space", "down", "space")
        await shows(pilot, "B 100")
        assert "A 200" in screen_text(pilot.app)
        await pilot.press("space")
        await until(pilot, lambda: "B 100" not in screen_text(pilot.app), "unmarking")


async def test_a_pin_is_set_shown_and_taken_away(field: Field) -> None:
    run = field.run()
    field.checkpoint(run, 100)
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "step 100 of")
        await pilot.press("p")
        await shows(pilot, "100 ⚑")
        await shows(pilot, "⚑ pinned")
        assert read_pins(run) == {"step-00000100"}
        await pilot.press("p")
        await until(pilot, lambda: "⚑" not in screen_text(pilot.app), "unpinning")
        assert read_pins(run) == frozenset()


async def test_deleting_asks_and_names_what_goes(field: Field) -> None:
    run = field.run()
    for step in (100, 200):
        field.checkpoint(run, step)
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "step 200 of")
        await pilot.press("d")
        await until(pilot, lambda: isinstance(pilot.app.screen, Ask), "the question")
        await shows(pilot, "1.2 MB are freed")
        unwrapped = "".join(letter for letter in screen_text(pilot.app) if letter not in "│ \n")
        assert "step-00000200" in unwrapped
        await pilot.press("escape")
        assert run.checkpoint(200).is_dir()
        await pilot.press("d")
        await until(pilot, lambda: isinstance(pilot.app.screen, Ask), "the question")
        await pilot.press("d")
        await until(pilot, lambda: not run.checkpoint(200).exists(), "the deletion")
        await shows(pilot, "step 100 of")


async def test_what_must_stay_is_refused_with_the_reason(field: Field) -> None:
    run = field.run()
    field.checkpoint(run, 100)
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "step 100 of")
        await pilot.press("d")
        await shows(pilot, "It is the last whole one of its run.")
        await pilot.press("escape")
        await pilot.press("home", "d")  # the run's own row names no checkpoint to delete
        await pilot.pause(0.1)
        assert isinstance(pilot.app.screen, CheckpointsScreen)
        assert run.checkpoint(100).is_dir()


async def test_a_pinned_one_that_was_replaced_is_still_listed_and_cannot_be_resumed(field: Field) -> None:
    run = field.run()
    field.checkpoint(run, 100).rename(run.checkpoints / "replaced-step-00000100-002")
    for step in (100, 200):
        field.checkpoint(run, step)
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "step 200 of")
        await shows(pilot, "100 ⚐")
        await pilot.press("slash", *"replaced", "enter", "down")
        await shows(pilot, "⚑ kept though replaced")
        await pilot.press("r", "p")
        await pilot.pause(0.1)
        assert isinstance(pilot.app.screen, CheckpointsScreen)
        assert read_pins(run) == frozenset()
