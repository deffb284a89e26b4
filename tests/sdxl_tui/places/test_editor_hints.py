"""The editor on a profile that a run was launched from: what a resume of that run would do with each edit, as it is typed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from textual.pilot import Pilot

from engine.profile.load import parse_profile
from engine.profile.to_toml import profile_to_toml
from engine.run.layout import RunDirectory
from sdxl_tui.fleet.source_run import newest_run_of
from sdxl_tui.screens.source_run_dialog import SourceRunDialog
from sdxl_tui.widgets.profile_sections import SectionList
from tests.sdxl_tui.places.place_field import PROFILE, Field, screen_text, until
from tests.sdxl_tui.places.test_profile_editor import editor, retype, shell
from tests.sdxl_tui.places.test_profile_editor import go_to as go_down_to


def launched(
    field: Field, run_id: str = "fox-20261124-093000", *, age: float = 3600.0, step: int = 860
) -> RunDirectory:
    """A run of the profile in the workspace, with one checkpoint."""
    run = field.run(run_id, step=step, age=age, source=field.profile())
    field.checkpoint(run, step)
    return run


async def known(pilot: Pilot[None], words: str = "run fox-") -> str:
    """Wait for the line about the run; the screen."""
    await until(pilot, lambda: words in screen_text(pilot.app), words)
    return screen_text(pilot.app)


async def go_to(pilot: Pilot[None], section: str, name: str) -> None:
    """To a field, from wherever the cursor is."""
    editor(pilot).query_one(SectionList).focus()
    await go_down_to(pilot, section, name)


async def test_each_edit_is_marked_and_its_help_says_what_a_resume_does(field: Field) -> None:
    launched(field)
    async with shell(field).run_test(size=(80, 24)) as pilot:
        assert "run fox-20261124-093000: trained with these very values" in await known(pilot)
        await go_to(pilot, "optimizer", "lr")
        await retype(pilot, "3e-4")
        text = await known(pilot, "1 change a resume ignores")
        assert "~ lr" in text
        assert "optimizer   ~ 1" in text
        said = "~ ignored at resume: reschedule or continue would apply it (the run has 1e-4)"
        assert said in " ".join(text.split())
        await go_to(pilot, "dataset", "resolution")
        await retype(pilot, "192")
        text = await known(pilot, "1 change a resume ignores, 1 it would refuse")
        assert "! rules a resume out: continue would apply it" in text
        await go_to(pilot, "optimizer", "lr")
        await retype(pilot, "1e-4")
        text = await known(pilot, "1 change a resume would refuse")
        assert "~ lr" not in text
        assert "at resume restored" in text


async def test_a_key_opens_the_table_of_effects(field: Field) -> None:
    launched(field)
    async with shell(field, PROFILE).run_test(size=(80, 24)) as pilot:
        await known(pilot)
        assert "^r At resume" in screen_text(pilot.app)
        await go_to(pilot, "optimizer", "lr")
        await retype(pilot, "3e-4")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: isinstance(pilot.app.screen, SourceRunDialog), "the table")
        text = screen_text(pilot.app)
        assert "Compared with step 860" in text
        assert "optimizer.lr  1.00e-4  3.00e-4" in text
        assert "All that a resume leaves out: reschedule or continue would apply it." in text
        await pilot.press("escape")
        assert editor(pilot).draft.value("optimizer.lr") == 3e-4


async def test_without_a_run_nothing_is_said_and_no_key_offered(field: Field) -> None:
    other = field.run(source=field.profile("other"))
    field.checkpoint(other, 860)
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.2)
        text = screen_text(pilot.app)
        assert "run fox-" not in text
        assert "^r" not in text


async def test_what_the_launch_overrode_is_said_to_win(field: Field) -> None:
    run = launched(field)
    record = json.loads(run.record.read_text()) | {"overrides": ["optimizer.lr=5e-5"]}
    run.record.write_text(json.dumps(record))
    wanted = parse_profile(PROFILE, folder=field.workspace.profiles, overrides=["optimizer.lr=5e-5"]).profile
    run.profile.write_text(profile_to_toml(wanted))
    shutil.rmtree(run.checkpoint(860))
    field.checkpoint(run, 860, base_lr=5e-5)
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await known(pilot, "trained with these very values")
        await go_to(pilot, "optimizer", "lr")
        await retype(pilot, "3e-4")
        assert "launched with --set optimizer.lr=5e-5, which wins at a resume" in " ".join(
            screen_text(pilot.app).split()
        )
        assert "trained with these very values" in screen_text(pilot.app)


async def test_a_path_may_lead_to_the_same_content_and_a_finished_run_is_said_to_be_one(field: Field) -> None:
    launched(field, step=2000)
    async with shell(field).run_test(size=(100, 30)) as pilot:
        await known(pilot, "finished: nothing is left to resume")
        await go_to(pilot, "model", "base")
        await retype(pilot, "/elsewhere")
        text = await known(pilot, "1 change a resume would refuse")
        assert "rules a resume out unless the same content lies there: continue would apply it" in text


def test_the_newest_run_counts_and_a_broken_one_does_not(field: Field) -> None:
    older, newer = launched(field, age=7200.0), launched(field, "fox-20261124-113000", age=60.0)
    profile = field.workspace.profiles / "fox.toml"
    found = newest_run_of(profile, field.workspace.runs)
    assert found is not None
    assert (found.id, found.step, found.is_finished) == (newer.id, 860, False)
    shutil.rmtree(newer.checkpoints)
    newer.profile.write_text("not a profile")
    found = newest_run_of(profile, field.workspace.runs)
    assert found is not None
    assert found.id == older.id
    assert newest_run_of(Path("/nowhere.toml"), field.workspace.runs) is None


async def test_what_is_wrong_with_the_focused_value_stands_in_sight_at_80_columns(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await go_to(pilot, "optimizer", "lr")
        await retype(pilot, "20")
        assert "✗ must be a number above 0 and at most 10" in screen_text(pilot.app)
        await retype(pilot, "1e-3")
        assert "✗" not in screen_text(pilot.app)
        await go_to(pilot, "schedule", "warmup_steps")
        await retype(pilot, "5000")
        text = " ".join(screen_text(pilot.app).split())
        assert "✗ is longer than training.steps 2000; use at most 2000" in text
        await pilot.press("up")
        await pilot.pause()
        assert "✗ is longer" not in screen_text(pilot.app)
