"""The Checkpoints place, driven by keys."""

from __future__ import annotations

import time
from pathlib import Path

from textual.pilot import Pilot

from engine.run.records import Parent
from engine.schedule import Kind, Schedule
from sdxl_tui.screens.checkpoints import CheckpointsScreen
from sdxl_tui.widgets.row_list import RowList
from tests.sdxl_tui.places.place_field import COSINE, Field, Shell, matches_snapshot, screen_text, until


def shell(field: Field) -> Shell:
    """An app that shows the place."""
    return Shell(lambda: CheckpointsScreen(field.workspace))


async def shows(pilot: Pilot[None], text: str) -> None:
    """Wait until ``text`` stands on the screen."""
    await until(pilot, lambda: text in screen_text(pilot.app), f"{text!r}")


def grown(field: Field) -> Path:
    """A family: a stopped run, a child of it, a damaged checkpoint. The folder of the stopped run."""
    run = field.run(step=1000, age=9000)
    for step, age in ((250, 4000), (500, 3000), (860, 1200), (1000, 600)):
        field.checkpoint(run, step, age=age)
    (run.checkpoint(500) / "optimizer.safetensors").write_bytes(b"short")
    constant = Schedule(Kind.CONSTANT, 1140, 50)
    parent = Parent(run.id, "step-00000860", 860, "continue")
    child = field.run("fox-child", age=1500, parent=parent, step=300, schedule=constant, ended="finished")
    field.checkpoint(child, 300, age=100, schedule=constant, base_lr=5e-5)
    return run.path


async def test_it_opens_on_the_newest_checkpoint_at_both_sizes(field: Field) -> None:
    grown(field)
    for width, height in ((80, 24), (200, 50)):
        async with shell(field).run_test(size=(width, height)) as pilot:
            await shows(pilot, "epoch 20")
            await pilot.pause()
            matches_snapshot(f"checkpoints-{width}x{height}", screen_text(pilot.app))


async def test_details_of_the_next_checkpoint_appear_within_a_tenth_of_a_second(field: Field) -> None:
    run = field.run()
    for step in range(10, 310, 10):
        field.checkpoint(run, step)
    async with shell(field).run_test(size=(120, 40)) as pilot:
        await shows(pilot, "step 300 of 2,000")
        rows, seconds = pilot.app.screen.query_one(RowList), []
        for _ in range(10):
            started = time.process_time()  # the work it takes: other processes' share of the machine is not ours
            rows.action_move(1)
            await pilot.pause()
            seconds.append(time.process_time() - started)
        assert "step 200 of 2,000" in screen_text(pilot.app)
        assert min(seconds) < 0.1


async def test_a_live_runs_save_appears_and_the_cursor_stays(field: Field) -> None:
    run = field.run()
    field.checkpoint(run, 100)
    field.checkpoint(run, 200)
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "step 200 of")
        await pilot.press("down")
        await shows(pilot, "step 100 of")
        field.checkpoint(run, 300)
        rows = pilot.app.screen.query_one(RowList)
        await until(pilot, lambda: any(row.key.endswith("300") for row in rows.rows), "the new save")
        assert rows.key == f"{run.id}/step-00000100"
        assert "step 100 of" in screen_text(pilot.app)


async def test_a_pruned_checkpoint_leaves_the_cursor_near_it(field: Field) -> None:
    run = field.run()
    for step in (100, 200, 300):
        field.checkpoint(run, step)
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "step 300 of")
        await pilot.press("down")
        run.checkpoint(200).rename(run.path / "gone")
        await shows(pilot, "step 100 of")


async def test_a_damaged_checkpoint_shows_its_reason_and_cannot_be_continued(field: Field) -> None:
    run = field.run()
    (field.checkpoint(run, 100) / "trainable.safetensors").write_bytes(b"")
    (field.checkpoint(run, 50) / "state.json").write_text("{")
    async with shell(field).run_test(size=(100, 30)) as pilot:
        await shows(pilot, "trainable.safetensors has 0 bytes")
        await pilot.press("c")
        assert isinstance(pilot.app.screen, CheckpointsScreen)
        await pilot.press("down")
        await shows(pilot, "state.json")
        assert "Nothing can be resumed" in screen_text(pilot.app)


async def test_comparing_digests_finds_a_flipped_bit_that_sizes_do_not_show(field: Field) -> None:
    run = field.run()
    field.checkpoint(run, 100)
    weights = field.checkpoint(run, 200) / "trainable.safetensors"
    data = bytearray(weights.read_bytes())
    data[1234] ^= 1
    weights.write_bytes(data)
    async with shell(field).run_test(size=(120, 30)) as pilot:
        await shows(pilot, "whole by sizes")
        await pilot.press("v")
        await shows(pilot, "trainable.safetensors has other")
        await pilot.press("c")
        assert isinstance(pilot.app.screen, CheckpointsScreen)
        await pilot.press("down", "v")
        await shows(pilot, "every digest agrees")


async def test_the_path_of_the_checkpoint_goes_to_the_clipboard(field: Field) -> None:
    run = field.run()
    folder = field.checkpoint(run, 100)
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "step 100 of")
        await pilot.press("y")
        assert pilot.app.clipboard == str(folder)


async def test_the_filter_narrows_the_list_and_escape_brings_it_back(field: Field) -> None:
    run, other = field.run(), field.run("cat-1", age=9000)
    field.checkpoint(run, 100)
    field.checkpoint(other, 2000)
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "cat-1")
        await pilot.press("slash", *"cat")
        await until(pilot, lambda: run.id not in screen_text(pilot.app), "only the match")
        await pilot.press("enter", "down")
        await shows(pilot, "step 2,000 of")
        await pilot.press("slash", "escape")
        await shows(pilot, run.id)


async def test_digits_in_the_filter_are_typed(field: Field) -> None:
    field.checkpoint(field.run(), 100)
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "step 100 of")
        await pilot.press("slash", "1", "2", "3", "q")
        await shows(pilot, "/ 123q")


async def test_folding_hides_a_runs_checkpoints(field: Field) -> None:
    run = field.run()
    field.checkpoint(run, 100)
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "╰ 100")
        await pilot.press("left", "left")
        await until(pilot, lambda: "╰ 100" not in screen_text(pilot.app), "folding")
        assert "▸ ■" in screen_text(pilot.app)
        await pilot.press("right")
        await shows(pilot, "╰ 100")


async def test_in_a_long_list_only_the_newest_run_is_open(field: Field) -> None:
    for age in range(1, 9):
        run = field.run(f"run-{age}", age=age * 1000.0)
        for step in (100, 200, 300, 400):
            field.checkpoint(run, step)
    async with shell(field).run_test(size=(80, 30)) as pilot:
        await shows(pilot, "step 400 of")
        text = screen_text(pilot.app)
        assert "▾ ■ run-1" in text
        assert text.count("▸ ■ run-") == 7


async def test_another_place_can_ask_for_a_run(field: Field) -> None:
    for age in range(1, 9):
        run = field.run(f"run-{age}", age=age * 1000.0)
        for step in (100, 200, 300, age * 500):
            field.checkpoint(run, step)
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "step 500 of")
        screen = pilot.app.screen
        assert isinstance(screen, CheckpointsScreen)
        screen.show_run("run-3")
        await shows(pilot, "step 1,500 of")


async def test_hostile_names_are_shown_and_not_obeyed(field: Field) -> None:
    run = field.run()
    folder = field.checkpoint(run, 100)
    state = (folder / "state.json").read_text()
    evil = state.replace("bundled:demo-base", "\\u001b]52;c;aGk=\\u0007[/red]\\u202e").replace(
        '"unet"', '"\\u001b[31m[b]u"'
    )
    (folder / "state.json").write_text(evil)
    manifest = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(manifest.replace(f'"bytes": {len(state)}', f'"bytes": {len(evil)}'))
    async with shell(field).run_test(size=(120, 40)) as pilot:
        await shows(pilot, "[/red]")
        text = screen_text(pilot.app)
        assert "[b]u" in text
        assert not {"\x1b", "\x07", "\u202e"} & set(text)


async def test_an_empty_workspace_says_what_to_do(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "No runs yet")
        assert "Launch a profile" in screen_text(pilot.app)
        await pilot.press("r", "c", "v", "y", "enter", "space", "left", "right", "down")
        assert isinstance(pilot.app.screen, CheckpointsScreen)


async def test_a_run_that_has_not_saved_yet_is_named(field: Field) -> None:
    field.run(schedule=COSINE)
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "No checkpoint yet")
