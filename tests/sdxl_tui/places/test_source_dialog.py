"""What else is set for a folder of images: in a dialog from its line in the profile editor, by keys."""

from __future__ import annotations

from textual.pilot import Pilot
from textual.widgets import Input

from sdxl_tui.screens.source_dialog import SourceDialog
from sdxl_tui.widgets.choice import Choice
from tests.sdxl_tui.places.place_field import PROFILE, Field, screen_text, until
from tests.sdxl_tui.places.test_profile_editor import changed_lines, editor, go_to, saved, shell


async def open_at(pilot: Pilot[None], words: str) -> None:
    """The dialog, at the field that ``words`` find."""
    await pilot.pause()
    await pilot.press("ctrl+f")
    await pilot.press(*words, "enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, SourceDialog), "the dialog")
    await until(pilot, lambda: isinstance(pilot.app.focused, Input | Choice), "the field")


async def test_a_trigger_is_found_and_set_and_is_one_line_of_the_file(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await open_at(pilot, "sources.trigger")
        assert "Words put before every caption" in screen_text(pilot.app)
        await pilot.press(*"aki", "enter")
        await until(pilot, lambda: bool(editor(pilot).draft.is_changed), "the edit")
        assert "+1" in screen_text(pilot.app)
        assert changed_lines(PROFILE, await saved(pilot, editor(pilot).path)) == ['+ trigger = "aki"']


async def test_what_a_folder_takes_from_the_profile_can_be_overruled_and_taken_back(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await open_at(pilot, "sources.flip")
        assert "as dataset.flip" in screen_text(pilot.app)
        await pilot.press("right", "enter")
        await until(pilot, lambda: editor(pilot).draft.value("dataset.sources")[0].get("flip") is True, "the edit")
        await open_at(pilot, "sources.flip")
        await pilot.press("left", "enter")
        await until(pilot, lambda: not editor(pilot).draft.is_changed, "nothing is changed")


async def test_escape_leaves_the_folder_as_it_was(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await open_at(pilot, "sources.trigger")
        await pilot.press(*"aki", "escape")
        await pilot.pause()
        assert not editor(pilot).draft.is_changed


async def test_what_is_no_value_is_said_and_not_taken(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await open_at(pilot, "sources.tag_dropout")
        await pilot.press(*"7", "enter")
        await pilot.pause()
        assert isinstance(pilot.app.screen, SourceDialog)
        assert "must be a number" in screen_text(pilot.app)
        await pilot.press("escape")
        assert not editor(pilot).draft.is_changed


async def test_f7_is_named_in_the_line_of_a_folder_and_opens_its_settings(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await go_to(pilot, "dataset", "sources")
        assert "F7 Folder's settings" in screen_text(pilot.app)
        await pilot.press("f7")
        await until(pilot, lambda: isinstance(pilot.app.screen, SourceDialog), "the dialog")
        await pilot.press("escape", "down", "down", "down")
        await pilot.pause()
        await pilot.press("f7")
        await pilot.pause()
        assert not isinstance(pilot.app.screen, SourceDialog)


async def test_an_inherited_folder_is_in_sight_on_a_small_screen(field: Field) -> None:
    field.profile("base", PROFILE.replace("bundled:demo-images", "/some/where/pictures-of-aki"))
    async with shell(field, 'extends = "base"\n').run_test(size=(80, 24)) as pilot:
        await go_to(pilot, "dataset", "sources")
        assert "/some/where/pictures-of-aki" in screen_text(pilot.app)
