"""The profile editor: one edit, one line; problems named where they are; nothing lost unasked."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from engine.estimate import estimate
from engine.profile.load import LoadedProfile
from engine.profile.problems import Problem, ProfileError
from engine.run.layout import RunDirectory
from sdxl_tui.fleet.gpus import Gpu
from sdxl_tui.fleet.profile_outlook import Machine
from sdxl_tui.fleet.queue import chains
from sdxl_tui.fleet.queue.changes import Turn
from sdxl_tui.screens import outlook_place
from sdxl_tui.screens.ask import UNBIDDEN_SECONDS, Ask
from sdxl_tui.screens.launch_dialog import LaunchDialog
from sdxl_tui.screens.profile_editor import ProfileEditor
from sdxl_tui.widgets.choice import Choice
from sdxl_tui.widgets.profile_form import FieldRow
from sdxl_tui.widgets.sources_editor import SourcesEditor
from sdxl_tui.widgets.toml_editor import TomlEditor
from sdxl_tui.workspace import Workspace
from tests.sdxl_tui.places.place_field import PROFILE, Field, Shell, matches_snapshot, screen_text, until


def shell(field: Field, text: str = PROFILE, **options: bool) -> Shell:
    """The editor on a profile of the workspace."""
    path = field.profile(text=text)
    return Shell(lambda: ProfileEditor(field.workspace, path, **options))


def editor(pilot: Pilot[None]) -> ProfileEditor:
    """The editor in front."""
    screen = pilot.app.screen
    assert isinstance(screen, ProfileEditor)
    return screen


async def go_to(pilot: Pilot[None], section: str, field: str) -> None:
    """Choose a section on the left and go down to a field."""
    await pilot.pause()
    sections = ["profile", "model", "network", "dataset", "captions", "training", "optimizer", "schedule"]
    await pilot.press("home", *["down"] * sections.index(section), "enter")
    for _ in range(12):
        await pilot.pause()
        focused = pilot.app.focused
        form = editor(pilot)._form
        assert form is not None
        if (found := form.field_of(focused)) is not None and found.name == field:
            return
        await pilot.press("down")
    pytest.fail(f"there is no field {section}.{field}")


async def retype(pilot: Pilot[None], text: str) -> None:
    """Replace what stands in the focused input."""
    focused = pilot.app.focused
    assert isinstance(focused, Input)
    focused.clear()
    await pilot.press(*text)
    await pilot.pause()


def changed_lines(before: str, after: str) -> list[str]:
    """Lines taken out and put in."""
    difference = difflib.ndiff(before.splitlines(), after.splitlines())
    return [line for line in difference if line.startswith(("- ", "+ "))]


async def saved(pilot: Pilot[None], path: Path) -> str:
    """Save with the key; the file's content once it is saved."""
    screen = editor(pilot)
    await pilot.press("ctrl+s")
    await until(pilot, lambda: not screen.draft.is_changed, "saving")
    return path.read_text()


async def test_editing_a_number_changes_its_line_and_nothing_else(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        await go_to(pilot, "optimizer", "lr")
        await retype(pilot, "3e-4")
        after = await saved(pilot, editor(pilot).path)
    assert changed_lines(PROFILE, after) == ["- lr = 1e-4  # the usual", "+ lr = 3e-4  # the usual"]


async def test_a_choice_is_made_with_the_arrow_keys(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        await go_to(pilot, "schedule", "kind")
        assert isinstance(pilot.app.focused, Choice)
        await pilot.press("left", "left")
        after = await saved(pilot, editor(pilot).path)
    assert changed_lines(PROFILE, after) == ['- kind = "cosine"', '+ kind = "constant"']


async def test_a_toggle_that_the_file_does_not_set_adds_one_line(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        await go_to(pilot, "dataset", "upscale")
        await pilot.press("space")
        after = await saved(pilot, editor(pilot).path)
    assert changed_lines(PROFILE, after) == ["+ upscale = false"]


async def test_a_field_that_is_empty_for_a_moment_keeps_its_comment(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        await go_to(pilot, "optimizer", "lr")
        await pilot.press("end", *["backspace"] * 4)
        assert editor(pilot).draft.value("optimizer.lr") is None
        await pilot.press(*"5e-5")
        after = await saved(pilot, editor(pilot).path)
    assert changed_lines(PROFILE, after) == ["- lr = 1e-4  # the usual", "+ lr = 5e-5  # the usual"]


async def test_typing_a_value_back_leaves_nothing_to_save_even_after_other_edits(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        await go_to(pilot, "optimizer", "lr")
        await retype(pilot, "3e-4")
        await pilot.press("down")
        await retype(pilot, "0.5")
        await retype(pilot, "")
        await pilot.press("up")
        await retype(pilot, "1e-4")
        await pilot.pause()
        assert editor(pilot).draft.document.get("optimizer.lr") == 1e-4
        assert editor(pilot).unsaved is None


async def test_an_emptied_field_takes_its_line_out(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        await go_to(pilot, "training", "seed")
        await retype(pilot, "")
        after = await saved(pilot, editor(pilot).path)
    assert changed_lines(PROFILE, after) == ["- seed = 3  # lucky"]


async def test_a_folder_is_added_in_the_empty_line_and_taken_out_by_clearing_it(field: Field) -> None:
    async with shell(field).run_test(size=(100, 30), notifications=True) as pilot:
        await go_to(pilot, "dataset", "sources")
        sources = pilot.app.screen.query_one(SourcesEditor)
        await pilot.press("down", "down", *"/more")
        await pilot.pause()
        assert len(sources.query(Input)) == 6
        draft = editor(pilot).draft
        assert draft.value("dataset.sources") == [{"path": "bundled:demo-images", "repeats": 2}, {"path": "/more"}]
        await pilot.press("up", "up")
        await retype(pilot, "")
        assert draft.value("dataset.sources") == [{"path": "/more"}]
        assert "# A profile for tests." in draft.document.text


async def test_what_else_is_set_for_a_folder_survives_an_edit_of_its_line(field: Field) -> None:
    others = 'trigger = "zorb"\nmask_folder = "masks"  # by hand\ncaption_dropout = 0.1\n'
    before = PROFILE.replace("repeats = 2\n", f"repeats = 2\n{others}")
    async with shell(field, before).run_test(size=(100, 30), notifications=True) as pilot:
        await go_to(pilot, "dataset", "sources")
        assert "+3" in screen_text(pilot.app)
        await pilot.press("tab")
        await retype(pilot, "7")
        after = await saved(pilot, editor(pilot).path)
    assert changed_lines(before, after) == ["- repeats = 2", "+ repeats = 7"]


async def test_what_is_no_value_is_named_and_the_last_value_kept(field: Field) -> None:
    async with shell(field).run_test(size=(100, 30), notifications=True) as pilot:
        await go_to(pilot, "network", "rank")
        await retype(pilot, "16.5")
        text = screen_text(pilot.app)
        assert "must be a whole number from 1 to 1,024" in text
        assert "1 problem" in text
        assert editor(pilot).draft.document.text == PROFILE
        assert editor(pilot).unsaved == "changes to fox.toml"
        await retype(pilot, "32")
        assert "valid" in screen_text(pilot.app).splitlines()[1]


async def test_a_problem_between_two_fields_stands_at_its_field_and_section(field: Field) -> None:
    async with shell(field).run_test(size=(120, 30), notifications=True) as pilot:
        await go_to(pilot, "schedule", "warmup_steps")
        await retype(pilot, "2500")
        lines = screen_text(pilot.app).splitlines()
        assert any(line.startswith(" schedule") and "✗ 1" in line for line in lines)
        assert any("warmup_steps" in line and "longer than" in line for line in lines)


async def test_digits_and_letters_with_a_meaning_elsewhere_are_typed_in_fields(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        await go_to(pilot, "model", "base")
        await retype(pilot, "/q1/2?d3")
        assert editor(pilot).draft.value("model.base") == "/q1/2?d3"


async def test_the_help_follows_the_focus(field: Field) -> None:
    async with shell(field).run_test(size=(100, 30), notifications=True) as pilot:
        await go_to(pilot, "optimizer", "lr")
        text = screen_text(pilot.app)
        assert "optimizer.lr  a number above 0 and at most 10 · default 1e-4" in text
        assert "3e-5 to 3e-4 is the sensible range" in text
        assert "at resume restored: the checkpoint's value wins" in text


async def test_form_and_text_are_two_views_of_one_thing(field: Field) -> None:
    async with shell(field).run_test(size=(100, 40), notifications=True) as pilot:
        await go_to(pilot, "optimizer", "lr")
        await retype(pilot, "3e-4")
        await pilot.press("ctrl+t")
        await pilot.pause()
        toml = pilot.app.screen.query_one(TomlEditor)
        assert "lr = 3e-4  # the usual" in toml.text
        toml.load_text(toml.text.replace("3e-4", "7e-5"))
        await pilot.pause(0.2)
        await pilot.press("ctrl+t")
        await pilot.pause()
        await go_to(pilot, "optimizer", "lr")
        focused = pilot.app.focused
        assert isinstance(focused, Input)
        assert focused.value == "7e-5"
        after = await saved(pilot, editor(pilot).path)
    assert after == PROFILE.replace("1e-4", "7e-5")


async def test_broken_toml_opens_as_text_at_its_line_and_does_not_become_a_form(field: Field) -> None:
    async with shell(field, PROFILE.replace("lr = 1e-4", "lr = fast")).run_test(
        size=(120, 30), notifications=True
    ) as pilot:
        await until(pilot, lambda: isinstance(pilot.app.focused, TomlEditor), "the text")
        assert "fox.toml:21:6" in screen_text(pilot.app)
        await pilot.press("ctrl+t")
        await pilot.pause()
        assert isinstance(pilot.app.focused, TomlEditor)
        await pilot.press("ctrl+n")
        await pilot.pause()
        assert pilot.app.screen.query_one(TomlEditor).cursor_location[0] + 1 == 21


async def test_an_unknown_field_is_named_with_the_nearest(field: Field) -> None:
    async with shell(field, PROFILE.replace("seed = 3", "sed = 3")).run_test(
        size=(160, 30), notifications=True
    ) as pilot:
        await pilot.pause()
        text = screen_text(pilot.app)
        assert "training.sed" in text
        assert "training.seed" in text
        await pilot.press("ctrl+n")
        await pilot.pause()
        toml = pilot.app.screen.query_one(TomlEditor)
        assert toml.text.splitlines()[toml.cursor_location[0]].startswith("sed = 3")


async def test_the_next_problem_is_gone_to_from_anywhere(field: Field) -> None:
    text = PROFILE.replace("lr = 1e-4", "lr = 20.0").replace("resolution = 128", "resolution = 127")
    async with shell(field, text).run_test(size=(100, 30), notifications=True) as pilot:
        await pilot.pause()
        for path in ("dataset.resolution", "optimizer.lr", "dataset.resolution"):
            await pilot.press("ctrl+n")
            await pilot.pause()
            form = editor(pilot)._form
            assert form is not None
            focused = form.field_of(pilot.app.focused)
            assert focused is not None
            assert focused.path == path


@pytest.mark.parametrize("key", ["escape", "d", "s"])
async def test_leaving_with_changes_asks_and_can_keep_save_or_discard(field: Field, key: str) -> None:
    app = shell(field)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        below = editor(pilot)
        page = ProfileEditor(field.workspace, below.path)
        app.push_screen(page)
        await pilot.pause()
        await go_to(pilot, "optimizer", "lr")
        await retype(pilot, "3e-4")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Ask), "the question")
        await pilot.press(key)
        await until(pilot, lambda: app.screen is (page if key == "escape" else below), "the answer's effect")
        assert ("3e-4" in page.path.read_text()) == (key == "s")


async def test_leaving_without_changes_does_not_ask(field: Field) -> None:
    app = shell(field)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        first = editor(pilot)
        app.push_screen(ProfileEditor(field.workspace, first.path))
        await pilot.pause()
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is first, "leaving")


@pytest.mark.parametrize(("key", "kept"), [("o", "3e-4"), ("r", "5e-5"), ("escape", "5e-5")])
async def test_a_file_changed_outside_is_noticed_when_saving(field: Field, key: str, kept: str) -> None:
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        screen = editor(pilot)
        await go_to(pilot, "optimizer", "lr")
        await retype(pilot, "3e-4")
        screen.path.write_text(PROFILE.replace("1e-4", "5e-5"))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, Ask), "the question")
        assert "changed by another program" in screen_text(pilot.app)
        await pilot.pause(UNBIDDEN_SECONDS + 0.1)
        await pilot.press(key)
        await until(pilot, lambda: pilot.app.screen is screen, "the editor")
        if key != "escape":
            await until(pilot, lambda: not screen.draft.is_changed, "one of the two")
        assert f"lr = {kept}" in screen.path.read_text()
        assert ("5e-5" in screen.draft.document.text) == (key == "r")


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[LoadedProfile]:
    """The profiles that were launched; no engine is started."""
    profiles: list[LoadedProfile] = []

    def note(workspace: Workspace, loaded: LoadedProfile, turn: Turn | None, **_: object) -> list[RunDirectory]:
        assert turn is None
        profiles.append(loaded)
        return [RunDirectory(workspace.runs / "fox-1")]

    monkeypatch.setattr(chains, "begin", note)
    return profiles


async def test_launch_saves_first_and_goes_to_the_runs_page(field: Field, launched: list[LoadedProfile]) -> None:
    app = shell(field)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await go_to(pilot, "optimizer", "lr")
        await retype(pilot, "3e-4")
        await pilot.press("ctrl+l")
        await until(pilot, lambda: isinstance(app.screen, LaunchDialog), "the dialog")
        await pilot.press("enter")
        await until(pilot, lambda: app.opened_runs == ["fox-1"], "the run's page")
    assert launched[0].profile.optimizer.lr == 3e-4
    assert "lr = 3e-4" in launched[0].text


async def test_launch_names_what_stands_against_it(field: Field, launched: list[LoadedProfile]) -> None:
    app = shell(field)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await go_to(pilot, "optimizer", "lr")
        await retype(pilot, "20")
        await pilot.press("ctrl+l")
        await until(pilot, lambda: "Not launched" in screen_text(app), "the refusal")
        assert "optimizer.lr" in screen_text(app)
    assert launched == []
    assert app.opened_runs == []


async def test_a_missing_folder_found_by_the_launch_is_named(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(workspace: Workspace, loaded: LoadedProfile, turn: Turn | None, **_: object) -> list[RunDirectory]:
        raise ProfileError([Problem("profile", None, None, "model.base", '"/nowhere"', "there is no such folder")])

    monkeypatch.setattr(chains, "begin", refuse)
    app = shell(field)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await pilot.press("ctrl+l")
        await until(pilot, lambda: isinstance(app.screen, LaunchDialog), "the dialog")
        await pilot.press("enter")
        await until(pilot, lambda: "there is no such folder" in screen_text(app), "the refusal")


async def test_a_shipped_profile_is_only_read_and_duplicated_to_edit(field: Field) -> None:
    app = shell(field, read_only=True)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await pilot.pause()
        assert "read-only" in screen_text(app)
        await pilot.press("ctrl+s", "d")
        await until(pilot, lambda: "fox-2.toml" in screen_text(app), "the copy")
        assert not editor(pilot).read_only
    assert (field.workspace.profiles / "fox-2.toml").read_text() == PROFILE


async def test_hostile_text_in_a_profile_is_shown_and_not_obeyed(field: Field) -> None:
    evil = PROFILE.replace('"bundled:demo-base"', '"/a\\u001b]52;c;aGk=\\u0007[/red]\\u202eb"')
    async with shell(field, evil).run_test(size=(160, 40), notifications=True) as pilot:
        await go_to(pilot, "model", "base")
        text = screen_text(pilot.app)
        assert "[/red]" in text
        assert not {"\x1b", "\x07", "\u202e"} & set(text)
        assert editor(pilot).draft.document.text == evil


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50)])
async def test_it_looks_as_it_did(field: Field, width: int, height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "free_bytes", lambda _: 80_000_000_000)
    gpu = Gpu(0, "GPU-a", "NVIDIA GeForce RTX 4090", 24 << 30, 2 << 30)
    monkeypatch.setattr(outlook_place, "this_machine", lambda: Machine((gpu,), 64 << 30))
    async with shell(field).run_test(size=(width, height), notifications=True) as pilot:
        await go_to(pilot, "optimizer", "lr")
        if width >= outlook_place.WIDE:
            await until(pilot, lambda: "Epoch" in screen_text(pilot.app), "the data set")
            await until(pilot, lambda: "RTX 4090" in screen_text(pilot.app), "the estimate")
        matches_snapshot(f"editor-{width}x{height}", screen_text(pilot.app))


STAGES = """
[[stages]]
name = "rough"
steps = 1000
[[stages]]
steps = 500
"""


async def test_stages_are_a_line_that_says_where_they_are_edited(field: Field) -> None:
    async with shell(field, PROFILE + STAGES).run_test(size=(160, 40)) as pilot:
        await pilot.pause()
        await until(pilot, lambda: "1,500 steps in 2 stages" in screen_text(pilot.app), "the plan")
        shown = screen_text(pilot.app)
        assert "2 stages: rough 1,000 steps," in shown
        assert "stage-2 500 steps" in shown
        assert "ctrl+t edits them" in shown


async def test_a_wrong_stage_is_told_at_the_line_of_the_stages(field: Field) -> None:
    async with shell(field, PROFILE + STAGES + "lr = 20\n").run_test(size=(160, 40)) as pilot:
        await until(pilot, lambda: bool(pilot.app.screen.query(FieldRow)), "the form")
        (row,) = [row for row in pilot.app.screen.query(FieldRow) if row.field.path == "stages"]
        await until(pilot, lambda: row.has_class("-error"), "the problem")


CHILD = 'extends = "base"\n\n[optimizer]\nlr = 5e-4  # mine\n'


async def test_inherited_values_are_shown_as_such_and_an_edit_writes_only_the_child(field: Field) -> None:
    base = field.profile("base", f"{PROFILE}\n[network]\nrank = 4\n")
    before = base.read_text()
    child = field.profile("child", CHILD)
    app = Shell(lambda: ProfileEditor(field.workspace, child))
    async with app.run_test(size=(110, 34), notifications=True) as pilot:
        await go_to(pilot, "network", "rank")
        focused = pilot.app.focused
        assert isinstance(focused, Input)
        assert (focused.value, focused.placeholder) == ("", "4")
        shown = screen_text(pilot.app)
        assert "from base.toml" in shown
        assert "inherited 4 from base.toml (in use)" in shown
        await retype(pilot, "8")
        assert "inherited 4 from base.toml" in screen_text(pilot.app)
        assert changed_lines(CHILD, await saved(pilot, child)) == ["+ ", "+ [network]", "+ rank = 8"]
        focused.clear()
        await pilot.pause()
        assert changed_lines(CHILD, await saved(pilot, child)) in (["+ ", "+ [network]"], [])
        profile = editor(pilot).draft.profile
        assert profile is not None and profile.network.rank == 4
    assert base.read_text() == before


async def test_a_mistake_in_a_profile_that_is_extended_is_told_in_the_form(field: Field) -> None:
    base = field.profile("base")
    base.write_text(base.read_text() + "\n[ema]\ndecay = 7\n")
    child = field.profile("child", CHILD)
    app = Shell(lambda: ProfileEditor(field.workspace, child))
    async with app.run_test(size=(140, 34), notifications=True) as pilot:
        await pilot.pause()
        assert "(inherited by child.toml), base.toml:" in editor(pilot).draft.first_complaint
        base.write_text("[x")
        await go_to(pilot, "optimizer", "lr")
        await retype(pilot, "3e-4")
        draft = editor(pilot).draft
        assert draft.is_toml, "the child's own text can be edited"
        assert "not TOML" in draft.first_complaint
