"""A profile that extends another in the editor: what is its own, lists that it empties, paths that mean the same place."""

from __future__ import annotations

from pathlib import Path

from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from engine.profile.load import load_profile
from sdxl_tui.screens.profile_editor import ProfileEditor
from sdxl_tui.widgets.profile_form import OWN, FieldRow
from sdxl_tui.widgets.sources_editor import SourceLine
from tests.sdxl_tui.places.place_field import PROFILE, Field, Shell, screen_text, until
from tests.sdxl_tui.places.test_profile_editor import changed_lines, editor, go_to, retype, saved

PROMPTS = '\n[samples]\nprompts = ["a fox", "a wolf"]\n'


def on(field: Field, path: Path) -> Shell:
    return Shell(lambda: ProfileEditor(field.workspace, path))


def label(pilot: Pilot[None], path: str) -> str:
    """What stands before the control of a field."""
    (row,) = [row for row in pilot.app.screen.query(FieldRow) if row.field.path == path]
    return str(row._label.visual)


async def test_a_value_that_is_not_the_parents_is_marked_and_one_that_is_the_same_is_not(field: Field) -> None:
    field.profile("base")
    child = field.profile("child", 'extends = "base"\n[optimizer]\nlr = 1e-4\nbeta1 = 0.8\nbeta2 = 0.999\n')
    async with on(field, child).run_test(size=(110, 34)) as pilot:
        await go_to(pilot, "optimizer", "lr")
        assert OWN not in label(pilot, "optimizer.lr")
        assert OWN in label(pilot, "optimizer.beta1")
        assert "extends base, 2 values of its own" in screen_text(pilot.app)  # beta2 has no default of its own
        await retype(pilot, "2e-4")
        await until(pilot, lambda: OWN in label(pilot, "optimizer.lr"), "the mark")
        assert "extends base, 3 values of its own" in screen_text(pilot.app)


async def test_without_a_parent_nothing_is_marked(field: Field) -> None:
    async with on(field, field.profile()).run_test(size=(110, 34)) as pilot:
        await go_to(pilot, "optimizer", "lr")
        assert editor(pilot).draft.own_fields == frozenset()


async def test_an_empty_list_can_be_written_over_an_inherited_one_and_taken_back(field: Field) -> None:
    field.profile("base", PROFILE + PROMPTS)
    text = 'extends = "base"\n'
    child = field.profile("child", text)
    async with on(field, child).run_test(size=(110, 34)) as pilot:
        await pilot.pause()
        await pilot.press("ctrl+f")
        await pilot.pause()
        await pilot.press(*"samples.prompts", "enter")
        await until(pilot, lambda: isinstance(pilot.app.focused, TextArea), "the field")
        await until(pilot, lambda: "[] for none" in screen_text(pilot.app), "how to empty it")
        await pilot.press("[", "]")
        await pilot.pause()
        after = await saved(pilot, child)
        assert "+ prompts = []" in changed_lines(text, after)
        assert load_profile(child).profile.samples.prompts == ()
        await pilot.press("backspace", "backspace")
        await pilot.pause()
        assert "prompts" not in await saved(pilot, child)
        assert load_profile(child).profile.samples.prompts == ("a fox", "a wolf")


def two_folders(field: Field) -> Path:
    """A child whose parent, in another folder, names images beside itself."""
    elsewhere = field.workspace.profiles / "shared"
    (elsewhere / "images").mkdir(parents=True)
    text = PROFILE.replace("bundled:demo-images", "images")
    (elsewhere / "base.toml").write_text(text)
    return field.profile("child", 'extends = "shared/base.toml"\n')


async def test_a_source_that_is_copied_from_a_parent_elsewhere_still_means_its_folder(field: Field) -> None:
    child = two_folders(field)
    before = load_profile(child).profile.dataset.sources
    async with on(field, child).run_test(size=(160, 34)) as pilot:
        await go_to(pilot, "dataset", "sources")
        line = pilot.app.screen.query(SourceLine).first()
        line.repeats.focus()
        await pilot.pause()
        await retype(pilot, "5")
        text = await saved(pilot, child)
        assert str(field.workspace.profiles / "shared" / "images") in text
        (source,) = load_profile(child).profile.dataset.sources
        assert source == before[0].model_copy(update={"repeats": 5})
        await retype(pilot, "2")
        assert await saved(pilot, child) == 'extends = "shared/base.toml"\n'


async def test_clearing_the_folders_of_a_child_goes_back_to_the_parents(field: Field) -> None:
    field.profile("base")
    child = field.profile("child", 'extends = "base"\n[[dataset.sources]]\npath = "mine"\n')
    async with on(field, child).run_test(size=(110, 34)) as pilot:
        await go_to(pilot, "dataset", "sources")
        await retype(pilot, "")
        assert "mine" not in await saved(pilot, child)
        assert load_profile(child).profile.dataset.sources[0].path == "bundled:demo-images"


async def test_tab_completes_a_folder_of_images_and_goes_through_what_fits(field: Field) -> None:
    path = field.profile()
    for name in ("fox-red", "fox-white", "wolf", ".fox-hidden"):
        (field.workspace.path / "data" / name).mkdir(parents=True)
    (field.workspace.path / "data" / "fox-file").touch()
    async with on(field, path).run_test(size=(110, 34)) as pilot:
        await go_to(pilot, "dataset", "sources")
        box = pilot.app.focused
        assert isinstance(box, Input)
        await retype(pilot, "../data/f")
        for wanted in ("../data/fox-", "../data/fox-red/", "../data/fox-white/", "../data/fox-red/"):
            await pilot.press("tab")
            await until(pilot, lambda wanted=wanted: box.value == wanted, wanted)  # type: ignore[misc]
        await until(pilot, lambda: "fox-red/  fox-white/" in screen_text(pilot.app), "what fits")
        assert editor(pilot).draft.value("dataset.sources")[0]["path"] == "../data/fox-red/"
        await retype(pilot, "../data/w")
        await pilot.press("tab")
        await until(pilot, lambda: box.value == "../data/wolf/", "the only one that fits")
        await pilot.press("tab")
        await until(pilot, lambda: pilot.app.focused is not box, "nothing goes on: the next field")


async def test_tab_in_an_empty_path_goes_to_the_next_field(field: Field) -> None:
    async with on(field, field.profile()).run_test(size=(110, 34)) as pilot:
        await go_to(pilot, "model", "vae")
        box = pilot.app.focused
        await pilot.press("tab")
        await until(pilot, lambda: pilot.app.focused is not box, "the next field")
