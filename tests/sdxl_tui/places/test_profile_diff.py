"""What differs between two profiles or a profile and a run: from the command line and from the editor."""

from __future__ import annotations

import json

import pytest

from sdxl_tui.cli import main
from sdxl_tui.screens.diff_dialog import ChooseOther, DiffDialog
from tests.sdxl_tui.places.place_field import PROFILE, Field, screen_text, until
from tests.sdxl_tui.places.test_profile_editor import editor, go_to, retype, shell


def told(field: Field, capsys: pytest.CaptureFixture[str], here: str, there: str) -> dict[str, tuple[object, object]]:
    """By field what ``diff --json`` says of both."""
    assert main(["diff", here, there, "--json", "--workspace", str(field.workspace.path)]) == 0
    found = json.loads(capsys.readouterr().out)
    return {one["field"]: (one["here"], one["there"]) for one in found["differences"]}


def test_inherited_values_and_defaults_are_compared_like_own_ones(
    field: Field, capsys: pytest.CaptureFixture[str]
) -> None:
    field.profile()
    field.profile("child", 'extends = "fox"\n[optimizer]\nlr = 2e-4\n[network]\nrank = 16\n')
    assert told(field, capsys, "child", "fox") == {"optimizer.lr": (2e-4, 1e-4)}
    assert told(field, capsys, "fox", "fox") == {}


def test_sources_are_compared_value_by_value(field: Field, capsys: pytest.CaptureFixture[str]) -> None:
    field.profile()
    more = '\n[[dataset.sources]]\npath = "bundled:demo-held-out"\n'
    field.profile("more", PROFILE.replace("repeats = 2", "repeats = 3" + more))
    assert told(field, capsys, "fox", "more") == {
        "dataset.sources[0].repeats": (2, 3),
        "dataset.sources[1].path": (None, "bundled:demo-held-out"),
    }


@pytest.mark.parametrize("named", ["fox-20261124-093000", "latest", "fox-2026"])
def test_a_run_stands_for_what_it_trains(field: Field, capsys: pytest.CaptureFixture[str], named: str) -> None:
    field.run()
    field.profile("mine", PROFILE.replace("steps = 2000", "steps = 2500"))
    assert told(field, capsys, "mine", named) == {"training.steps": (2500, 2000)}


def test_of_a_profile_and_a_run_of_one_name_the_profile_is_meant_and_a_folder_names_the_run(
    field: Field, capsys: pytest.CaptureFixture[str]
) -> None:
    run = field.run()
    field.profile("fox", PROFILE.replace("1e-4", "5e-5"))
    assert told(field, capsys, "fox", str(run.path)) == {"optimizer.lr": (5e-5, 1e-4)}


def test_what_is_neither_is_named_with_the_nearest(field: Field, capsys: pytest.CaptureFixture[str]) -> None:
    field.profile()
    assert main(["diff", "fxo", "fox", "--workspace", str(field.workspace.path)]) == 2
    said = capsys.readouterr().err
    assert "fxo" in said
    assert "id you mean fox?" in said


async def test_the_editor_compares_what_stands_there_with_a_run(field: Field) -> None:
    field.run()
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        await go_to(pilot, "optimizer", "lr")
        await retype(pilot, "3e-4")
        await pilot.press("f6")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChooseOther), "the list")
        await pilot.press(*"run fox", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, DiffDialog), "the table")
        await until(pilot, lambda: "optimizer.lr" in screen_text(pilot.app), "the row")
        text = screen_text(pilot.app)
        assert "1 difference" in text
        assert "3.00e-4" in text
        assert "1.00e-4" in text
        await pilot.press("escape")
        await until(pilot, lambda: editor(pilot).draft.value("optimizer.lr") == 3e-4, "the editor as it was")


async def test_a_profile_with_a_problem_is_not_compared(field: Field) -> None:
    async with shell(field, PROFILE.replace("1e-4", "-1")).run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.pause()
        await pilot.press("f6")
        await until(pilot, lambda: "Not compared" in screen_text(pilot.app), "why")


async def test_a_folder_that_cannot_be_listed_is_told(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(workspace: object) -> list[object]:
        raise PermissionError(13, "Permission denied", "/ws/runs")

    monkeypatch.setattr("sdxl_tui.screens.diff_dialog.candidates", refuse)
    async with shell(field).run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: bool(editor(pilot)), "the editor")
        await pilot.press("f6")
        await until(pilot, lambda: "/ws/runs: Permission denied" in screen_text(pilot.app), "the reason")
