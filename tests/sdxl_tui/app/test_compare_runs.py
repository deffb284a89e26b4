"""Marking runs and looking at them over each other."""

from __future__ import annotations

import shutil

import pytest

from engine.run.layout import RunDirectory
from engine.run.metrics import MetricPoint, MetricsLog, ValidationPoint
from sdxl_tui.cli import main
from sdxl_tui.screens.compare_runs import CompareRunsPage, letter_of
from sdxl_tui.screens.runs import RunsScreen
from tests.sdxl_tui.app.conftest import OpenApp
from tests.sdxl_tui.app.run_field import NOW, RunField
from tests.sdxl_tui.app.screen_text import screen_text, wait_for, wait_for_text


def measured(run: RunDirectory, steps: int, loss: float, held_out: float | None = None) -> None:
    log = MetricsLog(run.metrics)
    for step in range(1, steps + 1):
        log.write(MetricPoint(step, 1, 1 + step // 50, NOW + step, loss, loss, {"unet": 1e-4}, step_seconds=1.0))
    if held_out is not None:
        log.write(ValidationPoint(steps, 1, NOW, held_out))
    log.close()


def three(runs: RunField) -> list[RunDirectory]:
    kinds = (("ant", 400, 3), ("bee", 400, 2), ("cow", 800, 1))
    made = [runs.run(name, total=total, age=age) for name, total, age in kinds]
    for run, steps, loss, held_out in zip(made, (200, 200, 400), (0.3, 0.2, 0.1), (0.5, 0.4, None), strict=True):
        measured(run, steps, loss, held_out)
    return made


@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
async def test_marked_runs_are_shown_with_figures_and_what_differs(
    runs: RunField, open_app: OpenApp, size: tuple[int, int]
) -> None:
    three(runs)
    app = open_app()
    async with app.run_test(size=size) as pilot:
        await wait_for_text(pilot, "cow")
        await pilot.press("space", "space", "space", "equals_sign")
        await wait_for_text(pilot, "0.3000 @100")
        text = screen_text(app)
        for words in ("A  cow", "B  bee", "C  ant", "Loss, averaged", "0.4000 @200"):
            assert words in text
        await pilot.press("J", "J", "J")
        await wait_for_text(pilot, "training.steps")
        assert "A 800" in screen_text(app) and "BC 400" in screen_text(app)
        await pilot.press("escape")
        await wait_for_text(pilot, "■ cow")
        await pilot.press("home", "enter")
        await wait_for_text(pilot, "finished  ■ cow")
        await pilot.press("escape")
        await wait_for_text(pilot, "■ ant")
        await pilot.press("escape")
        await pilot.pause()
        assert "■" not in screen_text(app)


async def test_in_a_small_terminal_m_goes_through_the_charts(runs: RunField, open_app: OpenApp) -> None:
    three(runs)
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for_text(pilot, "cow")
        await pilot.press("space", "space", "space", "equals_sign")
        await wait_for_text(pilot, "Loss, averaged")
        await pilot.press("m")
        await wait_for_text(pilot, "Held-out loss")
        await pilot.press("m", "u")
        await wait_for_text(pilot, "ep ")
        assert "╭─ LR" in screen_text(app)
        await pilot.press("z")
        await pilot.pause()
        assert "LOWEST" not in screen_text(app)
        await pilot.press("left")
        await wait_for_text(pilot, "epoch")
        assert "A 1.00e-4" in screen_text(app)


async def test_one_marked_run_is_compared_with_the_one_under_the_cursor_and_none_with_nobody(
    runs: RunField, open_app: OpenApp
) -> None:
    three(runs)
    app = open_app()
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await wait_for_text(pilot, "cow")
        await pilot.press("equals_sign")
        await wait_for_text(pilot, "Mark the runs")
        assert isinstance(app.screen, RunsScreen)
        await pilot.press("space", "equals_sign")
        await wait_for_text(pilot, "B  bee")


async def test_a_run_that_trains_is_followed(
    runs: RunField, open_app: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdxl_tui.screens.compare_runs.LOOK_SECONDS", 0.1)
    made = three(runs)
    app = open_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for_text(pilot, "cow")
        await pilot.press("space", "space", "equals_sign")
        await wait_for_text(pilot, "0.1000 @100")
        log = MetricsLog(made[2].metrics)
        log.write(MetricPoint(401, 1, 9, NOW, 0.05, 0.05, {"unet": 1e-4}))
        log.close()
        await wait_for_text(pilot, "0.0500 @401")


async def test_runs_without_a_measurement_or_a_folder_are_no_harm(runs: RunField, open_app: OpenApp) -> None:
    runs.run("empty", age=2)
    gone = runs.run("gone", age=1)
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for_text(pilot, "empty")
        await pilot.press("space", "space", "equals_sign")
        await wait_for(pilot, lambda: isinstance(app.screen, CompareRunsPage))
        shutil.rmtree(gone.path)
        await wait_for_text(pilot, "Nothing has been measured yet")


def test_letters_go_on_after_z() -> None:
    assert [letter_of(at) for at in (0, 25, 26, 52)] == ["A", "Z", "A2", "A3"]


def test_the_command_compares_runs_by_their_names(runs: RunField, capsys: pytest.CaptureFixture[str]) -> None:
    ant, bee, cow = three(runs)
    workspace = ["--workspace", str(runs.workspace.path)]
    assert main([*workspace, "compare", "ant", "bee", "cow"]) == 0
    shown = capsys.readouterr()
    assert "0.3000 @100" in shown.out and f"  800  {cow.id}" in shown.out and f"  400  {ant.id}, {bee.id}" in shown.out
    assert main([*workspace, "compare", "ant", "cow", "--json"]) == 0
    assert '"training.steps"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ant"], "two checkpoints, or two runs or more"),
        (["ant", "ant"], "both are the run ant"),
        (["ant", "bee@100", "cow"], "'bee@100' is not the name of a run"),
        (["ant", "dodo"], "there is no run 'dodo'"),
    ],
)
def test_what_cannot_be_compared_is_said(
    runs: RunField, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    three(runs)
    assert main(["--workspace", str(runs.workspace.path), "compare", *words]) == 2
    assert said in capsys.readouterr().err
