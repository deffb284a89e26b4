"""Resuming exactly: what is said before, what is started, and what is offered where it cannot be done."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from textual.pilot import Pilot

import sdxl_tui.screens.resume_dialog as dialog_module
from engine.checkpoint.manifest import write_manifest
from engine.demo import locate
from engine.model.content import content_of
from engine.profile.schema import Profile
from engine.run.errors import RunError
from engine.run.layout import RunDirectory
from engine.run.lock import RunLock
from engine.schedule import Kind, Schedule
from sdxl_tui.screens.checkpoints import CheckpointsScreen
from sdxl_tui.screens.resume_dialog import ResumeDialog
from sdxl_tui.screens.way_on_dialog import WayOnDialog
from tests.sdxl_tui.places.place_field import NOW, PROFILE, Field, Shell, screen_text, until

profiles: list[Profile | None] = []
"""What each resume would train; None for what the attempt before did."""


@pytest.fixture
def resumed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was resumed from where; no engine is started."""
    calls: list[tuple[str, str]] = []
    profiles.clear()

    def note(run: RunDirectory, checkpoint: Path, *, profile: Profile | None) -> int:
        calls.append((run.id, checkpoint.name))
        profiles.append(profile)
        return 2

    monkeypatch.setattr(dialog_module, "resume", note)
    return calls


async def opened(pilot: Pilot[None], *keys: str) -> str:
    """Go to a row, ask for a resume, wait for the answer; the screen."""
    await until(pilot, lambda: "epoch" in screen_text(pilot.app), "the details")
    await pilot.press(*keys, "r")
    await until(pilot, lambda: isinstance(pilot.app.screen, ResumeDialog), "the dialog")
    screen = pilot.app.screen
    assert isinstance(screen, ResumeDialog)
    await until(pilot, lambda: screen.outlook is not None, "the outlook")
    await pilot.pause()
    return screen_text(pilot.app)


def shell(field: Field) -> Shell:
    """An app that shows the place."""
    return Shell(lambda: CheckpointsScreen(field.workspace))


async def test_it_says_from_where_at_which_rate_and_what_is_restored(
    field: Field, resumed: list[tuple[str, str]]
) -> None:
    run = field.run(step=1000)
    field.checkpoint(run, 1000)
    app = shell(field)
    async with app.run_test(size=(80, 24)) as pilot:
        text = await opened(pilot)
        assert "step 1,000 of 2,000" in text
        assert "unet 5.41e-5" in text
        assert "optimizer moments" in text
        assert "trained again" not in text
        await pilot.press("enter")
        await until(pilot, lambda: app.opened_runs == [run.id], "the run's page")
    assert resumed == [(run.id, "step-00001000")]


async def test_from_an_older_checkpoint_it_says_what_is_done_again_and_replaced(
    field: Field, resumed: list[tuple[str, str]]
) -> None:
    run = field.run(step=1042)
    for step in (500, 860, 1000):
        field.checkpoint(run, step)
    async with shell(field).run_test(size=(80, 24)) as pilot:
        text = await opened(pilot, "down")
        assert "steps 861 to 1,042 are trained again" in text
        assert "checkpoints 1,000, as their steps are reached" in text
        await pilot.press("r")
        await until(pilot, lambda: bool(resumed), "the resume")
    assert resumed == [(run.id, "step-00000860")]


async def test_a_finished_schedule_is_not_resumed_but_continued(field: Field, resumed: list[tuple[str, str]]) -> None:
    run = field.run(step=2000, ended="finished")
    field.checkpoint(run, 2000)
    async with shell(field).run_test(size=(80, 24)) as pilot:
        text = await opened(pilot)
        assert "All 2,000 steps of its schedule are done" in text
        assert "continue with a new LR" in text
        await pilot.press("enter")
        assert isinstance(pilot.app.screen, ResumeDialog)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(pilot.app.screen, WayOnDialog), "the other route")
    assert resumed == []


async def test_a_live_run_is_not_resumed(field: Field, resumed: list[tuple[str, str]]) -> None:
    run = field.run(step=1000)
    field.checkpoint(run, 1000)
    run.attempt(1).exit.write_text(" " * 4096)
    with RunLock.acquire(run.lock):
        async with shell(field).run_test(size=(80, 24)) as pilot:
            text = await opened(pilot)
            assert "The run is alive" in text
            assert "Stop it first" in text
            await pilot.press("enter", "escape")
            assert isinstance(pilot.app.screen, CheckpointsScreen)
    assert resumed == []


async def test_a_damaged_checkpoint_points_to_a_whole_one(field: Field, resumed: list[tuple[str, str]]) -> None:
    run = field.run(step=1000)
    field.checkpoint(run, 860)
    (field.checkpoint(run, 1000) / "optimizer.safetensors").write_bytes(b"short")
    async with shell(field).run_test(size=(100, 30)) as pilot:
        text = await opened(pilot)
        assert "optimizer.safetensors has 5 bytes" in text
        assert "Resume from step-00000860 instead" in text
        await pilot.press("enter", "c")
        assert isinstance(pilot.app.screen, ResumeDialog)
    assert resumed == []


async def test_damage_that_only_digests_show_rules_a_resume_out(field: Field, resumed: list[tuple[str, str]]) -> None:
    run = field.run(step=1000)
    weights = field.checkpoint(run, 1000) / "trainable.safetensors"
    data = bytearray(weights.read_bytes())
    data[7] ^= 1
    weights.write_bytes(data)
    async with shell(field).run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "epoch" in screen_text(pilot.app), "the details")
        await pilot.press("v")
        await until(pilot, lambda: "other contents" in screen_text(pilot.app), "the damage")
        assert "no other whole checkpoint" in await opened(pilot)


async def test_a_refusal_is_told_and_can_be_tried_again(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    run = field.run(step=1000)
    field.checkpoint(run, 1000)

    def refuse(run: RunDirectory, checkpoint: Path, *, profile: Profile | None) -> int:
        raise RunError("someone else started it", where=run.id)

    monkeypatch.setattr(dialog_module, "resume", refuse)
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: "someone else started it" in screen_text(pilot.app), "the reason")
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, CheckpointsScreen)


async def test_in_the_warmup_the_next_rate_is_the_warmups(field: Field, resumed: list[tuple[str, str]]) -> None:
    schedule = Schedule(Kind.CONSTANT, 1000, 100)
    run = field.run(step=25, schedule=schedule)
    field.checkpoint(run, 25, schedule=schedule)
    (run.events).write_text(json.dumps({"time": NOW, "attempt": 1, "event": "stopped", "step": 25}) + "\n")
    async with shell(field).run_test(size=(80, 24)) as pilot:
        text = await opened(pilot)
        assert "unet 2.50e-5 · warmup" in text


def edited(field: Field, old: str, new: str) -> RunDirectory:
    """A run with a checkpoint whose source profile was edited afterwards."""
    run = field.run(step=1000, source=field.workspace.profiles / "fox.toml")
    field.checkpoint(run, 1000)
    text = PROFILE.replace(old, new)
    assert text != PROFILE
    field.profile(text=text)
    return run


async def test_an_unedited_profile_is_said_to_be_so(field: Field, resumed: list[tuple[str, str]]) -> None:
    edited(field, 'name = "fox"', 'name = "fox"  # the same')
    async with shell(field).run_test(size=(100, 30)) as pilot:
        assert "not edited since" in await opened(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: bool(resumed), "the resume")
    assert profiles == [None]


async def test_an_edit_that_takes_effect_is_shown_and_applied(field: Field, resumed: list[tuple[str, str]]) -> None:
    edited(field, 'compute = "fp32"', 'compute = "fp32"\nsave = "fp16"')
    async with shell(field).run_test(size=(100, 30)) as pilot:
        text = await opened(pilot)
        assert "every edit takes effect" in text
        assert "precision.save" in text
        await pilot.press("enter")
        await until(pilot, lambda: bool(resumed), "the resume")
    (profile,) = profiles
    assert profile is not None
    assert profile.precision.save == "fp16"


async def test_an_edit_that_would_be_ignored_has_to_be_agreed_to(field: Field, resumed: list[tuple[str, str]]) -> None:
    edited(field, "lr = 1e-4", "lr = 3e-4")
    async with shell(field).run_test(size=(100, 30)) as pilot:
        text = await opened(pilot)
        assert "edited: a resume ignores 1 setting; apply it by reschedule or continue" in text
        assert "optimizer.lr" in text
        await pilot.press("enter")
        await pilot.pause(0.1)
        assert resumed == []
        await pilot.press("k")
        await until(pilot, lambda: bool(resumed), "the resume")
    assert profiles == [None], "what is stored goes on"


async def test_an_edit_that_rules_a_resume_out_leaves_the_run_as_it_was_launched(
    field: Field, resumed: list[tuple[str, str]]
) -> None:
    edited(field, "resolution = 128", "resolution = 192")
    async with shell(field).run_test(size=(100, 30)) as pilot:
        text = await opened(pilot)
        assert "edited: no exact resume with 1 setting; apply it by continue" in text
        await pilot.press("enter", "k")
        await pilot.pause(0.1)
        assert resumed == []
        await pilot.press("l")
        await until(pilot, lambda: bool(resumed), "the resume")
    assert profiles == [None]


async def test_a_moved_base_goes_on_and_another_one_is_refused(
    field: Field, resumed: list[tuple[str, str]], tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(locate("bundled:demo-base"), base)
    run = edited(field, '"bundled:demo-base"', f'"{base}"')
    state = run.checkpoint(1000) / "state.json"
    facts = json.loads(state.read_text())
    facts["base_model"]["digest"] = content_of("bundled:demo-base")
    state.write_text(json.dumps(facts))
    write_manifest(run.checkpoint(1000), 1000)
    async with shell(field).run_test(size=(100, 30)) as pilot:
        text = await opened(pilot)
        assert "moved since, the same content" in text
        assert "same base, moved" in text
        await pilot.press("enter")
        await until(pilot, lambda: bool(resumed), "the resume")
    assert [profile.model.base for profile in profiles if profile] == [str(base)]
    (base / "tokenizer" / "merges.txt").write_text("other merges")
    async with shell(field).run_test(size=(80, 24)) as pilot:
        text = await opened(pilot)
        assert "no exact resume with 1 setting; apply it by continue" in text
        assert "other base" in text
        await pilot.press("enter")
        await pilot.pause(0.1)
    assert len(resumed) == 1
