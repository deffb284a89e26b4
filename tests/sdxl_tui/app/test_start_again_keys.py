"""Resume of a run without a checkpoint: the app offers its first step, with the edits named."""

from __future__ import annotations

import dataclasses

from engine.durable import write_json_atomically
from engine.run.layout import RunDirectory
from engine.run.records import RunRecord
from tests.sdxl_tui.app.conftest import OpenApp
from tests.sdxl_tui.app.run_field import RunField
from tests.sdxl_tui.app.screen_text import wait_for_text


def launched_from_a_file(runs: RunField, run: RunDirectory, old: str, new: str) -> None:
    source = runs.workspace.profiles / "fox.toml"
    text = run.profile.read_text()
    assert text.count(old) == 1
    source.write_text(text.replace(old, new))
    record = RunRecord.read(run.record)
    assert record is not None
    write_json_atomically(run.record, dataclasses.replace(record, source_profile=str(source)).to_json())


async def test_what_was_edited_since_is_named_before_it_starts_again(runs: RunField, open_app: OpenApp) -> None:
    run = runs.run("fox", state="failed", exit_code=1, step=3)
    launched_from_a_file(runs, run, "lr = 1e-4", "lr = 5e-4")
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for_text(pilot, "fox")
        await pilot.press("r")
        await wait_for_text(pilot, "optimizer.lr: 1.00e-4 → 5.00e-4")
        await wait_for_text(pilot, "Start with these")
        await wait_for_text(pilot, "As launched")


async def test_a_profile_with_problems_leaves_the_runs_own(runs: RunField, open_app: OpenApp) -> None:
    run = runs.run("fox", state="failed", exit_code=1, step=3)
    launched_from_a_file(runs, run, "lr = 1e-4", "lr = 'much'")
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for_text(pilot, "fox")
        await pilot.press("r")
        await wait_for_text(pilot, "has problems now")
        await wait_for_text(pilot, "Start as launched")
