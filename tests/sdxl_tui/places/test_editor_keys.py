"""Finding, stepping and resetting fields in the profile editor by keys."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from engine.profile.fields import profile_field
from sdxl_tui.screens.find_field import FindField, found_fields
from sdxl_tui.widgets.number_steps import stepped
from tests.sdxl_tui.places.place_field import PROFILE, Field, screen_text, until
from tests.sdxl_tui.places.test_profile_editor import changed_lines, editor, go_to, retype, saved, shell


def focused_path(pilot: Pilot[None]) -> str:
    """The field the cursor is in; empty if it is in none."""
    field = editor(pilot)._focused_field()
    return field.path if field is not None else ""


@pytest.mark.parametrize("key", ["slash", "ctrl+f"])
async def test_a_field_is_found_by_words_of_its_help_and_gone_to(field: Field, key: str) -> None:
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        if key == "ctrl+f":
            await go_to(pilot, "optimizer", "lr")
        await pilot.pause()
        await pilot.press(key)
        await until(pilot, lambda: isinstance(pilot.app.screen, FindField), "the dialog")
        await pilot.press(*"mirrored")
        await pilot.pause()
        assert "dataset.flip" in screen_text(pilot.app)
        await pilot.press("enter")
        await until(pilot, lambda: focused_path(pilot) == "dataset.flip", "the field")


async def test_finding_from_the_text_goes_to_the_form(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.pause()
        await pilot.press("ctrl+t", "ctrl+f")
        await until(pilot, lambda: isinstance(pilot.app.screen, FindField), "the dialog")
        await pilot.press(*"warmup steps", "enter")
        await until(pilot, lambda: focused_path(pilot) == "schedule.warmup_steps", "the field")


async def test_a_slash_is_typed_into_a_field(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        await go_to(pilot, "model", "base")
        await retype(pilot, "a/b")
        assert editor(pilot).draft.value("model.base") == "a/b"


def test_names_come_before_words_of_the_help() -> None:
    assert found_fields("rank")[0].path == "network.rank"
    assert found_fields("learning_rate")[0].path == "optimizer.lr"
    assert found_fields("no such words at all") == []


@pytest.mark.parametrize(
    ("path", "text", "up", "down"),
    [
        ("optimizer.lr", "1e-4", "2e-4", "7e-5"),
        ("optimizer.lr", "0.00013", "2e-4", "1e-4"),
        ("optimizer.lr", "", "2e-4", "7e-5"),
        ("network.rank", "16", "32", "8"),
        ("network.rank", "1024", None, "512"),
        ("training.steps", "950", "1000", "900"),
        ("training.steps", "2000", "3000", "1000"),
        ("training.batch_size", "1", "2", None),
        ("dataset.resolution", "1000", "1024", "960"),
        ("training.seed", "1234", "1235", "1233"),
        ("network.dropout", "0", "0.1", None),
        ("optimizer.beta2", "0.999", "0.9993", "0.998"),
        ("optimizer.lr", "fast", None, None),
        ("model.base", "3", None, None),
    ],
)
def test_a_step_goes_to_the_next_rounder_number(path: str, text: str, up: str | None, down: str | None) -> None:
    assert (stepped(profile_field(path), text, True), stepped(profile_field(path), text, False)) == (up, down)


async def test_step_keys_are_one_edit(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        await go_to(pilot, "optimizer", "lr")
        await pilot.press("ctrl+up", "ctrl+up", "ctrl+down", "ctrl+up", "ctrl+up")
        await pilot.pause()
        assert editor(pilot).draft.value("optimizer.lr") == 5e-4
        await pilot.press("ctrl+z")
        assert editor(pilot).draft.document.text == PROFILE


async def test_a_step_shows_the_cursor_as_a_letter_does(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await go_to(pilot, "optimizer", "lr")
        line = pilot.app.focused
        assert isinstance(line, Input)
        line._cursor_visible = False  # it blinks
        await pilot.press("ctrl+up")
        assert line._cursor_visible


async def test_a_changed_field_is_marked_until_it_is_saved(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        await go_to(pilot, "optimizer", "lr")
        await retype(pilot, "3e-4")
        assert any("│ lr •" in line for line in screen_text(pilot.app).splitlines())
        assert screen_text(pilot.app).count("•") == 1
        await saved(pilot, editor(pilot).path)
        await until(pilot, lambda: "•" not in screen_text(pilot.app), "no mark")


async def test_reset_goes_to_the_saved_value_then_to_the_default(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        await go_to(pilot, "training", "seed")
        await retype(pilot, "77")
        await pilot.press("f8")
        await pilot.pause()
        assert editor(pilot).draft.document.text == PROFILE
        assert isinstance(pilot.app.focused, Input)
        assert pilot.app.focused.value == "3"
        await pilot.press("f8")
        await pilot.pause()
        assert focused_path(pilot) == "training.seed"
        after = await saved(pilot, editor(pilot).path)
    assert changed_lines(PROFILE, after) == ["- seed = 3  # lucky"]


async def test_reset_brings_back_what_was_mistyped(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        await go_to(pilot, "training", "seed")
        await retype(pilot, "many")
        await pilot.press("f8")
        await pilot.pause()
        assert isinstance(pilot.app.focused, Input)
        assert pilot.app.focused.value == "3"
        assert not editor(pilot).draft.is_changed
